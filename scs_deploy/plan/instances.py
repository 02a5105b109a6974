"""Instances: what differs on a node, whether that takes a restart, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scs_deploy.catalogue.names import is_unit_file
from scs_deploy.errors import Finding
from scs_deploy.plan import dependencies, files, one_way
from scs_deploy.plan.inputs import Inputs
from scs_deploy.plan.plan import Action, Change, Step
from scs_deploy.render.desired import File, Instance
from scs_deploy.render.digests import Sealed, digest

_RUNNING = {"active", "activating", "reloading"}
_OFF = {"disabled", "masked"}


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a difference takes."""

    restart: bool = False
    reload: bool = False
    reasons: tuple[str, ...] = ()


def hidden_by_engine(instance: Instance, inputs: Inputs) -> str:
    """Return why nothing is known of a deployed container; empty if it is known, or was never deployed."""
    engine = inputs.observed[instance.node].get("engine", {})
    if instance.kind != "container" or engine.get("state", "ok") != "unreachable":
        return ""
    seen = inputs.seen(instance.node, instance.name)
    deployed = seen.get("recorded") or seen.get("unit", {}).get("active") in _RUNNING
    return str(engine.get("why") or "the engine does not answer") if deployed else ""


def steps_of(instance: Instance, inputs: Inputs, wanted_here: Collection[str], awaited: bool) -> list[Step]:
    """Return no step, one, or two: where a job of the plan needs the files (``awaited``), they are written before it runs."""
    seen = inputs.seen(instance.node, instance.name)
    found = files.differing(instance, seen)
    stray = inputs.observed[instance.node].get("unexpected", {}).get("files", ())
    extra = files.leftovers(instance.name, seen, stray, wanted_here)
    changes = [
        *files.changes(found),
        *(Change(path, "delete: not managed here") for path in extra),
        *(Change(f"package {name}", "install") for name in seen.get("packages", {}).get("missing", ())),
        *files.folder_changes(seen),
    ]
    if not changes and seen.get("recorded") is False:
        changes.append(Change("the node's record of it", "written anew"))
    effect = _effect(instance, inputs.sealed, seen, changes)
    stopped = _stopped(instance, seen)
    if not changes and not effect.restart and not effect.reload and not stopped:
        return []
    new = _is_new(instance, seen)
    step = Step(
        id=instance.id,
        kind="instance",
        node=instance.node,
        subject=instance.name,
        service=instance.service,
        action="create" if new else _action(changes, effect),
        level=inputs.order.level[dependencies.component(instance.component)],
        reasons=(
            *(() if new else _reasons(seen, [file for file, _ in found], effect, stopped)),
            *(one_way.passed(instance, seen) if effect.restart else ()),
        ),
        changes=tuple(changes),
        restart=effect.restart,
        reload=effect.reload,
        interrupts=effect.restart and not new and _ours(seen),
        pause=instance.pause if effect.restart and not new else "",
        write=tuple(file.path for file, _ in found),
        delete=tuple(extra),
        refused=_refused(instance, seen) if effect.restart or stopped else (),
        identity=_identity(instance, inputs.sealed),
    )
    return _split(step, instance, inputs) if awaited and changes else [step]


def restart_of(instance: Instance, inputs: Inputs) -> Step:
    """Return the restart of an instance that differs in nothing and serves nobody; why is for the caller to say."""
    return Step(
        id=instance.id,
        kind="instance",
        node=instance.node,
        subject=instance.name,
        service=instance.service,
        action="restart",
        level=inputs.order.level[dependencies.component(instance.component)],
        restart=True,
        refused=_refused(instance, inputs.seen(instance.node, instance.name)),
        identity=_identity(instance, inputs.sealed),
    )


def _identity(instance: Instance, sealed: Sealed) -> str:
    files = sealed.files[instance.id]
    return digest(sealed.start[instance.id], sealed.reload[instance.id], *sorted(files.values()))


def _refused(instance: Instance, seen: Mapping[str, Any]) -> tuple[Finding, ...]:
    """What the node cannot do for it: told before a start that would fail takes away what runs."""
    use = f", for a {instance.purpose}" if instance.purpose else ""
    lacking = (
        Finding(
            f"the device {path} does not exist on the node",
            why=f"{instance.name} is to be given it{use}",
            fix=f"look why {instance.node} does not have it, or correct region.yml",
            path=instance.id,
        )
        for path in seen.get("devices", {}).get("missing", ())
    )
    return (*instance.unfit, *lacking, *one_way.back(instance, seen))


def _split(step: Step, instance: Instance, inputs: Inputs) -> list[Step]:
    """Files first, because a job needs them; the unit and the start when the job is done.

    Systemd, or the engine, may start it in between: then from the unit that there was.
    """
    first = [change for change in step.changes if not is_unit_file(change.what)]
    if not first:
        return [step]
    before = replace(
        step,
        changes=tuple(first),
        write=tuple(path for path in step.write if not is_unit_file(path)),
        delete=tuple(path for path in step.delete if not is_unit_file(path)),
        id=f"{step.id}#files",
        action="prepare",
        level=inputs.order.level[dependencies.prepare(instance.component)],
        restart=False,
        reload=False,
        interrupts=False,
        pause="",
        reasons=("a job of this plan needs its files",),
    )
    after = replace(
        step,
        changes=tuple(change for change in step.changes if is_unit_file(change.what)),
        write=tuple(filter(is_unit_file, step.write)),
        delete=tuple(filter(is_unit_file, step.delete)),
    )
    return [before, after]


