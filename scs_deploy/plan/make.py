"""The pure function from desired and observed state to a plan: what differs, why, and what that takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import JobRecord
from scs_deploy.catalogue.ids import image_id
from scs_deploy.plan import clusters, dependencies, instances, one_way, waves
from scs_deploy.plan.inputs import Inputs, Observed
from scs_deploy.plan.plan import Plan, Step
from scs_deploy.plan.removals import removals
from scs_deploy.plan.resources import resource_steps
from scs_deploy.render.desired import JobRun

__all__ = ["Inputs", "Observed", "make_plan"]

_JOB_REASONS = {
    "never": "it never ran",
    "started": "it was started and not finished",
    "done": "what it depends on has changed",
}

_NO_FACTS = "it answered without facts, so what belongs on it is not known"


def make_plan(inputs: Inputs) -> Plan:
    """Compare desired with observed; raises nothing: what cannot be known is in ``Plan.unknown``."""
    maintenance = sorted(node.name for node in inputs.region.nodes if node.state == "maintenance")
    asked = set(inputs.limit or inputs.observed) - set(maintenance)
    strange = inputs.sealed.desired.unrendered
    nodes = [name for name in inputs.observed if name in asked and name not in strange]
    unknown = {name: why for name, why in inputs.unreachable.items() if name not in maintenance}
    unknown |= {name: _NO_FACTS for name in inputs.observed if name in asked and name in strange}
    steps, kept = waves.kept_for_others(_steps(nodes, inputs, unknown), inputs)
    if inputs.services:
        steps = [step for step in steps if step.service in inputs.services]
    away = {**dict.fromkeys(inputs.unreachable, "unreachable"), **dict.fromkeys(maintenance, "in maintenance")}
    steps, held = waves.held_back(steps, away, inputs.sealed.desired)
    notes = [f"node {name} is in maintenance: nothing is planned for it" for name in maintenance]
    return Plan(
        inputs.region.name,
        inputs.region.release,
        waves.waves(waves.batched(waves.with_needs(steps, inputs), inputs)),
        unknown,
        (*notes, *held, *kept, *clusters.unformed(inputs), *one_way.notes(steps, inputs)),
        inputs.limit,
        inputs.services,
        inputs.purge,
    )


def _steps(nodes: Sequence[str], inputs: Inputs, unknown: dict[str, str]) -> list[Step]:
    desired = inputs.sealed.desired
    blind = {node: why for node in nodes if (why := _blind(node, inputs))}
    unknown |= {f"{node} containers": why for node, why in blind.items()}
    jobs = [job for job in desired.jobs if job.node in nodes and job.node not in blind and _job_due(job, inputs)]
    awaited = {(job.node, job.instance) for job in jobs}
    steps: list[Step] = []
    for node in nodes:
        wanted_here = {file.path for instance in desired.on(node) for file in instance.files}
        steps += [] if node in blind else _image_steps(node, inputs)
        for instance in desired.on(node):
            if node in blind and instance.kind == "container":
                continue
            steps += instances.steps_of(instance, inputs, wanted_here, (node, instance.name) in awaited)
        steps += [
            one
            for one in removals(node, inputs)
            if node not in blind or not (one.removed and one.removed.kind == "host")
        ]
    steps += [_job_step(job, inputs) for job in jobs]
    steps += list(resource_steps(nodes, inputs, steps, unknown))
    return clusters.forming(steps, inputs)


def _blind(node: str, inputs: Inputs) -> str:
    """Return why the containers of a node cannot be known although some are deployed there; empty if they can."""
    return next((why for one in inputs.sealed.desired.on(node) if (why := instances.hidden_by_engine(one, inputs))), "")


def _image_steps(node: str, inputs: Inputs) -> Iterator[Step]:
    present = set(inputs.observed[node].images)
    wanted = {one.image: one for one in reversed(inputs.sealed.desired.on(node)) if one.kind == "container"}
    for image, user in sorted(wanted.items(), key=lambda pair: pair[1].image_reference):
        if image not in present:
            yield Step(
                id=image_id(node, user.image_reference),
                kind="image",
                node=node,
                subject=user.image_reference,
                service=user.service,
                action="fetch",
                level=inputs.order.level[dependencies.IMAGES],
                reasons=("the node does not have it",),
                identity=image,
            )


def _job_due(job: JobRun, inputs: Inputs) -> bool:
    return inputs.observed[job.node].jobs.get(job.name) != JobRecord("done", inputs.sealed.jobs[job.id])


def _job_step(job: JobRun, inputs: Inputs) -> Step:
    record = inputs.observed[job.node].jobs.get(job.name, JobRecord())
    return Step(
        id=job.id,
        kind="job",
        node=job.node,
        subject=job.name,
        service=job.service,
        action="run",
        level=inputs.order.level[dependencies.job(job.name)],
        reasons=(_JOB_REASONS[record.state],),
        identity=inputs.sealed.jobs[job.id],
    )
