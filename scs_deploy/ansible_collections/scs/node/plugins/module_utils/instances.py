"""Bring one instance to its wanted state, or remove it, in an order in which a crash at any point loses nothing.

announce the restart, widen the manifest, packages, folders, files (the unit last), deletions, labels, arm the restart,
systemd, restart or reload, record, health, settle the manifest.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from . import files, health, originals, packages, records
from .engine import EngineError, EngineMissingError
from .failure import StepError
from .node import LocalNode, engine_failure
from .paths import CONFIG_ROOT, DATA_ROOT, QUADLET_ROOT, UNIT_ROOT, instance_folder
from .question import Recorded
from .systemd import Unit
from .work import ContainerWanted, FileContent, InstanceStep, ReloadAction, RemoveStep, Wanted

_MARGIN = 60.0
"""Seconds that systemd gets for a restart beyond the unit's own stop and start times."""


def converge_instance(node: LocalNode, step: InstanceStep, done: list[str]) -> Callable[[], None]:
    """Create or update an instance (``prepare``: only its files, for a job that needs them).

    Returns what waits until it is healthy and then settles its record. Raises StepError, EngineError or OSError, after which the
    next observe tells the truth.
    """
    wanted, host = step.instance, node.host
    name, unit = wanted.name, wanted.unit
    if wanted.kind == "container":
        node.need_image(wanted.image, wanted.image_reference)
    if step.restart:
        records.write_record(host, name, replace(records.record(host, name), due=True, since=None))
    originals.keep(host, (file.path for file in wanted.files))
    records.widen(host, name, wanted.manifest)
    if wanted.kind == "container":
        _leave_engines(node, wanted, done)
    else:
        done += [f"installed {package}" for package in packages.install(host, wanted.packages)]
    units_changed = _put_files(node, wanted, done)
    if step.action == "prepare":
        return lambda: None
    if wanted.kind == "container":
        records.write_labels(host, name, wanted.start, wanted.reload)
    state = node.systemd.unit(unit) if unit else None
    if step.restart:
        armed = state.invocation if state and state.running and not _applies(wanted) else None
        record = replace(records.record(host, name), due=True, since=armed)
        if armed and wanted.kind == "host":
            record = replace(record, start=wanted.start, reload=wanted.reload)
        records.write_record(host, name, record)
    if state is not None:
        state = _prepare_unit(
            node, unit, state, units_changed or (not node.systemd.loaded and _starts(step, state)), done
        )
    if step.form:
        _command(node, [step.form], name)
        done.append("ordered it to form the cluster")
    started = _bring_into_force(node, step, state, done)

    def finish() -> None:
        if started:
            health.await_healthy(
                name,
                unit,
                wanted.health,
                node.executor(name, wanted.kind),
                host,
                node.systemd,
                lambda: node.container_id(name),
            )
        records.settle(host, name, wanted.manifest)

    return finish


def remove_instance(node: LocalNode, step: RemoveStep, done: list[str]) -> None:
    """Stop and remove an instance; its data folders stay unless ``purge``."""
    host, name, entry = node.host, step.name, step.manifest
    unit, known = entry.unit, records.manifest(host).get(name, Recorded())
    if unit:
        state = node.systemd.unit(unit)
        if state.present and state.active != "inactive":
            node.systemd.stop(unit, step.stop_timeout + _MARGIN)
            done.append(f"stopped {unit}")
        if state.file_state == "enabled":
            node.systemd.disable(unit)
    if entry.kind == "container":
        for kind in node.engines_with(name, [*known.files, *entry.files]) or [node.kind]:
            _remove_container(node, kind, name, done)
    for path in sorted({*known.files, *entry.files, *step.delete}):
        done += filter(None, [originals.give_back(host, path)])
        files.prune_empty(host.path(path).parent, host.path(CONFIG_ROOT))
    files.prune_below(host.path(instance_folder(name)))
    if unit:
        node.systemd.daemon_reload()
    if step.purge:
        for path in sorted({*known.data, *entry.data}):
            _purge(node, path, done)
        records.forget_jobs(host, name)
    records.forget_record(host, name)
    records.forget(host, name)