def _action(changes: Sequence[Change], effect: _Effect) -> Action:
    if changes:
        return "update"
    return "restart" if effect.restart else "reload" if effect.reload else "start"


def _stopped(instance: Instance, seen: Mapping[str, Any]) -> bool:
    unit = seen.get("unit", {})
    return bool(instance.unit) and (unit.get("active") not in _RUNNING or unit.get("enabled") in _OFF)


def _is_new(instance: Instance, seen: Mapping[str, Any]) -> bool:
    """Nothing of it is there: neither a file nor the node's record of it, and what runs was not started by us."""
    if not seen:
        return True
    if seen.get("recorded") or (seen.get("running") or {}).get("start"):
        return False
    if instance.kind == "container" and (seen.get("running") or seen.get("unit", {}).get("active") == "active"):
        return False
    found = seen.get("files", {})
    return all(found.get(file.path, {}).get("state") == "absent" for file in instance.files)


def _ours(seen: Mapping[str, Any]) -> bool:
    """Something runs that we started, so that a restart takes it away from somebody."""
    running = seen.get("running")
    return running is not None and bool(running.get("start") or seen.get("recorded"))


def _reasons(seen: Mapping[str, Any], written: Sequence[File], effect: _Effect, stopped: bool) -> tuple[str, ...]:
    reasons, unit = list(effect.reasons), seen.get("unit", {})
    if stopped and (seen.get("running") or unit.get("enabled") in _OFF):
        reasons.append(f"its unit is {unit.get('active') or 'absent'} and {unit.get('enabled') or 'absent'}")
    if not reasons and seen.get("running") and any(file.effect != "none" for file in written):
        reasons.append("drift: it was changed on the node, not by scs-deploy; what runs is right")
    return tuple(dict.fromkeys(reasons))


def _effect(instance: Instance, sealed: Sealed, seen: Mapping[str, Any], changes: Sequence[Change]) -> _Effect:
    """Decide by the digests recorded at the last start; the reasons are for people."""
    if instance.kind == "host" and not instance.unit and not instance.apply:
        return _Effect()
    running: Mapping[str, Any] | None = seen.get("running")
    if running is None:
        return _Effect(restart=True, reasons=("it does not run" if instance.unit else "it was never applied",))
    before = running.get("engine", instance.engine)
    moves = before != instance.engine
    named: tuple[str, ...] = (f"the engine becomes {instance.engine} ({before} before)",) if moves else ()
    named += tuple(
        f"{change.what.rpartition('/')[2]} {change.how.partition(':')[0]}"
        for change in changes
        if change.what.startswith("/") and not (moves and is_unit_file(change.what))
    )
    if moves or running.get("start") != sealed.start[instance.id]:
        if instance.image and running.get("image") != instance.image:
            named += (f"image {str(running.get('image'))[:12]} becomes {instance.image[:12]}",)
        earlier = (
            "it was started from earlier input" if running.get("start") else "a restart was begun and not finished"
        )
        return _Effect(restart=True, reasons=named or (earlier,))
    if instance.image and running.get("image") != instance.image:
        return _Effect(restart=True, reasons=(f"it runs the image {str(running.get('image'))[:12]}",))
    lost = [path for path, entry in seen.get("dirs", {}).items() if entry.get("state") == "absent"]
    if lost and instance.kind == "container":
        return _Effect(restart=True, reasons=tuple(f"it still has the deleted folder {path} mounted" for path in lost))
    if late := _started_from_drift(instance, running, seen):
        return _Effect(
            restart=True, reasons=tuple(f"it was started after {path} had been edited by hand" for path in late)
        )
    if running.get("reload") != sealed.reload[instance.id]:
        return _Effect(reload=True, reasons=named or ("it has not loaded its last input",))
    if instance.kind == "host" and seen.get("healthy") is False:
        gentle = bool(instance.reload_action)
        return _Effect(restart=not gentle, reload=gentle, reasons=(f"not in force: {seen.get('why')}",))
    return _Effect()


def _started_from_drift(instance: Instance, running: Mapping[str, Any], seen: Mapping[str, Any]) -> list[str]:
    """Files that were edited by hand before the process's last start: it runs with what they said.

    Podman and systemd tell starts in whole seconds, so an edit within that second counts as one before it.
    """
    entries: Mapping[str, Mapping[str, Any]] = seen.get("files", {})
    return [
        file.path
        for file in instance.files
        if file.effect == "restart"
        and (entry := entries.get(file.path))
        and not entry.get("same_content")
        and 0 < float(entry.get("changed") or 0) < float(running.get("since") or 0) + 1
    ]
