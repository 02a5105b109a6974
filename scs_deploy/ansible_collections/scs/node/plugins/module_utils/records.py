"""Bookkeeping below STATE_ROOT: the node's manifest, when instances were started from what, and which jobs are done.

The manifest names every file an instance has, so that nothing is lost track of: it is widened before the first write and
trimmed as the very last one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from . import files
from .host import Host
from .paths import LABEL_INSTANCE, LABEL_RELOAD, LABEL_START, STATE_ROOT, labels_file
from .question import JobRecord, Recorded

_MANIFEST = f"{STATE_ROOT}/manifest.json"


def _read(host: Host, name: str) -> dict[str, Any]:
    try:
        data = json.loads(host.path(name).read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _write(host: Host, name: str, data: dict[str, Any]) -> None:
    files.write(host.path(name), json.dumps(data, indent=1, sort_keys=True).encode(), 0o600, *_owner(host))


def _owner(host: Host) -> tuple[int, int]:
    found = host.root.stat()
    return found.st_uid, found.st_gid


@dataclass(frozen=True, slots=True)
class Start:
    """From what an instance was started.

    ``due``: a restart was announced and not finished. ``since``: the unit's invocation at the moment when all files were in
    place; any later invocation has read them, so the restart happened. ``id``, ``reload``: what was reloaded from which input.
    """

    due: bool = False
    since: str | None = None
    id: str = ""
    start: str = ""
    reload: str = ""


def _known(kind: type, data: dict[str, Any]) -> dict[str, Any]:
    """What another version of the node side wrote may hold less, or more."""
    return {one.name: data[one.name] for one in fields(kind) if one.name in data}


def manifest(host: Host) -> dict[str, Recorded]:
    """Return what is recorded of each instance; empty when there is no manifest or it is damaged."""
    instances = _read(host, _MANIFEST).get("instances", {})
    if not isinstance(instances, dict):
        return {}
    return {name: Recorded(**_known(Recorded, entry)) for name, entry in instances.items()}


def widen(host: Host, name: str, entry: Recorded) -> None:
    """Before the first write: note also the files that are about to appear."""
    everything = manifest(host)
    known = everything.get(name, Recorded())
    wider = replace(
        entry,
        files=sorted({*known.files, *entry.files}),
        data=sorted({*known.data, *entry.data}),
        version=entry.version or known.version,
        mask={
            path: sorted({*known.mask.get(path, ()), *entry.mask.get(path, ())})
            for path in known.mask.keys() | entry.mask.keys()
        },
        opaque=sorted({*known.opaque, *entry.opaque}),
    )
    if wider != everything.get(name):
        _write_manifest(host, {**everything, name: wider})


def settle(host: Host, name: str, entry: Recorded) -> None:
    """After everything else: the instance has exactly these files."""
    everything = manifest(host)
    mask = {path: sorted(keys) for path, keys in entry.mask.items()}
    exact = replace(entry, files=sorted(entry.files), data=sorted(entry.data), mask=mask, opaque=sorted(entry.opaque))
    if everything.get(name) != exact:
        _write_manifest(host, {**everything, name: exact})


def _write_manifest(host: Host, instances: dict[str, Recorded]) -> None:
    _write(host, _MANIFEST, {"v": 1, "instances": {name: asdict(entry) for name, entry in instances.items()}})


def forget(host: Host, name: str) -> None:
    everything = manifest(host)
    if everything.pop(name, None) is not None:
        _write_manifest(host, everything)


def labels_text(name: str, start: str, reload: str) -> str:
    return f"{LABEL_INSTANCE}={name}\n{LABEL_START}={start}\n{LABEL_RELOAD}={reload}\n"


def write_labels(host: Host, name: str, start: str, reload: str) -> None:
    path = host.path(labels_file(name))
    text = labels_text(name, start, reload).encode()
    try:
        same = path.read_bytes() == text
    except OSError:
        same = False
    if not same:
        files.write(path, text, 0o600, *_owner(host))


def labels_right(host: Host, name: str, start: str, reload: str) -> bool:
    return host.read(labels_file(name)) == labels_text(name, start, reload).strip()


def record(host: Host, name: str) -> Start:
    return Start(**_known(Start, _read(host, f"{STATE_ROOT}/records/{name}.json")))


def write_record(host: Host, name: str, start: Start) -> None:
    if record(host, name) != start:
        _write(host, f"{STATE_ROOT}/records/{name}.json", asdict(start))


def forget_record(host: Host, name: str) -> None:
    for path in (f"{STATE_ROOT}/records/{name}.json", labels_file(name)):
        if host.exists(path):
            files.delete(host.path(path))


def restart_due(found: Start, invocation: str) -> bool:
    """Tell whether an announced restart is still to be done, given the unit's present invocation."""
    return found.due and (found.since is None or not invocation or invocation == found.since)


def job(host: Host, name: str) -> JobRecord:
    return JobRecord(**_known(JobRecord, _read(host, f"{STATE_ROOT}/jobs/{name}.json")))


def write_job(host: Host, name: str, state: Literal["started", "done"], digest: str, instance: str = "") -> None:
    _write(host, f"{STATE_ROOT}/jobs/{name}.json", {"state": state, "digest": digest, "instance": instance})


def forget_jobs(host: Host, instance: str) -> None:
    """The jobs of an instance whose data is gone have to be done anew."""
    for path in sorted(host.path(f"{STATE_ROOT}/jobs").glob("*.json")):
        if _read(host, f"{STATE_ROOT}/jobs/{path.name}").get("instance") == instance:
            files.delete(path)
