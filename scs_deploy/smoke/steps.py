"""Steps of the smoke test and what became of them: which are chosen, what is in the way of whom, how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from scs_deploy.cloud.access import explained
from scs_deploy.documents.findings import choose
from scs_deploy.errors import DeployError, UsageError

if TYPE_CHECKING:
    from scs_deploy.smoke.bench import Bench

Status = Literal["passed", "failed", "blocked", "not deployed"]


@dataclass(frozen=True, slots=True)
class SmokeStep:
    """``run`` returns what a person likes to know, in a few words. ``needs``: steps that must have passed."""

    name: str
    title: str
    run: Callable[[Bench], str]
    needs: tuple[str, ...] = ()
    apis: tuple[str, ...] = ()
    """Types in the catalogue without which this is not deployed."""


class NotDeployedError(Exception):
    """Raised by a step that finds out only then that a part of its service is not deployed."""


@dataclass(frozen=True, slots=True)
class SmokeResult:
    name: str
    title: str
    status: Status
    seconds: float = 0.0
    detail: str = ""
    error: DeployError | None = None

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": self.name,
            "title": self.title,
            "status": self.status,
            "seconds": round(self.seconds, 2),
            "detail": self.detail,
        }
        if self.error:
            error = self.error
            found["error"] = {"what": error.what, "where": error.where, "why": error.why, "fix": error.fix}
        return found


def select(steps: Sequence[SmokeStep], only: Collection[str]) -> list[SmokeStep]:
    """The named steps with everything they need, in order; all when none is named. Raises ``UsageError``."""
    known = {step.name: step for step in steps}
    wanted: set[str] = set()
    waiting = list(only) or list(known)
    for name in waiting:
        if name not in known:
            raise UsageError(f"there is no step {name}", fix=choose(name, known))
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += known[name].needs
    return [step for step in steps if step.name in wanted]


def in_the_way(step: SmokeStep, done: Iterable[SmokeResult], deployed: Callable[[str], bool]) -> SmokeResult | None:
    """Why a step cannot run: its service, or one that it needs, is not deployed, or a step before it failed."""
    missing = [api for api in step.apis if not deployed(api)]
    if missing:
        return SmokeResult(step.name, step.title, "not deployed", detail=f"no {', '.join(missing)} service")
    status = {result.name: result.status for result in done}
    for state in ("not deployed", "failed", "blocked"):
        by = [name for name in step.needs if status.get(name) == state]
        if by:
            outcome: Status = "not deployed" if state == "not deployed" else "blocked"
            return SmokeResult(step.name, step.title, outcome, detail=f"needs {', '.join(by)}")
    return None


def run_step(step: SmokeStep, bench: Bench) -> SmokeResult:
    """Run one step; whatever goes wrong in it is its result. An interruption goes on its way."""
    began = time.monotonic()
    try:
        with explained(f"{step.title}: the API refused"):
            detail = step.run(bench)
    except NotDeployedError as error:
        return SmokeResult(step.name, step.title, "not deployed", time.monotonic() - began, str(error))
    except DeployError as error:
        if error.exit_code == 130:
            raise
        return SmokeResult(step.name, step.title, "failed", time.monotonic() - began, error=error)
    return SmokeResult(step.name, step.title, "passed", time.monotonic() - began, detail)