def _applies(wanted: Wanted) -> Sequence[str]:
    """The command that brings what the node itself has into force."""
    return wanted.apply if wanted.kind == "host" else ()


def _leave_engines(node: LocalNode, wanted: ContainerWanted, done: list[str]) -> None:
    """End an instance under an engine that the node is to have no longer, while systemd still has the unit that started it."""
    name, unit = wanted.name, wanted.unit
    for kind in node.engines_with(name, wanted.delete):
        if kind == node.kind:
            continue
        state = node.systemd.unit(unit)
        if state.present and state.active not in ("inactive", "failed"):
            node.systemd.stop(unit, wanted.stop_timeout + _MARGIN)
            done.append(f"stopped {unit} under {kind}")
        if state.file_state == "enabled":
            node.systemd.disable(unit)
        _remove_container(node, kind, name, done)


def _remove_container(node: LocalNode, kind: str, name: str, done: list[str]) -> None:
    try:
        if node.engine_of(kind).remove(name):
            done.append(f"removed container {name} of {kind}")
    except EngineMissingError:
        pass


def _put_files(node: LocalNode, wanted: Wanted, done: list[str]) -> bool:
    """Folders, files, deletions; tell whether a unit file was among them."""
    host = node.host
    for path, folder in wanted.dirs.items() if wanted.kind == "container" else ():
        if files.make_folder(host.path(path), int(folder.mode, 8), folder.uid, folder.gid):
            done.append(f"made {path}")
    for file in wanted.files:
        _verify(node, file, wanted.name)
        files.write_wanted(host.path(file.path), file)
        done.append(f"wrote {file.path}")
    for path in wanted.delete:
        done += filter(None, [originals.give_back(host, path)])
        files.prune_empty(host.path(path).parent, host.path(CONFIG_ROOT))
    touched = [*(file.path for file in wanted.files), *wanted.delete]
    return any(path.startswith((f"{QUADLET_ROOT}/", f"{UNIT_ROOT}/")) for path in touched)


def _verify(node: LocalNode, file: FileContent, name: str) -> None:
    """Let whoever reads a file say what it has against it while the one that there is still stands."""
    if not file.verify:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(file.path).name
        files.write_wanted(path, file)
        done = node.host.run([*file.verify, str(path)], timeout=60)
    if not done.ok:
        raise StepError(
            f"{name}: the new {file.path} is refused, and the one that there was stays",
            why=" ".join(done.lines(1)) or f"exit code {done.code}",
            fix="correct in region.yml what the lines below are about, then apply again",
            log=done.lines(),
        )


def _starts(step: InstanceStep, state: Unit) -> bool:
    return step.restart or (step.start_if_stopped and not state.running)


def _prepare_unit(node: LocalNode, unit: str, state: Unit, reload_systemd: bool, done: list[str]) -> Unit:
    """Let systemd read its units where they may be newer than what it knows; enable the unit."""
    if reload_systemd:
        node.systemd.daemon_reload()
        state = node.systemd.unit(unit)
    if not state.present:
        raise StepError(
            f"systemd knows no unit {unit}",
            why="the generator rejected the unit file"
            if node.host.exists(QUADLET_ROOT)
            else "no package or file brings it",
            fix="the log lines say why; or correct `unit` and `packages` in service.yml",
            log=node.systemd.generator_log(unit),
        )
    if state.load == "masked":
        node.systemd.unmask(unit)
        done.append(f"unmasked {unit}")
        state = node.systemd.unit(unit)
    if state.file_state == "disabled":
        node.systemd.enable(unit)
        done.append(f"enabled {unit}")
    return state


