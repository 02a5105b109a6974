"""What a plan is: waves of steps as plain frozen data, with a digest, as text and as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Managed
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Operation
from scs_deploy.catalogue.ids import Id
from scs_deploy.catalogue.names import component_of
from scs_deploy.errors import Finding, InputError
from scs_deploy.secrets.placeholders import named

FORMAT = 1

StepKind = Literal["instance", "job", "resources", "image"]
Action = Literal["create", "update", "restart", "start", "reload", "remove", "run", "apply", "fetch", "prepare"]


@dataclass(frozen=True, slots=True)
class Change:
    """One file, package or resource that differs; ``diff`` is masked and may be withheld."""

    what: str
    how: str
    diff: str = ""


@dataclass(frozen=True, slots=True)
class Enough:
    """Members of a component of which ``least`` must be up: the rest of them may have failed."""

    steps: tuple[Id, ...]
    """Steps of this plan that change members, which are up when they have succeeded."""
    up: tuple[Id, ...]
    """Those among them whose members are up now, and stay so while they are not begun."""
    others: int
    """Members that are up and not changed."""
    least: int


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done on one node; ``needs`` names steps of this plan that must have succeeded."""

    id: Id
    kind: StepKind
    node: str
    subject: str
    service: str
    action: Action
    level: int
    batch: int = 0
    reasons: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    restart: bool = False
    reload: bool = False
    interrupts: bool = False
    """It restarts something that runs, so it happens in one failure domain at a time."""
    form: bool = False
    """It begins the cluster: its hook ``form`` runs before it is started."""
    pause: str = ""
    needs: tuple[Id, ...] = ()
    enough: tuple[Enough, ...] = ()
    write: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()
    identity: str = ""
    """Digest of the wanted end state, so that a saved plan notices every change of input."""
    operations: tuple[Operation, ...] = ()
    """Resource steps: what is done, with references instead of secrets, and with their names in a digest and in JSON."""
    removed: Managed | None = None
    """Removals: the node's record of what goes."""
    refused: tuple[Finding, ...] = ()
    """Why its node cannot carry it out: it and what needs it are left alone."""

    @property
    def whole(self) -> Id:
        """What it belongs to: of an instance, also where its files are a step of their own, the instance."""
        return Id(self.node, self.subject) if self.kind == "instance" else self.id

    @property
    def component(self) -> str:
        """Of a step on an instance."""
        return component_of(self.subject)

    def as_json(self) -> dict[str, Any]:
        operations = [{**asdict(one), "secret": named(one.secret)} for one in self.operations]
        return {**asdict(self), "operations": operations, "removed": asdict(self.removed) if self.removed else {}}


@dataclass(frozen=True, slots=True)
class Wave:
    number: int
    steps: tuple[Step, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step.node for step in self.steps))


def _shown(wave: Wave) -> dict[str, Any]:
    return {"number": wave.number, "steps": [step.as_json() for step in wave.steps]}


@dataclass(frozen=True, slots=True)
class Plan:
    """The difference between the region and its nodes."""

    region: str
    release: str
    waves: tuple[Wave, ...]
    unknown: Mapping[str, str] = field(default_factory=dict)
    """Node or owner -> why nothing can be said about it."""
    notes: tuple[str, ...] = ()
    limit: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    purge: bool = False

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for wave in self.waves for step in wave.steps)

    @property
    def refused(self) -> tuple[Step, ...]:
        """What a node cannot carry out; an instance whose files are a step of their own counts once."""
        return tuple(step for step in self.steps if step.refused and step.action != "prepare")

    @property
    def empty(self) -> bool:
        return not self.waves

    @property
    def digest(self) -> str:
        """Identity of the plan: equal plans do equal things."""
        return hashlib.sha256(json.dumps([_shown(wave) for wave in self.waves], sort_keys=True).encode()).hexdigest()

    def counts(self) -> dict[str, int]:
        """Return how many instances are created, changed, restarted and removed, and how many jobs and resources there are."""
        steps = self.steps
        return {
            "create": sum(step.kind == "instance" and step.action == "create" for step in steps),
            "change": sum(
                step.kind == "instance" and step.action in {"update", "restart", "start", "reload"} for step in steps
            ),
            "restart": sum(step.restart and step.action != "create" for step in steps),
            "reload": sum(step.reload for step in steps),
            "remove": sum(step.action == "remove" for step in steps),
            "jobs": sum(step.kind == "job" for step in steps),
            "resources": sum(len(step.operations) for step in steps),
            "images": sum(step.kind == "image" for step in steps),
            "refused": len(self.refused),
        }

    def summary(self) -> str:
        """One line; says so when there is nothing to do."""
        if self.empty:
            return (
                "Plan: nothing to do."
                if not self.unknown
                else f"Plan: nothing to do where known; {len(self.unknown)} unknown."
            )
        counts = self.counts()
        parts = [f"{counts[key]} {label}" for key, label in _LABELS.items() if counts[key]]
        nodes = len({step.node for step in self.steps})
        text = f"Plan: {', '.join(parts)}; {len(self.waves)} wave{_s(len(self.waves))} on {nodes} node{_s(nodes)}."
        return text + (f" {len(self.unknown)} unknown." if self.unknown else "")

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "region": self.region,
            "release": self.release,
            "limit": list(self.limit),
            "services": list(self.services),
            "purge": self.purge,
            "waves": [_shown(wave) for wave in self.waves],
            "unknown": dict(self.unknown),
            "notes": list(self.notes),
            "counts": self.counts(),
            "summary": self.summary(),
        }


_LABELS = {
    "create": "to create",
    "change": "to change",
    "restart": "to restart",
    "reload": "to reload",
    "remove": "to remove",
    "jobs": "jobs to run",
    "resources": "resources to set",
    "images": "images to fetch",
    "refused": "refused",
}


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def saved(plan: Plan) -> str:
    """Return the text of a plan file: it holds digests, never secrets."""
    return json.dumps({**plan.as_json(), "digest": plan.digest}, indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True, slots=True)
class Saved:
    """What a saved plan is compared by."""

    region: str
    limit: tuple[str, ...]
    services: tuple[str, ...]
    purge: bool
    digest: str


def read_saved(text: str, origin: str) -> Saved:
    """Return what a plan file says of itself.

    Raises ``InputError`` when the text is not a plan of this format.
    """
    try:
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise InputError(
                f"plan format {data['format']} is not {FORMAT}",
                where=origin,
                fix="make the plan anew with scs-deploy plan --out",
            )
        return Saved(
            str(data["region"]),
            tuple(data["limit"]),
            tuple(data["services"]),
            bool(data["purge"]),
            str(data["digest"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            "this is not a saved plan", where=origin, why=why, fix="scs-deploy plan --out FILE writes one"
        ) from error
