"""What a plan promises of a node in the node's own words, and what is wrong when that, the report and the node do not agree."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from proofs.witness.look import Happened, Sight, parents
from scs_deploy.catalogue.load import Catalogue
from scs_deploy.catalogue.names import unit_name

Step = Mapping[str, Any]
"""A step of ``plan --json``."""


@dataclass(frozen=True)
class Consequence:
    """What the node itself does because of a step: patterns of files, and units with what happens to them."""

    files: tuple[str, ...] = ()
    units: tuple[tuple[str, str], ...] = ()


CONSEQUENCES = {
    # systemd-sysusers and systemd-tmpfiles make accounts and homes; sshd is reloaded.
    "node-access": Consequence(
        (
            "/etc/passwd*",
            "/etc/shadow*",
            "/etc/group*",
            "/etc/gshadow*",
            "/etc/.pwd.lock",
            "/home/*",
            "/var/lib/scs-deploy/access*",
        ),
        (("reload", "ssh.service"),),
    ),
    "node-timezone": Consequence(("/etc/localtime",)),
}
"""Of the command with which a host component brings its files into force (``apply`` in its service.yml)."""

REMOVED = {
    # Its package brings an init script and an alias, which systemctl keeps in step with the unit.
    "node-time": Consequence(("/etc/rc?.d/???chrony", "/etc/systemd/system/chronyd.service")),
    # Its socket starts it again at once: a node is never without a journal.
    "node-journald": Consequence((), (("start", "systemd-journald.service"),)),
}
"""Of disabling and stopping the unit of a host component that is removed."""

INSTALLED = ("/usr/*", "/etc/*", "/var/lib/dpkg/*", "/var/lib/apt/*", "/var/cache/*")
"""Where packages of a step ``install`` write."""


@dataclass
class NodePromise:
    """Of one node: files to write and to delete, folders, units and containers by what happens to them and how often."""

    written: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    allowed: list[str] = field(default_factory=list)
    """Patterns of what a step writes through somebody else's program."""
    units: Counter[tuple[str, str]] = field(default_factory=Counter)
    containers: Counter[tuple[str, str]] = field(default_factory=Counter)
    asked: set[str] = field(default_factory=set)
    """Containers in which a command reloads the process; questions about health are commands too."""

    def allows(self, path: str) -> bool:
        return any(fnmatch.fnmatch(path, pattern) for pattern in self.allowed)

    def files(self, seen: Happened) -> tuple[int, int]:
        """How many files are written and deleted: promised, seen."""
        promised = self.written | self.deleted
        return len(promised), sum(path in promised or not self.allows(path) for path in _touched(seen))

    def starts(self, seen: Happened) -> tuple[int, int]:
        """How many starts, stops and reloads of units and containers there are: promised, seen."""
        asked = sum(bool(seen.containers["exec", name]) for name in self.asked)
        happened = seen.units.total() + changes_of_containers(self, seen).total() + asked
        return self.units.total() + self.containers.total() + len(self.asked), happened


def promise(steps: Iterable[Step], node: str, before: Sight, catalogue: Catalogue) -> NodePromise:
    """What these steps promise of a node that looked like ``before``."""
    found = NodePromise()
    for step in steps:
        if step["node"] != node:
            continue
        if step["kind"] == "job":
            found.containers["start", step["subject"]] += 1
        if step["kind"] == "instance":
            _instance(found, step, before, catalogue)
    return found


def _instance(found: NodePromise, step: Step, before: Sight, catalogue: Catalogue) -> None:
    found.written |= set(step["write"])
    found.deleted |= set(step["delete"])
    found.folders |= {change["what"] for change in step["changes"] if change["how"].startswith("folder ")}
    if any(change["what"].startswith("package ") for change in step["changes"]):
        found.allowed += INSTALLED
    name = step["subject"]
    if step["action"] == "remove":
        if _purged(step):
            found.folders |= set(step["removed"]["data"])
        unit, container = step["removed"].get("unit", ""), step["removed"].get("kind") == "container"
        if unit:
            found.units["stop", unit] += unit in before.active
            found.allowed.append(f"/etc/systemd/system/*.wants/{unit}")
            _add(found, REMOVED.get(name, Consequence()))
        return
    component = catalogue.component(name.partition(".")[0])[1]
    container = component.kind == "container"
    unit = unit_name(name) if container else component.unit
    runs = unit in before.active
    if unit and any("disabled" in reason or "masked" in reason for reason in step["reasons"]):
        found.allowed += [f"/etc/systemd/system/*.wants/{unit}", f"/etc/systemd/system/{unit}"]
    if unit and step["action"] == "create":
        found.allowed += [f"/etc/systemd/system/*.wants/{unit}", "/etc/systemd/system/*.wants"]
    starts = step["restart"] or (step["action"] != "prepare" and not runs)
    if step["restart"] and not container and component.apply:
        _add(found, CONSEQUENCES.get(name, Consequence()))
        starts = bool(unit) and not runs
    if unit and starts:
        found.units["start", unit] += 1
        found.units["stop", unit] += runs
        found.containers["start", name] += container
    if step["reload"] and container:
        if component.reload and component.reload.command:
            found.asked.add(name)
        else:
            found.containers["kill", name] += 1
    elif step["reload"] and unit:
        found.units["reload", unit] += 1


