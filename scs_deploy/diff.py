"""The pure function from desired and observed state to a plan: what differs, why, and what that takes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scs_deploy import order
from scs_deploy.ansible_collections.scs.deploy.plugins.module_utils.mask import HIDDEN, mask
from scs_deploy.desired import File, Instance, Item, JobRun
from scs_deploy.model.region import Region
from scs_deploy.order import Order
from scs_deploy.plan import Change, Plan, Step, Wave
from scs_deploy.references import CLOSE, OPEN
from scs_deploy.seal import Sealed, digest

_REFERENCE = re.compile(f"{OPEN}[^{CLOSE}]*{CLOSE}")
_CONTEXT_LINES = 2
_MISSING = "missing"

Observed = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything a plan is made from."""

    region: Region
    sealed: Sealed
    order: Order
    observed: Observed
    """node -> answer of the observe module"""
    unreachable: Mapping[str, str]
    """node -> why"""
    limit: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    purge: bool = False


def make_plan(inputs: Inputs) -> Plan:
    """Compare desired with observed; raises nothing: what cannot be known is in ``Plan.unknown``."""
    maintenance = {node.name for node in inputs.region.nodes if node.state == "maintenance"}
    wanted_nodes = [
        name for name in inputs.observed if name not in maintenance and (not inputs.limit or name in inputs.limit)
    ]
    steps: list[Step] = []
    pending = {
        job.name: job for job in inputs.sealed.desired.jobs if job.node in wanted_nodes and _job_due(job, inputs)
    }
    for node in wanted_nodes:
        steps += _image_steps(node, inputs)
        for instance in inputs.sealed.desired.on(node):
            steps += _instance_steps(instance, inputs, pending)
        steps += _removals(node, inputs)
    steps += [_job_step(job, inputs) for job in pending.values()]
    unknown = {name: why for name, why in inputs.unreachable.items() if name not in maintenance}
    for key, group in _by_service_and_owner(inputs).items():
        if inputs.sealed.desired.owners[key[1]].node in wanted_nodes:
            steps += _resource_steps(key, group, inputs, unknown)
    if inputs.services:
        steps = [step for step in steps if step.service in inputs.services]
    notes = tuple(f"node {name} is in maintenance: nothing is planned for it" for name in sorted(maintenance))
    return Plan(
        inputs.region.name,
        inputs.region.release,
        _waves(_batched(_with_needs(steps, inputs), inputs)),
        unknown,
        notes,
        inputs.limit,
        inputs.services,
    )


# -- instances -------------------------------------------------------------------------------------------------------------


def _instance_steps(instance: Instance, inputs: Inputs, pending: Mapping[str, JobRun]) -> list[Step]:
    seen = inputs.observed[instance.node].get("instances", {}).get(instance.name, {})
    extra = sorted({*_unexpected_files(instance, inputs), *seen.get("extra", ())})
    written, changes = _file_changes(instance, seen)
    changes += [Change(path, "delete: not managed here") for path in extra]
    changes += [Change(f"package {name}", "install") for name in seen.get("packages", {}).get("missing", ())]
    changes += [Change(path, f"folder {how}") for path, how in _folder_changes(seen)]
    if seen.get("recorded") is False and not changes:
        changes.append(Change("the node's record of it", "written anew"))
    running = seen.get("running")
    restart, reload, reasons = _restart(instance, inputs.sealed, seen, changes)
    unit = seen.get("unit", {})
    stopped = bool(instance.unit) and (
        unit.get("active") not in {"active", "activating"} or unit.get("enabled") in {"disabled", "masked"}
    )
    if running and stopped and not restart:
        reasons.append(f"its unit is {unit.get('active', 'absent')} and {unit.get('enabled', 'absent')}")
    if not changes and not restart and not reload and not stopped:
        return []
    if running and changes and not reasons:
        reasons.append("drift: it was changed on the node, not by scs-deploy; what runs is right")
    new = running is None and unit.get("active", "") != "active" and not _exists(seen, instance)
    action = "create" if new else "update" if changes else "restart" if restart else "reload" if reload else "start"
    key = order.component(instance.component)
    step = Step(
        id=instance.id,
        kind="instance",
        node=instance.node,
        subject=instance.name,
        service=instance.service,
        action=action,  # type: ignore[arg-type]
        level=inputs.order.level[key],
        reasons=tuple(dict.fromkeys(reasons)),
        changes=tuple(changes),
        restart=restart,
        reload=reload,
        pause=instance.pause if restart and not new else "",
        write=tuple(written),
        delete=tuple(extra),
        identity=digest(
            inputs.sealed.start[instance.id],
            inputs.sealed.reload[instance.id],
            *sorted(inputs.sealed.files[instance.id].values()),
        ),
    )
    if any(instance.name == job.instance and instance.node == job.node for job in pending.values()):
        return _split(step, inputs)
    return [step]


