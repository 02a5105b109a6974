"""Carries out a plan wave by wave; failures are data, and what depends on them is blocked and said so."""

from __future__ import annotations

import getpass
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import Outcome, Told
from scs_deploy.images import layout, read_lock
from scs_deploy.machine import paths
from scs_deploy.machine.engine import find_engine
from scs_deploy.nodes import ansible_run, clocks, messages
from scs_deploy.nodes.answers import Answers
from scs_deploy.nodes.events import EventLog
from scs_deploy.nodes.fleet import Fleet
from scs_deploy.nodes.follow import Watch
from scs_deploy.operations import values
from scs_deploy.operations.plan import Planned, compared
from scs_deploy.operations.site import Site
from scs_deploy.operations.store import Store
from scs_deploy.plan import drift
from scs_deploy.plan.plan import Enough, Plan, Step, Wave
from scs_deploy.render.digests import seal
from scs_deploy.secrets import Vault, pki
from scs_deploy.secrets.placeholders import Resolver


@dataclass(frozen=True, slots=True)
class StepReport:
    """What became of a step: ``ok``, ``failed`` or ``blocked`` (by the steps in ``by``)."""

    step: Step
    status: str
    seconds: float = 0.0
    done: tuple[str, ...] = ()
    error: Mapping[str, Any] = field(default_factory=dict)
    by: tuple[str, ...] = ()
    locked: bool = False
    """It failed because another run holds the node."""