def _add(found: NodePromise, consequence: Consequence) -> None:
    found.allowed += consequence.files
    found.units.update(consequence.units)


# -- what is wrong -----------------------------------------------------------------------------------------------------


def against_report(steps: Sequence[Step], results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Compare the steps that plan lists with those that apply reports, in order, each with what was done."""
    planned, reported = [step["id"] for step in steps], [result["id"] for result in results]
    if planned != reported:
        return [f"plan lists {planned}, apply reports {reported}"]
    wrong = []
    for step, result in zip(steps, results, strict=True):
        if result["status"] != "ok":
            wrong.append(f"{step['id']}: {result['status']}: {result.get('error')}")
        for key in ("kind", "action", "node"):
            if step[key] != result.get(key):
                wrong.append(f"{step['id']}: {key} is {step[key]} in the plan, {result.get(key)} in the report")
        wrong += [f"{step['id']}: {what}" for what in _done(step, list(result.get("done", ())))]
    return wrong


def _done(step: Step, done: Sequence[str]) -> Iterable[str]:
    """Compare what a step was to do with what it says it did."""
    if step["kind"] == "resources":
        # How many objects a prune finds only the owner knows, once it runs.
        least = sum(one["op"] != "prune" for one in step["operations"])
        if len(done) < least or (len(done) > least and least == len(step["operations"])):
            yield f"{len(step['operations'])} operations are planned, {len(done)} done: {done}"
        return
    if step["kind"] != "instance" or step["action"] == "remove":
        return
    told = {
        "wrote": set(step["write"]),
        "made": {change["what"] for change in step["changes"] if change["how"].startswith("folder ")},
        "installed": {c["what"].removeprefix("package ") for c in step["changes"] if c["what"].startswith("package ")},
    }
    for verb, planned in told.items():
        really = {text.removeprefix(f"{verb} ") for text in done if text.startswith(f"{verb} ")}
        if really != planned:
            yield f"{verb} {sorted(really)}, planned are {sorted(planned)}"
    removed = {text.partition("/")[2] for text in done if text.startswith(("deleted /", "put back /"))}
    if removed != {path.lstrip("/") for path in step["delete"]}:
        yield f"deleted {sorted(removed)}, planned are {sorted(step['delete'])}"
    started = any(text.startswith(("restarted ", "started ", "applied")) for text in done)
    if started != (step["restart"] or step["action"] == "start"):
        yield f"{'a start' if started else 'no start'} was reported, the plan says otherwise"
    if ("reloaded" in done) != step["reload"]:
        yield "what was reported of a reload is not what the plan says"


def against_node(promised: NodePromise, seen: Happened) -> list[str]:
    """Compare what a plan promises with what the node tells."""
    # A file that is taken away is put back where the node had one of its own before.
    touched = promised.written | promised.deleted
    wrong = [f"written, not planned: {path}" for path in sorted(seen.written - touched) if not promised.allows(path)]
    wrong += [f"deleted, not planned: {path}" for path in sorted(seen.deleted - touched) if not promised.allows(path)]
    wrong += [f"planned, not written: {path}" for path in sorted(promised.written - seen.written)]
    wrong += [f"planned, not deleted: {path}" for path in sorted(promised.deleted - promised.written - _touched(seen))]
    folders = (seen.folders | (seen.made - parents({*touched, *promised.folders}))) - promised.folders
    wrong += [f"folder changed, not planned: {path}" for path in sorted(folders) if not promised.allows(path)]
    for name, planned, really in (
        ("unit", promised.units, seen.units),
        ("container", promised.containers, changes_of_containers(promised, seen)),
    ):
        for what, subject in sorted(planned.keys() | really.keys()):
            if planned[what, subject] != really[what, subject]:
                wrong.append(
                    f"{what} of {name} {subject}: planned {planned[what, subject]}, seen {really[what, subject]}"
                )
    wrong += [f"planned, not reloaded: {name}" for name in sorted(promised.asked) if not seen.containers["exec", name]]
    return wrong


def _touched(seen: Happened) -> frozenset[str]:
    return seen.deleted | seen.written


def changes_of_containers(promised: NodePromise, seen: Happened) -> Counter[tuple[str, str]]:
    """Starts, and signals to those that go on; the end of a container belongs to the stop of its unit, or is the end of a job."""
    found = Counter({key: count for key, count in seen.containers.items() if key[0] == "start"})
    restarted = {name for what, name in found if what == "start"}
    for (what, name), count in seen.containers.items():
        if what == "kill" and name not in restarted and ("stop", unit_name(name)) not in promised.units:
            found[what, name] = count
    return found


def _purged(step: Step) -> bool:
    return "deleted too" in str(step["reasons"])


def data_kept(step: Step, before: Sight, after: Sight) -> list[str]:
    """What is wrong with the data of something that was removed: with --purge nothing of it is there, else all, but for what a
    server tidies up itself as it ends: its pid file, logs that it merges. Those are the lesser part of its files.
    """
    wrong = []
    for folder in step["removed"].get("data", ()):
        had = {path for path in before.data if path.startswith(f"{folder}/")}
        has = {path for path in after.data if path.startswith(f"{folder}/")}
        there = folder in after.files
        if _purged(step):
            wrong += [f"purged, but there: {folder}"] if there or has else []
        elif not there or len(had - has) > len(had) / 2:
            wrong.append(f"data lost in {folder}: {sorted(had - has)[:5]}")
    return wrong
