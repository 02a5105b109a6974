"""From single steps to waves: what each step needs, which batch may be interrupted at a time, and what must wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from scs_deploy.catalogue.ids import Id
from scs_deploy.plan import dependencies
from scs_deploy.plan.inputs import Inputs
from scs_deploy.plan.plan import Enough, Step, Wave
from scs_deploy.plan.resources import deletes
from scs_deploy.render.desired import Desired


def held_back(steps: Sequence[Step], away: Mapping[str, str], desired: Desired) -> tuple[list[Step], list[str]]:
    """Leave out interruptions of a quorum that already lacks a member; ``away`` says of each absent node what it is."""
    votes = {one.component for group in desired.instances.values() for one in group if one.quorum}
    lacking: dict[str, str] = {}
    for node in away:
        for component in (*(one.component for one in desired.on(node)), *desired.unrendered.get(node, ())):
            if component in votes:
                lacking.setdefault(component, node)
    held: dict[str, str] = {}
    for step in steps:
        node = lacking.get(step.component, step.node)
        if step.interrupts and node != step.node:
            held[step.id] = (
                f"{step.id} is not restarted: its member on {node} is {away[node]}, and both must not be missing"
            )
    stay = {step.node for step in steps if step.id in held}
    notes = list(held.values())
    for step in steps:
        if step.node in stay and _removes_host_part(step):
            held[step.id] = ""
            notes.append(f"{step.id} is not removed: what is not restarted may still need it")
    return [step for step in steps if step.whole not in held], notes


def kept_for_others(steps: Sequence[Step], inputs: Inputs) -> tuple[list[Step], list[str]]:
    """Leave out what deletes resources while the plan, limited to nodes or services, leaves processes that may still use them."""
    limit = {*inputs.limit} or {node.name for node in inputs.region.nodes}
    others = sorted(node.name for node in inputs.region.nodes if node.state == "present" and node.name not in limit)
    if inputs.services:
        others += [step.id for step in steps if _ends_use(step) and step.service not in inputs.services]
    kept = [step for step in steps if deletes(step) and (not inputs.services or step.service in inputs.services)]
    if not kept or not others:
        return [*steps], []
    shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
    notes = [f"{step.id} stay: {shown} may still use them; a plan of everything deletes them" for step in kept]
    return [step for step in steps if step not in kept], notes


def with_needs(steps: Sequence[Step], inputs: Inputs) -> list[Step]:
    """Name, for each step, the steps of this plan that must succeed before it."""
    found: dict[str, dict[str, list[Step]]] = {}
    for step in steps:
        found.setdefault(_key(step), {}).setdefault(step.node, []).append(step)
    leaving: dict[str, set[Id]] = {}
    for step in filter(_leaves_it, steps):
        leaving.setdefault(step.node, set()).add(step.id)
    ending = {step.id for step in filter(_ends_use, steps)}
    images = _images(inputs.sealed.desired)
    done = []
    for step in steps:
        local, everywhere = inputs.order.needed(_key(step))
        before = [one for key in local for one in found.get(key, {}).get(step.node, ())]
        enough = []
        for key in sorted(everywhere):
            group = [one for steps_there in found.get(key, {}).values() for one in steps_there]
            if group and (some := _enough(inputs.order.scope(_key(step), key), group, inputs)):
                enough.append(some)
                group = [one for one in group if step.kind == "resources" and one.node == step.node]
            before += group
        needs = {one.id for one in before if one.kind != "image" or one.identity == images.get(step.whole)}
        if _removes_host_part(step):
            needs |= leaving.get(step.node, set())
        if deletes(step):
            needs |= ending
        done.append(replace(step, needs=tuple(sorted(needs)), enough=tuple(enough)))
    return done


def _enough(scope: str, group: Sequence[Step], inputs: Inputs) -> Enough | None:
    """Of a component whose members these steps change; None where each of them must succeed, as there is no other member."""
    desired = inputs.sealed.desired
    members = [one for each in desired.instances.values() for one in each if one.component == group[0].component]
    if scope not in {"any", "quorum"} or not members or members[0].members < 2:
        return None
    up = {one.id for one in members if (seen := inputs.seen(one.node, one.name)) and seen.healthy}
    ids = {step.id for step in group}
    least = members[0].members // 2 + 1 if scope == "quorum" else 1
    return Enough(tuple(sorted(ids)), tuple(sorted(ids & up)), len(up - ids), least)


def batched(steps: Sequence[Step], inputs: Inputs) -> list[Step]:
    """Spread the interruptions of one component over batches, each of which needs the one before.

    A batch is a failure domain; where members vote, or all live in one domain, it is a node. Members that do not run are
    brought up before others are interrupted. An interruption that is refused takes nothing away, so none waits for it; a start
    that is refused leaves a member missing, so the others do.
    """
    groups: dict[str, list[Step]] = {}
    for step in steps:
        if step.interrupts or _brings_up(step):
            groups.setdefault(step.component, []).append(step)
    changed: dict[str, Step] = {}
    domains = _Domains(inputs)
    for component, group in groups.items():
        interruptions = [step for step in group if step.interrupts]
        if not interruptions:
            continue
        brought_up = [step.id for step in group if not step.interrupts]
        before = brought_up if domains.votes(component) else []
        for number, batch in enumerate(domains.split(component, interruptions), 1 if brought_up else 0):
            for step in batch:
                changed[step.id] = replace(step, batch=number, needs=tuple(sorted({*step.needs, *before})))
            before = [step.id for step in batch if not step.refused] or before
    return [changed.get(step.id, step) for step in steps]


def waves(steps: Sequence[Step]) -> tuple[Wave, ...]:
    """Order steps by level and batch; the steps of a wave are ordered by name."""
    groups: dict[tuple[int, int], list[Step]] = {}
    for step in steps:
        groups.setdefault((step.level, step.batch), []).append(step)
    return tuple(
        Wave(number, tuple(sorted(groups[key], key=lambda step: step.id)))
        for number, key in enumerate(sorted(groups), 1)
    )


class _Domains:
    """Where the members of each component are."""

    def __init__(self, inputs: Inputs) -> None:
        self._of = {node.name: inputs.region.domain_of(node) for node in inputs.region.nodes}
        self._members: dict[str, set[str]] = {}
        self._votes: set[str] = set()
        self._host: set[str] = set()
        for group in inputs.sealed.desired.instances.values():
            for instance in group:
                self._members.setdefault(instance.component, set()).add(self._of.get(instance.node, ""))
                if instance.quorum:
                    self._votes.add(instance.component)
                if instance.kind == "host":
                    self._host.add(instance.component)

    def votes(self, component: str) -> bool:
        return component in self._votes

    def split(self, component: str, steps: Iterable[Step]) -> list[list[Step]]:
        alone = component not in self._host and len(self._members.get(component, ())) == 1
        batches: dict[str, list[Step]] = {}
        for step in steps:
            each = self.votes(component) or alone
            batches.setdefault(step.node if each else self._of.get(step.node, ""), []).append(step)
        return [batches[name] for name in sorted(batches)]


_REMOVAL = "removal"


def _removes_host_part(step: Step) -> bool:
    return step.action == "remove" and step.removed is not None and step.removed.kind == "host"


def _leaves_it(step: Step) -> bool:
    """What ends, or starts anew, does without what the node itself ran for it, such as another engine."""
    return step.kind == "instance" and (step.restart or (step.action == "remove" and not _removes_host_part(step)))


def _ends_use(step: Step) -> bool:
    """It must be done before what a process was started with goes; where a start is refused and nothing runs, nobody uses it."""
    return _leaves_it(step) and (step.interrupts or not step.refused)


def _brings_up(step: Step) -> bool:
    return step.kind == "instance" and not step.interrupts and (step.restart or step.action == "start")


def _key(step: Step) -> str:
    if step.action == "remove":
        return _REMOVAL
    if step.kind == "job":
        return dependencies.job(step.subject)
    if step.kind == "image":
        return dependencies.IMAGES
    if step.kind == "resources":
        return dependencies.resources(step.service, step.subject)
    return dependencies.prepare(step.component) if step.action == "prepare" else dependencies.component(step.component)


def _images(desired: Desired) -> dict[Id, str]:
    found = {one.id: one.image for group in desired.instances.values() for one in group if one.kind == "container"}
    return {**found, **{job.id: job.container.image for job in desired.jobs}}
