"""Look at a node once: what differs from the expected digests, what runs, what is unexpected; changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

from . import facts, files, health, live, lock, owners, packages, records, wire
from .engine import EngineError, EngineMissingError
from .engine import ManagedContainer as ManagedContainer
from .host import Host
from .node import LocalNode
from .paths import CONFIG_ROOT, DATA_ROOT
from .question import (
    Answer,
    ClusterSeen,
    ContainerExpected,
    EngineSeen,
    Expected,
    FileMark,
    FileSeen,
    FolderSeen,
    Managed,
    Missing,
    OwnerAsked,
    OwnerSeen,
    Question,
    Recorded,
    Running,
    Seen,
    Unexpected,
    UnitSeen,
)
from .systemd import Unit

_PROBE_SECONDS = 30.0

_VERSION = re.compile(r"=(\S+)")

_ASKING = 16
"""Questions at a time: health checks, reconcilers, commands."""


class _Engine:
    """What an engine said, or why it said nothing; asked in the background, since importing an SDK costs 0.1 s."""

    def __init__(self, node: LocalNode, kind: str, wanted: Sequence[str]) -> None:
        self.managed: list[ManagedContainer] = []
        self.images: list[str] = []
        self.state: Literal["ok", "missing", "unreachable"] = "ok"
        self.why = ""
        self.kind, self._node, self._wanted = kind, node, wanted

    def ask(self) -> None:
        try:
            engine = self._node.engine_of(self.kind)
            self.managed = engine.managed()
            self.images = engine.images(self._wanted) if self.kind == self._node.kind else []
        except EngineMissingError as error:
            self.state, self.why = "missing", str(error)
        except EngineError as error:
            self.state, self.why = "unreachable", str(error)


class _Engines:
    """The wanted engine, and those that instances still have a unit for because another one was wanted when they were started."""

    def __init__(self, node: LocalNode, manifest: Mapping[str, Recorded], images: Sequence[str]) -> None:
        containers = {name: entry.files for name, entry in manifest.items() if entry.kind == "container"}
        used = {kind for name, known in containers.items() for kind in node.engines_with(name, known)}
        others = sorted(used - {node.kind})
        self.wanted, *self.others = self.all = [_Engine(node, kind, images) for kind in (node.kind, *others)]
        self._used = node.kind in used

    @property
    def state(self) -> EngineSeen:
        """An engine that does not answer, and that nothing was ever started with, is as good as missing."""
        for one in self.others:
            if one.state == "unreachable":
                return EngineSeen(one.state, f"{one.kind}, which containers run under: {one.why}")
        state, why = self.wanted.state, self.wanted.why
        return EngineSeen("missing" if self.others and state == "unreachable" and not self._used else state, why)

    @property
    def managed(self) -> list[ManagedContainer]:
        return [found for one in self.all for found in one.managed]

    def running(self, instance: str) -> tuple[str, ManagedContainer] | None:
        """Return the engine and the container of an instance."""
        found = ((one.kind, found) for one in self.all for found in one.managed)
        return next(((kind, one) for kind, one in found if one.instance == instance and one.running), None)


def observe(question: Question, node: LocalNode) -> Answer:
    host, expected = node.host, question.instances
    manifest = records.manifest(host)
    engines = _Engines(node, manifest, question.images)
    unit_names = [instance.unit for instance in expected.values() if instance.unit]
    package_names = [name for one in expected.values() if one.kind == "host" for name in one.packages]
    with ThreadPoolExecutor(_ASKING) as pool:
        asked_engines = [pool.submit(one.ask) for one in engines.all]
        asked_units = pool.submit(node.systemd.show, [*unit_names, *facts.NTP_UNITS])
        asked_packages = pool.submit(packages.versions, host, [*package_names, *facts.ENGINE_PACKAGES])
        asked_owners = {
            name: pool.submit(owners.observe_owner, host, name, asked) for name, asked in question.owners.items()
        }
        hidden = _hidden(manifest)
        differences = {name: _differences(node, instance, *hidden) for name, instance in expected.items()}
        unexpected = _unexpected(node, expected, manifest)
        units, versions = asked_units.result(), asked_packages.result()
        found_facts = facts.gather(host, versions, units)
        for asked in asked_engines:
            asked.result()

        def one(name: str) -> Seen:
            return _instance(node, name, expected[name], differences[name], units, engines, versions, manifest)

        instances = pool.map(one, expected)
        facts_digest = wire.digest(found_facts)
        known = {*expected, *unexpected.instances}
        return Answer(
            facts=None if facts_digest == question.facts_digest else found_facts,
            facts_digest=facts_digest,
            live=live.gather(host),
            lock=lock.holder(host),
            engine=engines.state,
            instances=dict(zip(expected, instances, strict=True)),
            unexpected=replace(unexpected, containers=sorted({found.instance for found in engines.managed} - known)),
            jobs={name: records.job(host, name) for name in question.jobs},
            owners={
                name: _patiently(host, name, asked, asked_owners[name].result(), units.get(asked.unit))
                for name, asked in question.owners.items()
            },
            images=engines.wanted.images,
        )


def _patiently(host: Host, name: str, asked: OwnerAsked, found: tuple[OwnerSeen, bool], unit: Unit | None) -> OwnerSeen:
    """Ask again an owner that has just been started, as all are after a boot: it answers when it is ready."""
    until = (unit.since + owners.PATIENCE) if unit and unit.running else 0.0
    answer, heard = found
    while not heard and host.now() < until:
        host.sleep(owners.PAUSE_SECONDS)
        answer, heard = owners.observe_owner(host, name, asked)
    return answer


_Differences = tuple[dict[str, FileSeen], dict[str, FolderSeen]]


def _hidden(manifest: Mapping[str, Recorded]) -> tuple[Mapping[str, Collection[str]], Collection[str]]:
    """Keys to mask, by file, and opaque files, as they were last written: what is there may hold what is not wanted any more."""
    keys: dict[str, set[str]] = {}
    for path, names in (pair for entry in manifest.values() for pair in entry.mask.items()):
        keys.setdefault(path, set()).update(names)
    return keys, {path for entry in manifest.values() for path in entry.opaque}


def _differences(
    node: LocalNode, instance: Expected, keys: Mapping[str, Collection[str]], opaque: Collection[str]
) -> _Differences:
    def compared(path: str, wanted: FileMark) -> FileSeen | None:
        masked = [*instance.mask.get(path, ()), *keys.get(path, ())]
        return files.compare_file(node.host.path(path), wanted, masked, path in opaque or path in instance.opaque)

    found_files = {path: compared(path, wanted) for path, wanted in instance.files.items()}
    dirs = instance.dirs if instance.kind == "container" else {}
    found_dirs = {path: files.compare_folder(node.host.path(path), wanted) for path, wanted in dirs.items()}
    return (
        {path: found for path, found in found_files.items() if found},
        {path: found for path, found in found_dirs.items() if found},
    )


def _instance(
    node: LocalNode,
    name: str,
    instance: Expected,
    differences: _Differences,
    units: dict[str, Unit],
    engines: _Engines,
    versions: dict[str, str],
    manifest: Mapping[str, Recorded],
) -> Seen:
    unit = units.get(instance.unit)
    running = _running(node, name, instance, unit, engines)
    healthy, why = None, ""
    if running is None:
        why = engines.state.why or (f"the unit is {unit.active} ({unit.sub})" if unit else "never applied")
    else:
        container = running.id
        execute = node.executor(name, instance.kind, running.engine)
        healthy, why = health.check(instance.health, unit, execute, node.host, lambda: container)
    recorded = name in manifest and instance.files.keys() <= set(manifest[name].files)
    seen = Seen(
        files=differences[0],
        dirs=differences[1],
        unit=UnitSeen(unit.active, unit.enabled) if unit else UnitSeen(),
        running=running,
        healthy=healthy,
        why=why,
        recorded=recorded,
        extra=_extra(node, name, instance, manifest),
    )
    if instance.kind == "host":
        return replace(seen, packages=Missing(tuple(sorted({*instance.packages} - versions.keys()))))
    return replace(
        seen,
        recorded=recorded and records.labels_right(node.host, name, instance.start, instance.reload),
        devices=Missing(tuple(path for path in instance.devices if not node.host.exists(path))),
        cluster=None if healthy or not instance.probe else _probe(node, name, instance),
        version=_version(node, name, instance, running, manifest) if instance.package else "",
    )


def _probe(node: LocalNode, name: str, instance: ContainerExpected) -> ClusterSeen:
    """What a member of a cluster that is not healthy holds: its hook tells; one that was never here holds nothing."""
    if not node.host.exists(instance.probe):
        folders = [path for path in instance.dirs if path.startswith(f"{DATA_ROOT}/{name}/")]
        return ClusterSeen("unknown" if any(_there(node.host.path(path)) for path in folders) else "empty")
    done = node.host.run([str(node.host.path(instance.probe))], timeout=_PROBE_SECONDS)
    try:
        return wire.load(ClusterSeen, json.loads(done.out)) if done.ok else ClusterSeen("unknown")
    except ValueError:
        return ClusterSeen("unknown")


def _version(
    node: LocalNode,
    name: str,
    instance: ContainerExpected,
    running: Running | None,
    manifest: Mapping[str, Recorded],
) -> str:
    """By which version its data was written last: as recorded at its start, else that of what runs; empty when nobody knows."""
    known = manifest.get(name, Recorded()).version
    if known or running is None:
        return known
    asked = ["dpkg-query", "-W", "-f", "=${Version}\n", instance.package]
    done = node.executor(name, instance.kind, running.engine)(asked)
    found = _VERSION.search(done.out)  # an engine may put the header of a stream before it
    return found[1] if done.ok and found else ""


def _running(node: LocalNode, name: str, instance: Expected, unit: Unit | None, engines: _Engines) -> Running | None:
    """Tell from what input the process was started; an empty ``start`` means that an announced restart is still to be done."""
    record = records.record(node.host, name)
    due = records.restart_due(record, unit.invocation if unit else "")
    if instance.kind == "container":
        where = engines.running(name)
        if where is None:
            return None
        engine, found = where
        reload = record.reload if record.id == found.id else found.reload
        restarts = max(found.restarts, unit.restarts if unit else 0)
        return Running(found.id, found.image, "" if due else found.start, reload, found.since, restarts, engine)
    if (unit is not None and not unit.running) or (unit is None and record == records.Start()):
        return None
    return Running(
        id=unit.invocation if unit else "",
        image="",
        start="" if due else record.start,
        reload=record.reload,
        since=unit.since if unit else 0.0,
        restarts=unit.restarts if unit else 0,
    )


def _extra(node: LocalNode, name: str, instance: Expected, manifest: Mapping[str, Recorded]) -> list[str]:
    """Files that an expected instance no longer has, and what a killed run left half-written, wherever they lie."""
    wanted = set(instance.files)
    no_longer = set(manifest.get(name, Recorded()).files) - wanted
    half = {str(files.temporary(Path(path))) for path in wanted | no_longer}
    return sorted(path for path in no_longer | half if _there(node.host.path(path)))


def _unexpected(node: LocalNode, expected: Mapping[str, Expected], manifest: Mapping[str, Recorded]) -> Unexpected:
    """What nobody asked for: instances of the manifest that are not expected, and files below CONFIG_ROOT."""
    host = node.host
    gone = {name: entry for name, entry in manifest.items() if name not in expected}
    owned = {path for instance in expected.values() for path in instance.files}
    owned |= {path for entry in gone.values() for path in entry.files}
    found = {f"/{path.relative_to(host.root)}" for path in files.below(host.path(CONFIG_ROOT))}
    told = {name: Managed(entry.unit, entry.kind, entry.files, entry.data) for name, entry in gone.items()}
    return Unexpected(told, sorted(found - owned))


def _there(path: Path) -> bool:
    return path.is_symlink() or path.exists()
