"""A run of the program on its way: awaits the moment of a kill point and says where the run has come."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofs.deployment import Cloud, until
from proofs.kills.points import FINISHING, OBSERVING, SENDING, WORKING, Point
from scs_deploy.machine import locks

LOCK = "/var/lib/scs-deploy/state/lock"
ENDED = "ended before"
INSTANCE, JOB, RESOURCES = "files and restarts", "job", "resources"
STEP_SECONDS = 1.5
"""About what a step takes: the fraction of it that goes by before a kill in the middle of one."""

PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Spans:
    """Seconds that an undisturbed run took from its lock to its plan, then to the module's work, and after the last step."""

    observing: float = 2.0
    sending: float = 1.5
    finishing: float = 0.5


class Run:
    """The program at work in the background; what it says goes to a file."""

    def __init__(self, cloud: Cloud, command: tuple[str, ...], said: Path) -> None:
        self.cloud, self._said, self._folder = cloud, said, cloud.store.state / "events"
        self._before = set(self._folder.glob("*.jsonl"))
        self._log: Path | None = None
        with said.open("w", encoding="utf-8") as stream:
            self.process = cloud.start(*command, stdout=stream, stderr=subprocess.STDOUT)

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def locked(self) -> bool:
        """Whether it holds the region's lock, under which it looks first."""
        holder = locks.holder(self._folder.parent)
        return bool(holder and holder.pid == self.process.pid)

    @property
    def said(self) -> str:
        return self._said.read_text(errors="replace")

    @property
    def log(self) -> Path | None:
        """The run's events; None until the plan is made."""
        self._log = self._log or next(iter(sorted(set(self._folder.glob("*.jsonl")) - self._before)), None)
        return self._log

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines(keepends=True) if self.log else []
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [one for one in found if one["event"] in kinds]

    @property
    def told(self) -> int:
        """How many steps have ended."""
        return len({one["id"] for one in self.events("told", "step")})

    # -- waiting -------------------------------------------------------------------------------------------------------

    def reach(self, point: Point, spans: Spans) -> None:
        """Return at the point's moment, or when the run has ended before."""
        self._until(lambda: self.locked, "the region is locked")
        if point.phase == OBSERVING:
            return self._pass(point.fraction * spans.observing)
        self._until(lambda: self.events("wave", "end"), "the first wave is sent")
        if point.phase == SENDING:
            return self._pass(point.fraction * spans.sending)
        self._await_module()
        count = len(self.steps)
        done = count if point.phase == FINISHING else int(point.share * count)
        self._until(lambda: self.told >= done, f"{done} of {count} steps are done")
        return self._pass(point.fraction * (spans.finishing if point.phase == FINISHING else STEP_SECONDS))

    def _until(self, condition: Callable[[], Any], what: str) -> None:
        until(lambda: self.ended or condition(), what, PATIENCE, 0.02)

    def _pass(self, seconds: float) -> None:
        """The seeded part of a moment: it is time that goes by, unless the run ends."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=seconds)

    def _await_module(self) -> None:
        if self.log and not self.ended:
            self.cloud.try_on_node(
                f"until grep -qs {self.log.stem} {LOCK}; do sleep 0.03; [ $((n += 1)) -lt 3000 ] || exit 1; done"
            )

    # -- where it is ---------------------------------------------------------------------------------------------------

    @property
    def steps(self) -> list[str]:
        return [step for wave in self.events("wave") for step in wave["steps"]]

    def where(self, jobs: frozenset[str]) -> str:
        """The phase that the run is in: where it works, the kind of step that was begun last, as far as can be told from outside."""
        if self.ended:
            return ENDED
        if not self.steps:
            return OBSERVING
        told = {one["id"] for one in self.events("told", "step")}
        if told.issuperset(self.steps):
            return FINISHING
        if not told and not self.module():
            return SENDING
        # Steps begin in order; jobs and resources end before the next one begins, instances become healthy side by side.
        begun = max((number for number, step in enumerate(self.steps, 1) if step in told), default=0)
        return kind(self.steps[begun], jobs) if begun < len(self.steps) else INSTANCE

    def module(self) -> int:
        """The process of this run's module on the node; 0 when it is not at work."""
        if not self.log:
            return 0
        shown = self.cloud.try_on_node(f"flock --nonblock {LOCK} true || cat {LOCK}").stdout.strip("\0 \n")
        with contextlib.suppress(ValueError):
            held = json.loads(shown)
            return int(held["pid"]) if held.get("run") == self.log.stem else 0
        return 0


def kind(step: str, jobs: frozenset[str]) -> str:
    """What a step is, by its identity."""
    if " resources of " in step:
        return RESOURCES
    return JOB if step.partition("/")[2] in jobs else INSTANCE


def spans(run: Run, began: float) -> Spans:
    """Measure an undisturbed run that has ended; ``began`` in seconds since the epoch."""
    told, (start, *_), (end, *_) = run.events("told"), run.events("apply"), run.events("end")
    if not told:
        return Spans()
    at_work = told[0]["time"] - float(told[0]["seconds"])
    least = 0.2
    return Spans(
        max(least, start["time"] - began - 1.0),
        max(least, at_work - start["time"]),
        max(least, end["time"] - told[-1]["time"]),
    )


__all__ = ["ENDED", "INSTANCE", "JOB", "LOCK", "RESOURCES", "WORKING", "Run", "Spans", "kind", "spans"]