@dataclass(frozen=True, slots=True)
class Report:
    results: tuple[StepReport, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        return all(result.status == "ok" for result in self.results)

    @property
    def locked(self) -> tuple[str, ...]:
        """Nodes that another run holds."""
        return tuple(dict.fromkeys(result.step.node for result in self.results if result.locked))

    def of(self, status: str) -> list[StepReport]:
        return [result for result in self.results if result.status == status]


def holder() -> str:
    """Who holds a node's lock, as another controller reads it."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def refuse_certificates(planned: Planned) -> None:
    """Raise ``DeployError`` when a plan takes new certificates that would not be valid on nodes, by their clocks."""
    if planned.preview and planned.preview.unissued(values.requests(planned.sealed.desired)):
        clocks.refuse_certificates(planned.look.clocks, pki.BACKDATED)


@dataclass(frozen=True, slots=True)
class Ready:
    """A plan that can be carried out: what it relies on is written, its digests and its resolver are of real values."""

    planned: Planned
    resolver: Resolver


def settle(site: Site, store: Store, vault: Vault, planned: Planned) -> Ready:
    """Write what a plan relies on, before the first node has it: new secrets, certificates and the chosen placement.

    Where a preview had stand-ins, the same plan gets the digests of real values. Raises ``DeployError`` as
    ``refuse_certificates`` does, before anything is written.
    """
    refuse_certificates(planned)
    store.keep_placement(site.placement)
    desired = planned.sealed.desired
    if planned.preview:
        requests = values.requests(desired)
        stood_in = planned.preview.missing or planned.preview.unissued(requests)
        vault.complete(site.secrets)
        vault.certify(requests, planned.preview.chosen)
        if stood_in:  # for whatever was made since the look, by this process or by another one
            sealed = seal(desired, values.resolver(site.region, vault, desired))
            plan = compared(site, sealed, planned.look, planned.scope, planned.preview)
            planned = replace(planned, sealed=sealed, plan=plan)
    return Ready(planned, values.resolver(site.region, vault, desired))


def nothing_to_do(site: Site, store: Store, vault: Vault, planned: Planned) -> None:
    """Keep what later runs rely on, after an empty plan."""
    _remember(site, store, settle(site, store, vault, planned).planned, ())


def apply(site: Site, store: Store, fleet: Fleet, ready: Ready, log: EventLog) -> Report:
    """Run all waves; a step whose needs failed is blocked, everything else goes on.

    When Ansible itself ends too early, the steps it was at have failed and all that come later are blocked by them.
    Raises ``Interrupted`` on Ctrl-C.
    """
    started, planned, plan = time.monotonic(), ready.planned, ready.planned.plan
    results: dict[str, StepReport] = {}
    lost: tuple[str, ...] = ()
    _bring_images(site, fleet, plan, log)
    log.emit("apply", region=plan.region, waves=len(plan.waves), steps=len(plan.steps), plan=plan.digest)
    all_legs = legs(plan.waves)
    with ansible_run.Waves("apply.yml", fleet.connections, [leg.nodes for leg in all_legs]) as waves:
        for leg in all_legs:
            now = _possible(leg, results, lost, log)
            if not now.steps:
                waves.skip()
                continue
            log.emit(
                "wave",
                number=leg.number,
                last=leg.last,
                nodes=list(now.nodes),
                steps=[step.id for step in now.steps],
            )
            got = _run(fleet, waves, now, ready, log)
            for step in now.steps:
                results[step.id] = _result(step, got, log)
            lost = lost or tuple(step.id for step in now.steps if step.node in got.lost)[:1]
            log.emit("wave-end", number=leg.number)
    report = Report(tuple(results.values()), time.monotonic() - started)
    _remember(site, store, planned, [name for name, one in results.items() if one.status != "ok"])
    log.emit(
        "end",
        ok=report.ok,
        seconds=round(report.seconds, 2),
        failed=len(report.of("failed")),
        blocked=len(report.of("blocked")),
    )
    return report


def _remember(site: Site, store: Store, planned: Planned, undone: Collection[str]) -> None:
    """Keep what nodes hold after a plan was carried out, less the steps that are ``undone``: drift is told by it."""
    store.keep_applied(drift.recorded(store.applied(), planned.plan, planned.sealed, undone, site.nodes))


def _bring_images(site: Site, fleet: Fleet, plan: Plan, log: EventLog) -> None:
    """Put images that nodes of a lab lack where they look for them; what this machine does not have either, the node will say."""
    lacking = {step.identity for step in plan.steps if step.kind == "image"}
    if not lacking or not fleet.lab:
        return
    store = find_engine()
    here = [image for image in sorted(lacking) if store.image_id(image)]
    layout.export(layout.shared_folder(), read_lock(site.folder), here, lambda name: log.emit("export", image=name))


@dataclass(frozen=True, slots=True)
class Leg(Wave):
    """Waves ``number`` to ``last``, carried out by one start of Ansible."""

    last: int


def legs(waves: Sequence[Wave]) -> list[Leg]:
    """Join successive waves that concern the same single node: its module does the steps in order by itself."""
    joined: list[Leg] = []
    for wave in waves:
        before = joined[-1] if joined else None
        inside = {step.id for step in before.steps} if before else set()
        asks = any(
            inside & {*group.steps} for step in wave.steps for group in step.enough
        )  # which the node cannot judge
        if before and len(wave.nodes) == 1 and before.nodes == wave.nodes and not asks:
            joined[-1] = Leg(before.number, (*before.steps, *wave.steps), wave.number)
        else:
            joined.append(Leg(wave.number, wave.steps, wave.number))
    return joined


def _run(fleet: Fleet, waves: ansible_run.Waves, leg: Leg, ready: Ready, log: EventLog) -> Answers[Outcome]:
    sealed, purge = ready.planned.sealed, ready.planned.scope.purge
    payloads = {
        node: messages.converge(log.run, leg, node, fleet.nodes[node].engine, holder(), sealed, ready.resolver, purge)
        for node in leg.nodes
    }

    def on_node(node: str, state: str) -> None:
        log.emit("node", node=node, state=state)

    if len(leg.nodes) > 1 or len(leg.steps) == 1:
        return waves.next(payloads, on_node)
    (only,) = leg.nodes

    def on_step(told: Told) -> None:
        log.emit("told", id=told.id, status=told.status, seconds=told.seconds)

    steps = [step.id for step in leg.steps]
    with Watch(fleet.connections[only], f"{log.run}-{leg.number}", steps, on_step) as watch:
        payloads[only] = replace(payloads[only], progress=watch.path)
        return waves.next(payloads, on_node)


def _possible(leg: Leg, results: dict[str, StepReport], lost: tuple[str, ...], log: EventLog) -> Leg:
    """Leave out the steps whose needs failed earlier, which are recorded as blocked, and those that a node cannot carry out.

    ``lost`` is the step with which Ansible itself ended: everything that comes later needs that.
    """
    ready: list[Step] = []
    for step in leg.steps:
        by: tuple[str, ...] = tuple(need for need in step.needs if need in results and results[need].status != "ok")
        by += tuple(one for group in step.enough for one in _lacking(group, results) if one not in by)
        by = by or (() if step.refused else lost)
        if by:
            results[step.id] = StepReport(step, "blocked", by=by)
            log.emit("step", id=step.id, status="blocked", by=list(by))
        elif step.refused:
            results[step.id] = result = StepReport(step, "failed", error=_refusal(step))
            log.emit("step", id=step.id, status="failed", error=dict(result.error))
        else:
            ready.append(step)
    return Leg(leg.number, tuple(ready), leg.last)


def _lacking(group: Enough, results: Mapping[str, StepReport]) -> Sequence[str]:
    """Return the steps that leave too few members up; none where enough are."""
    bad = [name for name in group.steps if name in results and results[name].status != "ok"]
    still = [name for name in bad if results[name].status == "blocked" and name in group.up]
    return bad if group.others + len(group.steps) - len(bad) + len(still) < group.least else []


def _refusal(step: Step) -> dict[str, str]:
    first, *others = step.refused
    return {
        "what": "; ".join([first.what, *(one.what for one in others)]),
        "why": first.why,
        "fix": "; ".join(dict.fromkeys(one.fix for one in step.refused)),
    }


def _result(step: Step, got: Answers[Outcome], log: EventLog) -> StepReport:
    answer = got.answers.get(step.node)
    if answer is None and step.node in got.lost:
        error = {
            "what": "Ansible ended before the node answered",
            "why": got.lost[step.node],
            "fix": f"run the same command again: it goes on where this one stopped; see {paths.page('troubleshooting.md')}",
        }
        result = StepReport(step, "failed", error=error)
    elif answer is None:
        why = got.unreachable.get(step.node) or got.failed.get(step.node, "no answer")
        error = {
            "what": "the node could not be reached" if step.node in got.unreachable else "the node gave no answer",
            "why": why,
        }
        result = StepReport(step, "failed", error=error)
    elif answer.lock:
        error = {
            "what": "another run is changing this node",
            "why": f"held by {answer.lock.holder} (run {answer.lock.run})",
            "fix": "wait until it has ended, then run again",
        }
        result = StepReport(step, "failed", error=error, locked=True)
    else:
        result = _from_answer(step, answer)
    log.emit(
        "step", id=step.id, kind=step.kind, action=step.action, node=step.node, status=result.status,
        seconds=result.seconds, done=list(result.done), error=dict(result.error), by=list(result.by),
    )  # fmt: skip
    return result


def _from_answer(step: Step, answer: Outcome) -> StepReport:
    for told in answer.results:
        if told.id == step.id:
            error = asdict(told.error) if told.error else {}
            return StepReport(step, told.status, told.seconds, tuple(told.done), error, tuple(told.by))
    return StepReport(step, "failed", error={"what": "the node did not report this step"})