def _bring_into_force(node: LocalNode, step: InstanceStep, state: Unit | None, done: list[str]) -> bool:
    """Restart, reload or start as the step says, and record it; tell whether anything was done."""
    wanted = step.instance
    name, unit = wanted.name, wanted.unit
    patience = wanted.stop_timeout + wanted.health.timeout + _MARGIN
    running = state is not None and state.running
    if step.restart:
        if applies := _applies(wanted):
            _command(node, applies, name)
            done.append("applied")
        if unit and not (applies and running):
            _refuse_taken(node, wanted, running)
            node.systemd.restart(unit, patience)
            done.append(f"restarted {unit}" if running else f"started {unit}")
        _record_start(node, wanted)
        return True
    if step.start_if_stopped and unit and not running:
        _refuse_taken(node, wanted, running)
        node.systemd.restart(unit, patience)
        done.append(f"started {unit}")
        _record_start(node, wanted)
        return True
    if step.reload and (running or not unit):
        _reload(node, wanted)
        done.append("reloaded")
        _record_reload(node, wanted)
        return True
    return False


def _refuse_taken(node: LocalNode, wanted: Wanted, running: bool) -> None:
    """Whoever else listens where this instance is to would pass for it, and be believed healthy.

    A container of its name, also one that somebody made by hand, is replaced by the start.
    """
    name = wanted.name
    if running or (wanted.kind == "container" and node.engine.exists(name)):
        return
    if who := health.listener(wanted.health, node.host):
        raise StepError(
            f"{name} cannot start, its port is in use",
            why=f"{who}, and does not belong to it",
            fix="stop that process or let it listen elsewhere, then apply again",
        )


def _reload(node: LocalNode, wanted: Wanted) -> None:
    action, name = wanted.reload_action or ReloadAction(), wanted.name
    if action.command:
        done = node.executor(name, wanted.kind)(action.command)
        if not done.ok:
            raise StepError(
                f"{name} cannot be reloaded", why=f"exit code {done.code}", log=done.lines(), fix="apply again"
            )
    elif wanted.kind == "container":
        if action.signal:
            node.engine.signal(name, action.signal)
    elif wanted.apply:
        _command(node, wanted.apply, name)
    elif action.signal:
        node.systemd.kill(wanted.unit, action.signal)
    elif wanted.unit:
        node.systemd.reload(wanted.unit)


def _command(node: LocalNode, argv: Sequence[str], name: str) -> None:
    done = node.host.run(argv, timeout=300)
    if not done.ok:
        raise StepError(
            f"{name}: `{' '.join(argv)}` failed",
            why=f"exit code {done.code}",
            fix="the lines below say why",
            log=done.lines(),
        )


def _record_start(node: LocalNode, wanted: Wanted) -> None:
    """A container carries its start digest as a label; for the node's own units the record does."""
    if wanted.kind == "container":
        records.write_record(node.host, wanted.name, records.Start())
        return
    invocation = node.systemd.unit(wanted.unit).invocation if wanted.unit else ""
    records.write_record(node.host, wanted.name, records.Start(id=invocation, start=wanted.start, reload=wanted.reload))


def _record_reload(node: LocalNode, wanted: Wanted) -> None:
    name, found = wanted.name, records.record(node.host, wanted.name)
    if wanted.kind == "container":
        try:
            container = node.container(name)
        except EngineError as error:
            raise engine_failure(error) from error
        found = replace(found, id=container.id if container else "")
    records.write_record(node.host, name, replace(found, reload=wanted.reload))


def _purge(node: LocalNode, path: str, done: list[str]) -> None:
    folder, top = node.host.path(path), node.host.path(DATA_ROOT)
    if top not in folder.resolve().parents:
        raise StepError(
            f"{path} is not removed", why=f"it is not below {DATA_ROOT}", fix="remove it by hand if it should go"
        )
    if folder.is_dir():
        shutil.rmtree(folder)
        files.prune_empty(folder.parent, top)
        done.append(f"purged {path}")
