"""Instances: what differs on a node, whether that takes a restart, and why."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Running, Seen, UnitSeen
from scs_deploy.catalogue.names import is_unit_file
from scs_deploy.errors import Finding
from scs_deploy.plan import dependencies, files, one_way
from scs_deploy.plan.inputs import Inputs
from scs_deploy.plan.plan import Action, Change, Step
from scs_deploy.render.desired import File, Instance
from scs_deploy.render.digests import Sealed

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
    engine = inputs.observed[instance.node].engine
    if instance.kind != "container" or engine.state != "unreachable":
        return ""
    seen = inputs.seen(instance.node, instance.name)
    deployed = seen is not None and (seen.recorded or seen.unit.active in _RUNNING)
    return (engine.why or "the engine does not answer") if deployed else ""


def steps_of(instance: Instance, inputs: Inputs, wanted_here: Collection[str], awaited: bool) -> list[Step]:
    """Return no step, one, or two: where a job of the plan needs the files (``awaited``), they are written before it runs."""
    seen = inputs.seen(instance.node, instance.name)
    found = files.differing(instance, seen)
    stray = inputs.observed[instance.node].unexpected.files
    extra = files.leftovers(instance.name, seen, stray, wanted_here)
    changes = [
        *files.changes(found),
        *(Change(path, "delete: not managed here") for path in extra),
        *(Change(f"package {name}", "install") for name in (seen.packages.missing if seen else ())),
        *files.folder_changes(seen),
    ]
    if not changes and seen and not seen.recorded:
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
        identity=inputs.sealed.identity(instance.id),
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
        identity=inputs.sealed.identity(instance.id),
    )


def _refused(instance: Instance, seen: Seen | None) -> tuple[Finding, ...]:
    """What the node cannot do for it: told before a start that would fail takes away what runs."""
    use = f", for a {instance.purpose}" if instance.purpose else ""
    lacking = (
        Finding(
            f"the device {path} does not exist on the node",
            why=f"{instance.name} is to be given it{use}",
            fix=f"look why {instance.node} does not have it, or correct region.yml",
            path=instance.id,
        )
        for path in (seen.devices.missing if seen else ())
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
        id=step.id.files,
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


def _stopped(instance: Instance, seen: Seen | None) -> bool:
    unit = seen.unit if seen else UnitSeen()
    return bool(instance.unit) and (unit.active not in _RUNNING or unit.enabled in _OFF)


def _is_new(instance: Instance, seen: Seen | None) -> bool:
    """Nothing of it is there: neither a file nor the node's record of it, and what runs was not started by us."""
    if seen is None:
        return True
    if seen.recorded or (seen.running and seen.running.start):
        return False
    if instance.kind == "container" and (seen.running or seen.unit.active == "active"):
        return False
    return all(file.path in seen.files and seen.files[file.path].state == "absent" for file in instance.files)


def _ours(seen: Seen | None) -> bool:
    """Something runs that we started, so that a restart takes it away from somebody."""
    return bool(seen and seen.running and (seen.running.start or seen.recorded))


def _reasons(seen: Seen | None, written: Sequence[File], effect: _Effect, stopped: bool) -> tuple[str, ...]:
    reasons, running, unit = list(effect.reasons), seen and seen.running, seen.unit if seen else UnitSeen()
    if stopped and (running or unit.enabled in _OFF):
        reasons.append(f"its unit is {unit.active or 'absent'} and {unit.enabled or 'absent'}")
    if not reasons and running and any(file.effect != "none" for file in written):
        reasons.append("drift: it was changed on the node, not by scs-deploy; what runs is right")
    return tuple(dict.fromkeys(reasons))


@dataclass(frozen=True, slots=True)
class _Case:
    """An instance that runs, and how it differs."""

    instance: Instance
    sealed: Sealed
    seen: Seen
    running: Running
    changes: Sequence[Change]

    @property
    def engine_moves(self) -> str:
        """Say how its engine changes; empty where it stays."""
        before = self.running.engine
        if self.instance.kind == "host" or before in {"", self.instance.engine}:
            return ""
        return f"the engine becomes {self.instance.engine} ({before} before)"

    @property
    def other_image(self) -> str:
        """The image that it should run and does not."""
        wanted = self.instance.image if self.instance.kind == "container" else self.running.image
        return wanted if wanted != self.running.image else ""

    @property
    def named(self) -> tuple[str, ...]:
        """What has changed, as reasons name it."""
        return (*filter(None, [self.engine_moves]), *(
            f"{change.what.rpartition('/')[2]} {change.how.partition(':')[0]}"
            for change in self.changes
            if change.what.startswith("/") and not (self.engine_moves and is_unit_file(change.what))
        ))  # fmt: skip


def _input_differs(case: _Case) -> _Effect | None:
    """By the digest that was recorded at its last start."""
    if not case.engine_moves and case.running.start == case.sealed.start[case.instance.id]:
        return None
    named, start = case.named, case.running.start
    if case.other_image:
        named += (f"image {case.running.image[:12]} becomes {case.other_image[:12]}",)
    earlier = "it was started from earlier input" if start else "a restart was begun and not finished"
    return _Effect(restart=True, reasons=named or (earlier,))


def _image_differs(case: _Case) -> _Effect | None:
    return (
        _Effect(restart=True, reasons=(f"it runs the image {case.running.image[:12]}",)) if case.other_image else None
    )


def _folder_lost(case: _Case) -> _Effect | None:
    lost = [path for path, entry in case.seen.dirs.items() if entry.state == "absent"]
    if not lost or case.instance.kind != "container":
        return None
    return _Effect(restart=True, reasons=tuple(f"it still has the deleted folder {path} mounted" for path in lost))


def _started_from_drift(case: _Case) -> _Effect | None:
    """Files that were edited by hand before the process's last start: it runs with what they said.

    Podman and systemd tell starts in whole seconds, so an edit within that second counts as one before it.
    """
    late = [
        file.path
        for file in case.instance.files
        if file.effect == "restart"
        and (entry := case.seen.files.get(file.path))
        and not entry.same_content
        and 0 < entry.changed < case.running.since + 1
    ]
    reasons = tuple(f"it was started after {path} had been edited by hand" for path in late)
    return _Effect(restart=True, reasons=reasons) if late else None


def _reload_due(case: _Case) -> _Effect | None:
    if case.running.reload == case.sealed.reload[case.instance.id]:
        return None
    return _Effect(reload=True, reasons=case.named or ("it has not loaded its last input",))


def _not_in_force(case: _Case) -> _Effect | None:
    if case.instance.kind != "host" or case.seen.healthy is not False:
        return None
    gentle = case.instance.reload_action is not None
    return _Effect(restart=not gentle, reload=gentle, reasons=(f"not in force: {case.seen.why}",))


_CAUSES = (_input_differs, _image_differs, _folder_lost, _started_from_drift, _reload_due, _not_in_force)
"""Why something that runs is restarted or reloaded; the first that holds counts."""


def _effect(instance: Instance, sealed: Sealed, seen: Seen | None, changes: Sequence[Change]) -> _Effect:
    if instance.kind == "host" and instance.files_only:
        return _Effect()
    if seen is None or seen.running is None:
        return _Effect(restart=True, reasons=("it does not run" if instance.unit else "it was never applied",))
    case = _Case(instance, sealed, seen, seen.running, changes)
    return next((effect for cause in _CAUSES if (effect := cause(case))), _Effect())