def _split(step: Step, inputs: Inputs) -> list[Step]:
    """Files first, because a job needs them; the start when the job is done."""
    component = step.subject.partition(".")[0]
    files = replace(
        step,
        id=f"{step.id}#files",
        action="prepare",
        level=inputs.order.level.get(order.prepare(component), step.level),
        restart=False,
        reload=False,
        pause="",
        reasons=("a job of this plan needs its files",),
    )
    return [files, replace(step, changes=(), write=(), delete=())]


def _exists(seen: Mapping[str, Any], instance: Instance) -> bool:
    absent = sum(entry.get("state") == "absent" for entry in seen.get("files", {}).values())
    return absent < len(instance.files) if instance.files else bool(seen)


def _started_from_drift(instance: Instance, running: Mapping[str, Any], seen: Mapping[str, Any]) -> list[str]:
    """Files that were edited by hand before the process's last start: it runs with what they said."""
    entries: Mapping[str, Mapping[str, Any]] = seen.get("files", {})
    return [
        file.path
        for file in instance.files
        if file.effect == "restart"
        and (entry := entries.get(file.path))
        and not entry.get("same_content")
        and 0 < float(entry.get("changed") or 0) < float(running.get("since") or 0)
    ]


def _restart(
    instance: Instance, sealed: Sealed, seen: Mapping[str, Any], changes: Sequence[Change]
) -> tuple[bool, bool, list[str]]:
    """Decide by the digests recorded at the last start; the reasons are for people."""
    if instance.kind == "host" and not instance.unit and not instance.apply:
        return False, False, [change.how for change in changes[:1]] if not changes else []
    running: Mapping[str, Any] | None = seen.get("running")
    if running is None:
        return True, False, ["it does not run"]
    if running.get("start") != sealed.start[instance.id]:
        reasons = [
            f"{change.what.rpartition('/')[2]} {change.how.partition(':')[0]}"
            for change in changes
            if change.what.startswith("/")
        ]
        if instance.image and running.get("image") != instance.image:
            reasons.append(f"image {str(running.get('image'))[:12]} becomes {instance.image[:12]}")
        return True, False, reasons or ["it was started from earlier input"]
    late = _started_from_drift(instance, running, seen)
    if late:
        return True, False, [f"it was started after {path} had been edited by hand" for path in late]
    if running.get("reload") != sealed.reload[instance.id]:
        return (
            False,
            True,
            [f"{change.what.rpartition('/')[2]} {change.how}" for change in changes]
            or ["it has not loaded its last input"],
        )
    return False, False, []


def _file_changes(instance: Instance, seen: Mapping[str, Any]) -> tuple[list[str], list[Change]]:
    differing: Mapping[str, Mapping[str, Any]] = seen.get("files", {})
    written: list[str] = []
    changes: list[Change] = []
    quiet: list[str] = []
    for file in instance.files:
        entry = differing.get(file.path)
        if not seen:
            entry = {"state": "absent"}
        if entry is None:
            continue
        written.append(file.path)
        if file.bookkeeping:
            quiet.append(file.path)
        else:
            changes.append(_file_change(file, entry))
    if quiet:
        changes.append(Change(f"{len(quiet)} files of reconcilers and hooks", "written"))
    return written, changes


def _file_change(file: File, entry: Mapping[str, Any]) -> Change:
    if entry["state"] == "absent":
        return Change(file.path, "created", "" if file.opaque else _unified("", shown(file), file.path))
    if entry.get("same_content"):
        old = f"{entry.get('mode')} {entry.get('uid')}:{entry.get('gid')}"
        return Change(file.path, f"mode and owner: {old} becomes {file.mode} {file.uid}:{file.gid}")
    if file.opaque or entry.get("text") is None:
        return Change(file.path, "changed (content is secret)")
    diff = _unified(str(entry["text"]), shown(file), file.path)
    return Change(file.path, "changed", diff or "  (only values that are secret differ)")


def shown(file: File) -> str:
    """Return the wanted text as people may see it."""
    return mask(_REFERENCE.sub(HIDDEN, file.text), file.masked)


def _unified(old: str, new: str, path: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"on the node: {path}", "wanted", lineterm="", n=_CONTEXT_LINES
    )
    return "\n".join(lines)


