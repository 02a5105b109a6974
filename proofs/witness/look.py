"""Looks at a lab node and compares two looks: what was written, started, stopped and reloaded in between."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scs_deploy.catalogue.names import STATE_ROOT
from scs_deploy.lab import Lab

SCRIPT = Path(__file__).with_name("on_node.py")
_FOLDER = 0o040000

_BY_THEMSELVES = (".scope", ".slice", ".mount", ".target", ".device")
"""Kinds of units that come and go with processes, logins and mounts; no one is started by a step."""

_LOGINS = ("user@", "user-runtime-dir@", "session-")
_ON_DEMAND = {"podman.service"}
"""Its socket starts it for each look at the engine; it ends 5 s later."""

_HOME = str(Path(STATE_ROOT).parent)
_TEMPORARY = ("/root/.ansible/", "/tmp/systemd-private-", "/var/tmp/systemd-private-")
"""Folders, but not files, that come and go: where Ansible puts a module while it runs; what systemd makes for each start of a unit."""


@dataclass(frozen=True)
class Sight:
    """A node at a moment; ``told``: what its journal told since the look before, as pairs of what and subject."""

    files: Mapping[str, list[int]]
    data: Mapping[str, list[int]]
    cursor: str
    told: tuple[tuple[str, str], ...] = ()
    timers: frozenset[str] = frozenset()
    active: Mapping[str, str] = field(default_factory=dict)
    """Unit -> identity of its present life."""


@dataclass(frozen=True)
class Happened:
    """What happened on a node between two looks, by the node's own word."""

    written: frozenset[str]
    deleted: frozenset[str]
    folders: frozenset[str]
    """Folders that changed mode or owner."""
    made: frozenset[str]
    """Folders that appeared or went."""
    records: frozenset[str]
    """The program's own bookkeeping that changed."""
    units: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(start, stop, reload or failure; unit) -> how often."""
    containers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(start, kill, exec, …; container) -> how often."""


def look(lab: Lab, node: str, before: Sight | None = None) -> Sight:
    """Look at a node; with ``before``, its journal is read from there on."""
    cursor = f" '{before.cursor}'" if before else ""
    done = lab.run(node, [f"python3 -{cursor}"], stdin=SCRIPT.read_text())
    assert done.returncode == 0, f"{node}: {done.stdout[-500:]}{done.stderr}"
    data: dict[str, Any] = json.loads(done.stdout)
    return Sight(
        data["files"],
        data["data"],
        data["cursor"],
        tuple((what, subject) for what, subject in data["told"]),
        frozenset(data["timers"]),
        data["active"],
    )


def between(before: Sight, after: Sight) -> Happened:
    """Compare two looks at a node, the second of which was told of the first."""
    changed = {path for path in before.files.keys() & after.files.keys() if before.files[path] != after.files[path]}
    new, gone = after.files.keys() - before.files.keys(), before.files.keys() - after.files.keys()
    folders = {path for path in {*changed, *new, *gone} if (after.files.get(path) or before.files[path])[0] == _FOLDER}
    records = {path for path in {*changed, *new, *gone} if f"{path}/".startswith(f"{STATE_ROOT}/") or path == _HOME}
    left_out = folders | records
    return Happened(
        frozenset((changed | new) - left_out),
        frozenset(gone - left_out),
        frozenset((folders & changed) - records),
        frozenset(path for path in folders - changed - records if not f"{path}/".startswith(_TEMPORARY)),
        frozenset(records),
        Counter(_of_units(before, after)),
        Counter((what.removeprefix("container "), name) for what, name in after.told if what.startswith("container ")),
    )


def unchanged(seen: Happened) -> bool:
    """Whether nothing at all was written or started; questions to containers are no changes."""
    changes = [what for what, _ in seen.containers if not what.startswith("exec")]
    return (seen.written, seen.deleted, seen.folders, seen.records) == (frozenset(),) * 4 and not (
        seen.units or changes
    )


def _of_units(before: Sight, after: Sight) -> Iterable[tuple[str, str]]:
    """What the journal tells, and where it does not, as while its own daemon restarts: units whose life is another one, or over."""
    told = [(what, unit) for what, unit in after.told if not what.startswith("container ")]
    started = {unit for what, unit in told if what == "start"}
    for unit in before.active.keys() & after.active.keys() - started:
        if before.active[unit] != after.active[unit]:
            told += [("stop", unit), ("start", unit)]
    told += [("stop", unit) for unit in before.active.keys() - after.active.keys() - {unit for _, unit in told}]
    for what, unit in told:
        alone = unit.endswith(_BY_THEMSELVES) or unit.startswith(_LOGINS) or unit in _ON_DEMAND or unit in after.timers
        if not alone:
            yield what, unit


def parents(paths: Iterable[str]) -> set[str]:
    """The folders that lie above these paths: made with the first file in them, and some go with the last."""
    return {str(folder) for path in paths for folder in Path(path).parents}
