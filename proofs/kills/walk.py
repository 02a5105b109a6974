"""A walk over kill points: from target to target, each change killed once, done again, and compared with an undisturbed run."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from proofs import canonical
from proofs.deployment import Cloud, Done, until
from proofs.kills import moment, process
from proofs.kills.points import CONTROLLER, MODULE, NETWORK, ORPHAN, POWER, RESET, Point
from proofs.kills.targets import DESTROY, PLAIN, SECOND, Target, TargetRegion
from scs_deploy.errors import DeployError

AGAIN = 2
"""How often the same command may be run again until it is done."""

END_SECONDS = 240.0
"""In which the program must have ended by itself when its node is gone: ssh gives up after 60 s without a sign of life."""

UNDISTURBED_SECONDS = 1800.0

SETTLE_SECONDS = 20.0
"""In which what runs must have come to rest: an address that moves, a backend that a balancer finds again."""

LOCKED = 5
_NOTHING_TO_DO = "nothing to do."

State = Mapping[str, Any]


@dataclass(slots=True)
class PointOutcome:
    """What became of a point. ``why`` is empty when the end state is that of an undisturbed run; seconds throughout."""

    point: Point
    phase: str = ""
    place: str = ""
    again: int = 0
    refused: bool = False
    ended_after: float = 0.0
    seconds: float = 0.0
    why: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        runs = f"{self.again} more run{'s' if self.again > 1 else ''}{', refused once' if self.refused else ''}"
        gave_up = f", gave up after {self.ended_after:.0f} s" if self.ended_after else ""
        verdict = "DIFFERS" if self.why else "equal"
        head = f"{self.point} {self.phase:18} {self.place:8} {runs}{gave_up}; {self.seconds:5.1f} s: {verdict}"
        return "\n".join([head, *(f"      {line}" for line in self.why)])

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class WalkError(Exception):
    """Undisturbed runs that do not end where they should: kill points would say nothing."""


class Walk:
    """The walk of one region; ``keep`` holds what undisturbed runs ended with, the vaults and the last run's words."""

    def __init__(self, cloud: Cloud, targets: Mapping[str, Target], keep: Path, say: Callable[[str], None]) -> None:
        keep.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.cloud, self.targets, self._keep, self._say = cloud, targets, keep, say
        self.region = TargetRegion(cloud, keep)
        self.spans = moment.Spans()
        self.ends: dict[str, State] = {}
        services = cloud.site.catalogue.services.values()
        self._jobs = frozenset(job.name for service in services for job in service.jobs)

    # -- undisturbed ---------------------------------------------------------------------------------------------------

    @property
    def _record(self) -> Path:
        return self._keep / "undisturbed.json"

    def load(self) -> bool:
        """Take what an earlier walk found; tell whether there was anything."""
        if not self._record.exists():
            return False
        found = json.loads(self._record.read_text())
        self.ends, self.spans = found["ends"], moment.Spans(**found["spans"])
        return set(self.ends) == set(self.targets)

    def undisturbed(self) -> None:
        """Go to every target and back without a kill, and remember the ends. Raises ``WalkError`` when the way matters."""
        self.region.make_vaults()
        self.go(PLAIN)
        for target in [one for one in self.targets.values() if one != PLAIN]:
            self.go(target)
        self.go(PLAIN)
        self._record.touch(mode=0o600)
        self._record.write_text(json.dumps({"ends": self.ends, "spans": asdict(self.spans)}))

    def go(self, target: Target) -> None:
        """One undisturbed run to a target, whose end is kept, or compared when it is known."""
        self.region.want(target)
        began = time.time()
        run = moment.Run(self.cloud, target.command, self._keep / "said.txt")
        code = self._ended(run)
        if code:
            raise WalkError(f"undisturbed run to {target.name}: exit {code}\n{run.said}")
        if run.events("end"):
            self.spans = moment.spans(run, began)
        if target.vault == SECOND:
            self.region.settle_vault(SECOND)
        end = self._state()
        if target.name in self.ends and (found := canonical.differences(self.ends[target.name], end)):
            raise WalkError("\n".join([f"two undisturbed runs to {target.name} end differently:", *found]))
        self.ends[target.name] = end
        self._say(f"    undisturbed to {target.name}: {time.time() - began:.0f} s, digest {canonical.digest(end)}")

    # -- a point -------------------------------------------------------------------------------------------------------

    def visit(self, point: Point) -> PointOutcome:
        """Carry out a point; what is wrong is in its outcome, and the next point may be tried all the same."""
        began, outcome, target = time.monotonic(), PointOutcome(point), self.targets[point.target]
        self.region.want(target)
        run = moment.Run(self.cloud, target.command, self._keep / "said.txt")
        try:
            run.reach(point, self.spans)
            _KILLS[point.kill](self, run, outcome)
            self._compare(target, outcome, self._again(target, outcome))
        except (AssertionError, DeployError, subprocess.TimeoutExpired) as error:
            outcome.why.append(str(error))
        finally:
            process.kill(run.process)
        outcome.seconds = time.monotonic() - began
        return outcome

    def _note(self, run: moment.Run, outcome: PointOutcome) -> None:
        outcome.phase, outcome.place = run.where(self._jobs), f"{run.told}/{len(run.steps)}"

    def _again(self, target: Target, outcome: PointOutcome) -> str:
        """The same command until it is done, and what it said; while the killed run's module is at work, it is refused by name."""
        while outcome.again < AGAIN:
            done = self.cloud.run(*target.command, timeout=UNDISTURBED_SECONDS)
            self._no_traceback(done.stdout + done.stderr, outcome)
            if done.returncode == LOCKED and not outcome.refused:
                self._is_refusal(done, outcome)
                self._await_free()
                continue
            outcome.again += 1
            if done.returncode == 0:
                return done.stdout
            failed = (done.stdout + done.stderr)[-1500:]
        outcome.why.append(f"after {AGAIN} more runs still not done:\n{failed}")
        return ""

    def _is_refusal(self, done: Done, outcome: PointOutcome) -> None:
        outcome.refused = True
        if "another run is changing this node" not in done.stderr or "held by" not in done.stderr:
            outcome.why.append(f"refused without a name: {done.stderr[-600:]}")

    def _await_free(self) -> None:
        done = self.cloud.try_on_node(f"flock --timeout {END_SECONDS:.0f} {moment.LOCK} true")
        assert done.returncode == 0, "the module of the killed run never ended"

    def _compare(self, target: Target, outcome: PointOutcome, said: str) -> None:
        if _NOTHING_TO_DO not in said:
            shown = self.cloud.run(*(DESTROY if target.command == DESTROY else ("plan", "--detailed-exitcode")))
            if shown.returncode or _NOTHING_TO_DO not in shown.stdout:
                outcome.why.append(f"the plan is not empty: {(shown.stdout + shown.stderr)[-1500:]}")
        left = self.cloud.private_folders()
        if left:
            outcome.why.append(f"left behind: {', '.join(map(str, left))}")
        wanted, found = self.ends[target.name], list[str]()

        def equal() -> bool:
            found[:] = canonical.differences(wanted, self._state())
            return not found

        try:
            until(equal, "as after an undisturbed run", SETTLE_SECONDS, 1)
        except AssertionError:
            if outcome.point.kill == RESET:
                end = self._state()
                found = canonical.differences(self._on_a_fresh_node(target), end)
            outcome.why += found

    def _on_a_fresh_node(self, target: Target) -> State:
        """The end of an undisturbed run there: what a service that was removed earlier left behind was lost with the old node."""
        self.cloud.run("lab", "reset", self.cloud.node, code=0)
        self.cloud.run(*target.command, code=0, timeout=UNDISTURBED_SECONDS)
        return self._state()

    def _state(self) -> State:
        return {self.cloud.node: self.cloud.state()["end"]}

    def _ended(self, run: moment.Run) -> int:
        """Wait until the program ends by itself; return its exit code."""
        until(lambda: run.ended, "the program has ended by itself", UNDISTURBED_SECONDS, 0.05)
        return int(run.process.returncode)

    def _gives_up(self, run: moment.Run, outcome: PointOutcome, began: float) -> None:
        """The program must notice by itself that its node, or the module there, is gone, and end with an error."""
        until(lambda: run.ended, "the program gave up", END_SECONDS, 0.05)
        outcome.ended_after = time.monotonic() - began
        self._no_traceback(run.said, outcome)

    def _no_traceback(self, said: str, outcome: PointOutcome) -> None:
        if "Traceback" in said:
            outcome.why.append(f"a traceback: {said[said.index('Traceback') :][:1500]}")

    # -- kills ---------------------------------------------------------------------------------------------------------

    def _controller(self, run: moment.Run, outcome: PointOutcome) -> None:
        self._note(run, outcome)
        process.kill(run.process)

    def _orphan(self, run: moment.Run, outcome: PointOutcome) -> None:
        """The module is held for as long as the next apply is refused."""
        self._note(run, outcome)
        module = run.module()
        process.kill(run.process)
        if not module or self.cloud.try_on_node(f"kill -STOP {module}").returncode:
            outcome.phase = moment.ENDED
            return
        try:
            done = self.cloud.run(*self.targets[outcome.point.target].command)
        finally:
            self.cloud.try_on_node(f"kill -CONT {module}")
        if done.returncode == LOCKED:
            self._is_refusal(done, outcome)
        elif done.returncode or _NOTHING_TO_DO not in done.stdout:
            outcome.why.append(f"not refused, exit {done.returncode}: {(done.stdout + done.stderr)[-600:]}")
        self._await_free()

    def _module(self, run: moment.Run, outcome: PointOutcome) -> None:
        self._note(run, outcome)
        module, began = run.module(), time.monotonic()
        if not module or self.cloud.try_on_node(f"kill -KILL {module}").returncode:
            outcome.phase = moment.ENDED
        self._gives_up(run, outcome, began)
        if outcome.phase != moment.ENDED and run.process.returncode != 1:
            outcome.why.append(
                f"the module was killed, but the exit code is {run.process.returncode}: {run.said[-600:]}"
            )

    def _power(self, run: moment.Run, outcome: PointOutcome) -> None:
        self._note(run, outcome)
        began = time.monotonic()
        self.cloud.cut_power()
        self._gives_up(run, outcome, began)
        self.cloud.run("lab", "up", code=0)

    def _reset(self, run: moment.Run, outcome: PointOutcome) -> None:
        self._note(run, outcome)
        began = time.monotonic()
        self.cloud.run("lab", "reset", self.cloud.node, code=0)
        self._gives_up(run, outcome, began)

    def _network(self, run: moment.Run, outcome: PointOutcome) -> None:
        self._note(run, outcome)
        began = time.monotonic()
        self.cloud.lab.plug(self.cloud.node, "api", connected=False)
        try:
            self._gives_up(run, outcome, began)
        finally:
            self.cloud.run("lab", "up", code=0)


_KILLS: dict[str, Callable[[Walk, moment.Run, PointOutcome], None]] = {
    CONTROLLER: Walk._controller,
    ORPHAN: Walk._orphan,
    MODULE: Walk._module,
    POWER: Walk._power,
    RESET: Walk._reset,
    NETWORK: Walk._network,
}


def interruptible() -> None:
    """SIGTERM ends a walk as Ctrl-C does, and both do where a shell started it in the background."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
