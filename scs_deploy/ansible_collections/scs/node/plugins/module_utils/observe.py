"""Look at a node once: what differs from the expected digests, what runs, what is unexpected; changes nothing."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import facts, files, health, live, lock, owners, packages, records, wire
from .engine import EngineError, EngineMissingError, Managed
from .host import Host
from .node import Node
from .paths import CONFIG_ROOT, DATA_ROOT
from .systemd import Unit

_PROBE_SECONDS = 30.0

_VERSION = re.compile(r"=(\S+)")

_ASKING = 16
"""Questions at a time: health checks, reconcilers, commands."""


class _Engine:
    """What an engine said, or why it said nothing; asked in the background, since importing an SDK costs 0.1 s."""

    def __init__(self, node: Node, kind: str) -> None:
        self.managed: list[Managed] = []
        self.images: list[str] = []
        self.state, self.why = "ok", ""
        self.kind, self._node = kind, node

    def ask(self) -> None:
        try:
            engine = self._node.engine_of(self.kind)
            self.managed = engine.managed()
            self.images = engine.images() if self.kind == self._node.kind else []
        except EngineMissingError as error:
            self.state, self.why = "missing", str(error)
        except EngineError as error:
            self.state, self.why = "unreachable", str(error)


class _Engines:
    """The wanted engine, and those that instances still have a unit for because another one was wanted when they were started."""

    def __init__(self, node: Node, manifest: dict[str, dict[str, Any]]) -> None:
        containers = {
            name: entry.get("files", []) for name, entry in manifest.items() if entry.get("kind") == "container"
        }
        used = {kind for name, known in containers.items() for kind in node.engines_with(name, known)}
        others = sorted(used - {node.kind})
        self.wanted, *self.others = self.all = [_Engine(node, kind) for kind in (node.kind, *others)]
        self._used = node.kind in used

    @property
    def state(self) -> tuple[str, str]:
        """State and why; an engine that does not answer, and that nothing was ever started with, is as good as missing."""
        for one in self.others:
            if one.state == "unreachable":
                return one.state, f"{one.kind}, which containers run under: {one.why}"
        state, why = self.wanted.state, self.wanted.why
        return ("missing", why) if self.others and state == "unreachable" and not self._used else (state, why)

    @property
    def managed(self) -> list[Managed]:
        return [found for one in self.all for found in one.managed]

    def running(self, instance: str) -> tuple[str, Managed] | None:
        """Return the engine and the container of an instance."""
        found = ((one.kind, found) for one in self.all for found in one.managed)
        return next(((kind, one) for kind, one in found if one.instance == instance and one.running), None)


def observe(payload: dict[str, Any], node: Node) -> dict[str, Any]:
    """Return the answer to an observe payload (docs/contracts.md)."""
    host, expected = node.host, payload.get("instances", {})
    manifest = records.manifest(host)
    engines = _Engines(node, manifest)
    unit_names = [instance["unit"] for instance in expected.values() if instance.get("unit")]
    package_names = [name for instance in expected.values() for name in instance.get("packages", [])]
    with ThreadPoolExecutor(_ASKING) as pool:
        asked_engines = [pool.submit(one.ask) for one in engines.all]
        asked_units = pool.submit(node.systemd.show, [*unit_names, *facts.NTP_UNITS])
        asked_packages = pool.submit(packages.versions, host, [*package_names, *facts.ENGINE_PACKAGES])
        asked_owners = {
            name: pool.submit(owners.observe_owner, host, name, asked)
            for name, asked in payload.get("owners", {}).items()
        }
        differences = {name: _differences(node, instance) for name, instance in expected.items()}
        unexpected = _unexpected(node, expected, manifest)
        units, versions = asked_units.result(), asked_packages.result()
        found_facts = facts.gather(host, versions, units)
        for asked in asked_engines:
            asked.result()

        def one(name: str) -> dict[str, Any]:
            return _instance(node, name, expected[name], units, engines, versions, manifest) | differences[name]

        instances = pool.map(one, expected)
        answer: dict[str, Any] = {
            "v": wire.VERSION,
            "facts": found_facts,
            "facts_digest": wire.digest(found_facts),
            "live": live.gather(host),
            "lock": lock.holder(host),
            "engine": dict(zip(("state", "why"), engines.state, strict=True)),
            "instances": dict(zip(expected, instances, strict=True)),
            "unexpected": unexpected,
            "jobs": {name: records.job(host, name) for name in payload.get("jobs", {})},
            "owners": {
                name: _patiently(host, name, asked, asked_owners[name].result(), units.get(asked.get("unit", "")))
                for name, asked in payload.get("owners", {}).items()
            },
            "images": engines.wanted.images,
        }
    if answer["facts_digest"] == payload.get("facts_digest"):
        answer["facts"] = None
    known = {*expected, *unexpected["instances"]}
    unexpected["containers"] = sorted({found.instance for found in engines.managed} - known)
    return answer


def _patiently(
    host: Host, name: str, asked: dict[str, Any], answer: dict[str, Any], unit: Unit | None
) -> dict[str, Any]:
    """Ask again an owner that has just been started, as all are after a boot: it answers when it is ready."""
    until = (unit.since + owners.PATIENCE) if unit and unit.running else 0.0
    while answer.pop("silent", False) and host.now() < until:
        host.sleep(owners.PAUSE_SECONDS)
        answer = owners.observe_owner(host, name, asked)
    return answer


def _differences(node: Node, instance: dict[str, Any]) -> dict[str, Any]:
    masks, opaque = instance.get("mask", {}), set(instance.get("opaque", []))
    found_files = {
        path: files.compare_file(node.host.path(path), wanted, masks.get(path, []), path in opaque)
        for path, wanted in instance.get("files", {}).items()
    }
    found_dirs = {
        path: files.compare_folder(node.host.path(path), wanted) for path, wanted in instance.get("dirs", {}).items()
    }
    return {
        "files": {path: found for path, found in found_files.items() if found},
        "dirs": {path: found for path, found in found_dirs.items() if found},
    }


def _instance(
    node: Node,
    name: str,
    instance: dict[str, Any],
    units: dict[str, Unit],
    engines: _Engines,
    versions: dict[str, str],
    manifest: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    unit = units.get(instance.get("unit", ""))
    running = _running(node, name, instance, unit, engines)
    healthy, why = None, ""
    if running is None:
        why = engines.state[1] or (f"the unit is {unit.active} ({unit.sub})" if unit else "never applied")
    else:
        asked = instance.get("health", {})
        execute = node.executor(name, instance["kind"], running.get("engine", ""))
        healthy, why = health.check(asked, unit, execute, node.host, lambda: str(running["id"]))
    recorded = set(instance.get("files", {})) <= set(manifest.get(name, {}).get("files", ())) and name in manifest
    if instance["kind"] == "container":
        recorded &= records.labels_right(node.host, name, instance.get("start", ""), instance.get("reload", ""))
    probed = {} if healthy or not instance.get("probe") else {"cluster": _probe(node, name, instance)}
    version = {"version": _version(node, name, instance, running, manifest)} if instance.get("package") else {}
    return {**probed, **version} | {
        "unit": {"active": unit.active if unit else "", "enabled": unit.enabled if unit else "absent"},
        "running": running,
        "healthy": healthy,
        "why": why,
        "packages": {"missing": sorted(package for package in instance.get("packages", []) if package not in versions)},
        "devices": {"missing": [path for path in instance.get("devices", []) if not node.host.exists(path)]},
        "recorded": recorded,
        "extra": _extra(node, name, instance, manifest),
    }


def _probe(node: Node, name: str, instance: dict[str, Any]) -> dict[str, Any]:
    """What a member of a cluster that is not healthy holds: its hook tells; one that was never here holds nothing."""
    if not node.host.exists(instance["probe"]):
        folders = [path for path in instance.get("dirs", {}) if path.startswith(f"{DATA_ROOT}/{name}/")]
        here = any(_there(node.host.path(path)) for path in folders)
        return {"state": "unknown"} if here else {"state": "empty"}
    done = node.host.run([str(node.host.path(instance["probe"]))], timeout=_PROBE_SECONDS)
    try:
        found: dict[str, Any] = json.loads(done.out) if done.ok else {}
    except ValueError:
        found = {}
    return found or {"state": "unknown"}


def _version(
    node: Node,
    name: str,
    instance: dict[str, Any],
    running: dict[str, Any] | None,
    manifest: dict[str, dict[str, Any]],
) -> str:
    """By which version its data was written last: as recorded at its start, else that of what runs; empty when nobody knows."""
    known = manifest.get(name, {}).get("version")
    if known or running is None:
        return str(known or "")
    asked = ["dpkg-query", "-W", "-f", "=${Version}\n", instance["package"]]
    done = node.executor(name, instance["kind"], running.get("engine", ""))(asked)
    found = _VERSION.search(done.out)  # an engine may put the header of a stream before it
    return found[1] if done.ok and found else ""


def _running(
    node: Node, name: str, instance: dict[str, Any], unit: Unit | None, engines: _Engines
) -> dict[str, Any] | None:
    """Tell from what input the process was started; an empty ``start`` means that an announced restart is still to be done."""
    record = records.record(node.host, name)
    due = records.restart_due(record, unit.invocation if unit else "")
    if instance["kind"] == "container":
        where = engines.running(name)
        if where is None:
            return None
        engine, found = where
        reload = record["reload"] if record.get("id") == found.id else found.reload
        restarts = max(found.restarts, unit.restarts if unit else 0)
        return {
            "id": found.id, "image": found.image, "start": "" if due else found.start, "reload": reload,
            "since": found.since, "restarts": restarts, "engine": engine,
        }  # fmt: skip
    if (unit is not None and not unit.running) or (unit is None and not record):
        return None
    return {
        "id": unit.invocation if unit else "",
        "image": "",
        "start": "" if due else record.get("start", ""),
        "reload": record.get("reload", ""),
        "since": unit.since if unit else 0.0,
        "restarts": unit.restarts if unit else 0,
    }


def _extra(node: Node, name: str, instance: dict[str, Any], manifest: dict[str, dict[str, Any]]) -> list[str]:
    """Files that an expected instance no longer has, and what a killed run left half-written, wherever they lie."""
    wanted = set(instance.get("files", {}))
    no_longer = set(manifest.get(name, {}).get("files", [])) - wanted
    half = {str(files.temporary(Path(path))) for path in wanted | no_longer}
    return sorted(path for path in no_longer | half if _there(node.host.path(path)))


def _unexpected(node: Node, expected: dict[str, Any], manifest: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What nobody asked for: instances of the manifest that are not expected, and files below CONFIG_ROOT."""
    host = node.host
    gone = {name: entry for name, entry in manifest.items() if name not in expected}
    owned = {path for instance in expected.values() for path in instance.get("files", {})}
    owned |= {path for entry in gone.values() for path in entry.get("files", [])}
    found = {f"/{path.relative_to(host.root)}" for path in files.below(host.path(CONFIG_ROOT))}
    defaults: tuple[tuple[str, Any], ...] = (("unit", ""), ("kind", "container"), ("files", []), ("data", []))
    return {
        "instances": {
            name: {key: entry.get(key, default) for key, default in defaults} for name, entry in gone.items()
        },
        "files": sorted(found - owned),
        "containers": [],
    }


def _there(path: Path) -> bool:
    return path.is_symlink() or path.exists()