def _folder_changes(seen: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for path, entry in seen.get("dirs", {}).items():
        yield path, "created" if entry.get("state") == "absent" else "mode and owner corrected"


def _unexpected_files(instance: Instance, inputs: Inputs) -> list[str]:
    prefix = f"/etc/scs-deploy/{instance.name}/"
    found = inputs.observed[instance.node].get("unexpected", {}).get("files", ())
    return sorted(path for path in found if path.startswith(prefix))


def _removals(node: str, inputs: Inputs) -> Iterable[Step]:
    unexpected = inputs.observed[node].get("unexpected", {})
    last = max(inputs.order.level.values(), default=0) + 1
    gone: Mapping[str, Mapping[str, Any]] = unexpected.get("instances", {})
    stray_containers = [name for name in unexpected.get("containers", ()) if name not in gone]
    for name, entry in sorted(gone.items()):
        changes = tuple(Change(path, "deleted") for path in entry.get("files", ()))
        kept = "its data is deleted too" if inputs.purge else "its data is kept"
        level = last + (entry.get("kind") == "host")
        yield Step(
            f"{node}/{name}", "instance", node, name, "", "remove", level, reasons=(f"the region does not place it here any more; {kept}",),
            changes=changes, restart=False, pause="it stops for good", delete=tuple(entry.get("files", ())), identity=str(inputs.purge),
        )  # fmt: skip
    for name in sorted(stray_containers):
        yield Step(
            f"{node}/{name}",
            "instance",
            node,
            name,
            "",
            "remove",
            last,
            reasons=("a container with our label that nothing declares",),
        )
    here = {instance.name for instance in inputs.sealed.desired.on(node)} | set(gone)
    stray = [path for path in unexpected.get("files", ()) if path.split("/")[3] not in here]
    folders: dict[str, list[str]] = {}
    for path in stray:
        folders.setdefault(path.split("/")[3], []).append(path)
    for folder, paths in sorted(folders.items()):
        yield Step(
            f"{node}/{folder}", "instance", node, folder, "", "remove", last, reasons=("files below the managed folder that nothing declares",),
            changes=tuple(Change(path, "deleted") for path in paths), delete=tuple(paths),
        )  # fmt: skip


# -- images, jobs, resources -----------------------------------------------------------------------------------------------


def _image_steps(node: str, inputs: Inputs) -> Iterable[Step]:
    present = set(inputs.observed[node].get("images", ()))
    wanted = {one.image: one.image_reference for one in inputs.sealed.desired.on(node) if one.image}
    users = {one.image: one.service for one in inputs.sealed.desired.on(node) if one.image}
    for image, name in sorted(wanted.items(), key=lambda pair: pair[1]):
        if image not in present:
            yield Step(
                f"{node}/image {name}", "image", node, name, users[image], "fetch", inputs.order.level[order.IMAGES],
                reasons=("the node does not have it",), identity=image,
            )  # fmt: skip


def _job_due(job: JobRun, inputs: Inputs) -> bool:
    record = inputs.observed[job.node].get("jobs", {}).get(job.name, {})
    return not (record.get("state") == "done" and record.get("digest") == inputs.sealed.jobs[job.id])


def _job_step(job: JobRun, inputs: Inputs) -> Step:
    record = inputs.observed[job.node].get("jobs", {}).get(job.name, {})
    reasons = {
        "never": "it never ran",
        "started": "it was started and not finished",
        "done": "what it depends on has changed",
    }
    return Step(
        job.id, "job", job.node, job.name, job.service, "run", inputs.order.level[order.job(job.name)],
        reasons=(reasons.get(str(record.get("state", "never")), "it never ran"),), identity=inputs.sealed.jobs[job.id],
    )  # fmt: skip


def _by_service_and_owner(inputs: Inputs) -> dict[tuple[str, str], list[Item]]:
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in inputs.sealed.desired.items:
        groups.setdefault((item.service, item.owner), []).append(item)
    for owner in inputs.sealed.desired.owners:
        groups.setdefault((owner, owner), [])
    return groups


def _resource_steps(
    key: tuple[str, str], items: Sequence[Item], inputs: Inputs, unknown: dict[str, str]
) -> Iterable[Step]:
    service, owner_name = key
    owner = inputs.sealed.desired.owners[owner_name]
    answer = (
        inputs.observed[owner.node].get("owners", {}).get(owner_name, {"state": "unknown", "why": "not deployed yet"})
    )
    deployed = inputs.observed[owner.node].get("instances", {}).get(owner.instance, {}).get("running") is not None
    known = answer.get("state") == "ok"
    if not known and deployed:
        unknown[f"{owner.node}/{owner.instance} resources"] = str(answer.get("why", ""))
    seen = (
        {(kind, item["name"]): item for kind, found in answer.get("items", {}).items() for item in found}
        if known
        else {}
    )
    changes: list[Change] = []
    operations: list[dict[str, Any]] = []
    for item in items:
        how = _item_difference(item, seen.get((item.kind, item.name)), inputs.sealed.items[item.id])
        if how:
            operations.append(_operation(item, "create" if how == _MISSING else "update", inputs))
            changes.append(Change(f"{item.kind} {item.name}", "create" if how == _MISSING else how))
    if service == owner_name:
        changes += _orphans(owner_name, seen, inputs, operations)
    if operations:
        level_key = order.resources(service, owner_name)
        fallback = inputs.order.level[order.component(owner.component)] + 1
        yield Step(
            f"{owner.node}/{owner_name} resources of {service}", "resources", owner.node, owner_name, service, "apply",
            inputs.order.level.get(level_key, fallback),
            reasons=("they differ",) if known else ("their owner cannot tell yet, so all are ensured",),
            changes=tuple(changes), operations=tuple(operations),
        )  # fmt: skip


def _item_difference(item: Item, seen: Mapping[str, Any] | None, wanted_secret: str) -> str:
    if seen is None:
        return _MISSING
    attrs = seen.get("attrs", {})
    parts = [
        f"{key}: {attrs.get(key)!r} becomes {value!r}" for key, value in item.attrs.items() if attrs.get(key) != value
    ]
    if wanted_secret and seen.get("secret") != wanted_secret:
        parts.append("secret is set anew")
    return "; ".join(parts)


def _operation(item: Item, op: str, inputs: Inputs) -> dict[str, Any]:
    return {
        "kind": item.kind, "op": op, "name": item.name, "attrs": dict(item.attrs), "secret": item.secret,
        "digest": inputs.sealed.items[item.id],
    }  # fmt: skip


def _orphans(
    owner: str, seen: Mapping[tuple[str, str], Any], inputs: Inputs, operations: list[dict[str, Any]]
) -> list[Change]:
    wanted = {(item.kind, item.name) for item in inputs.sealed.desired.items if item.owner == owner}
    changes = []
    for (kind, name), item in seen.items():
        if (kind, name) not in wanted and (inputs.purge or not item.get("keep")):
            operations.append(
                {"kind": kind, "op": "delete", "name": name, "attrs": item.get("attrs", {}), "secret": "", "digest": ""}
            )
            changes.append(Change(f"{kind} {name}", "delete: nothing declares it any more"))
    return changes


# -- order -----------------------------------------------------------------------------------------------------------------


def _with_needs(steps: Sequence[Step], inputs: Inputs) -> list[Step]:
    """Name, for each step, the steps of this plan that must succeed before it."""
    by_key: dict[str, list[str]] = {}
    for step in steps:
        by_key.setdefault(_key(step), []).append(step.id)
    done = []
    for step in steps:
        before = inputs.order.predecessors(_key(step))
        needs = [id_ for key in before for id_ in by_key.get(key, ()) if _concerns(key, id_, step)]
        done.append(replace(step, needs=tuple(sorted(needs))))
    return done


def _concerns(key: str, id_: str, step: Step) -> bool:
    """Host components, files and images of another node are no business of a step."""
    local = key == order.IMAGES or key.startswith("files of ")
    return not local or id_.startswith(f"{step.node}/")


def _key(step: Step) -> str:
    component = step.subject.partition(".")[0]
    if step.kind == "job":
        return order.job(step.subject)
    if step.kind == "image":
        return order.IMAGES
    if step.kind == "resources":
        return order.resources(step.id.rpartition(" ")[2], step.subject)
    return order.prepare(component) if step.action == "prepare" else order.component(component)


def _batched(steps: Sequence[Step], inputs: Inputs) -> list[Step]:
    """Spread the interruptions of one component over its failure domains: one batch each, in order of name."""
    zones = {node.name: inputs.region.domain_of(node) for node in inputs.region.nodes}
    touched: dict[str, set[str]] = {}
    for step in steps:
        if _interrupts(step):
            touched.setdefault(_key(step), set()).add(zones.get(step.node, ""))
    return [
        replace(step, batch=sorted(touched[_key(step)]).index(zones.get(step.node, ""))) if _interrupts(step) else step
        for step in steps
    ]


def _interrupts(step: Step) -> bool:
    return step.kind == "instance" and step.restart and step.action in {"update", "restart"}


def _waves(steps: Sequence[Step]) -> tuple[Wave, ...]:
    keys = sorted({(step.level, step.batch) for step in steps})
    waves = []
    for number, key in enumerate(keys, 1):
        members = sorted((step for step in steps if (step.level, step.batch) == key), key=lambda step: step.id)
        waves.append(Wave(number, tuple(members)))
    return tuple(waves)
