"""Resources behind APIs: load the reconcilers that an owner's instance brought along, and ask or tell them."""

from __future__ import annotations

import importlib
import json
import re
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from . import wire
from .failure import StepError
from .host import Host
from .question import OwnerAsked, OwnerSeen
from .resource import ItemSeen, Operation
from .work import ResourcesStep

PATIENCE = 45.0
"""Seconds that all reconcilers of one owner together have to tell what exists."""

ANSWER_SECONDS, PAUSE_SECONDS = 60.0, 2.0
"""How long an owner that nobody hears may take to answer again before a change is given up: connections to an address that was gone
for a while go on when TCP repeats what was lost, which takes as long again; and the pause between two tries.
"""


class _UnknownError(Exception):
    """An owner that cannot be asked; the text says why."""


def observe_owner(host: Host, owner: str, asked: OwnerAsked) -> tuple[OwnerSeen, bool]:
    """Return what exists behind an owner's API, and whether anybody was heard; a backend that is down is "unknown", never an exception."""
    answer = OwnerSeen("unknown", f"no answer within {PATIENCE:.0f} s")
    heard = True

    def ask() -> None:
        nonlocal answer, heard
        try:
            answer = OwnerSeen("ok", "", _items(host.path(asked.reconciler), asked.kinds))
        except Exception as error:  # noqa: BLE001 - a reconciler is a service's own code and its libraries raise anything
            answer = OwnerSeen("unknown", _told(error))
            heard = not isinstance(error, ConnectionError | TimeoutError)

    thread = threading.Thread(target=ask, name=f"owner-{owner}", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return answer, heard


def apply_changes(host: Host, step: ResourcesStep, done: list[str]) -> None:
    """Carry out a resources step, kind by kind in the order given; raise StepError."""
    folder = host.path(step.reconciler)
    kinds = list(dict.fromkeys(change.kind for change in step.changes))
    _forget(folder)
    for kind in kinds:
        changes = [change for change in step.changes if change.kind == kind]
        names = ", ".join(change.name for change in changes[:5]) + (", …" if len(changes) > 5 else "")
        try:
            done += _apply_patiently(host, folder, kind, changes)
        except Exception as error:
            raise StepError(
                f"{step.owner} did not take {kind} {names}",
                why=_told(error),
                fix=f"check the health and the log of {step.owner} on this node, then apply again",
            ) from error


def _apply_patiently(host: Host, folder: Path, kind: str, changes: Sequence[Operation]) -> list[str]:
    """Try again when nobody answers: every change may be made twice."""
    until = host.now() + ANSWER_SECONDS
    while True:
        try:
            return _apply(folder, kind, changes)
        except (ConnectionError, TimeoutError):
            if host.now() >= until:
                raise
        host.sleep(PAUSE_SECONDS)
        _forget(folder)


def _apply(folder: Path, kind: str, changes: Sequence[Operation]) -> list[str]:
    """Carry out the changes of one kind; ``prune`` among them deletes what is ours and nothing wants any more."""
    context = _json(folder, "context.json", {})
    plain = [asdict(change) for change in changes if change.op != "prune"]
    done: list[str] = _load(folder, kind).apply(context, plain) if plain else []
    if len(plain) < len(changes):
        wanted = [item for item in _json(folder, "wanted.json", []) if item["kind"] == kind]
        names = {item["name"] for item in _load(folder, kind).observe(context, wanted)} - {
            item["name"] for item in wanted
        }
        gone = [asdict(Operation(kind, "delete", name)) for name in sorted(names)]
        done += _load(folder, kind).apply(context, gone) if gone else []
    return done


def _items(folder: Path, kinds: Sequence[str]) -> dict[str, list[ItemSeen]]:
    if not folder.is_dir():
        raise _UnknownError("not deployed yet")
    context = _json(folder, "context.json", {})
    wanted = _json(folder, "wanted.json", [])
    _forget(folder)
    return {
        kind: _seen(kind, _load(folder, kind).observe(context, [item for item in wanted if item["kind"] == kind]))
        for kind in kinds
    }


def _seen(kind: str, told: object) -> list[ItemSeen]:
    """Raise TypeError where a reconciler tells something in another form than the contract's."""
    found = []
    for item in json.loads(json.dumps(told)):
        try:
            found.append(wire.load(ItemSeen, item))
        except wire.WireError as error:
            name = item.get("name", "") if isinstance(item, dict) else ""
            raise TypeError(f"{kind} {name} is told in a wrong form: {error}") from error
    return found


def _json(folder: Path, name: str, default: Any) -> Any:
    path = folder / name
    return json.loads(path.read_bytes()) if path.exists() else default


def _forget(folder: Path) -> None:
    """Drop what was imported from a folder: files may be newer. What the kinds share lives through one look or change."""
    name = _package(folder)
    known = list(sys.modules)  # at once: other owners, asked at the same time, import too
    for loaded in [module for module in known if module == name or module.startswith(f"{name}.")]:
        del sys.modules[loaded]


def _load(folder: Path, kind: str) -> ModuleType:
    """Import ``<kind>.py``; the folder is a package (``from . import _client`` works) and no bytecode is left in it."""
    sys.dont_write_bytecode = True
    if not (folder / f"{kind}.py").exists():
        raise _UnknownError(f"{folder / kind}.py is not there yet")
    name = _package(folder)
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    importlib.invalidate_caches()
    return importlib.import_module(f"{name}.{kind}")


def _package(folder: Path) -> str:
    return "scs_resources_" + re.sub(r"\W", "_", str(folder))


def _told(error: Exception) -> str:
    text = str(error).strip()
    return (
        text
        if isinstance(error, _UnknownError)
        else f"{type(error).__name__}: {text}"
        if text
        else type(error).__name__
    )
