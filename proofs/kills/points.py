"""Which kill points a seed gives: where to, when, and what is killed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from proofs.kills.targets import NOTHING, PLAIN

OBSERVING, SENDING, WORKING, FINISHING = "observing", "sending", "working", "finishing"
PHASES = (OBSERVING, SENDING, WORKING, FINISHING)
"""Looking at the node and planning; payload on its way, module not yet at work; steps under way; all steps done, not yet recorded."""

CONTROLLER, ORPHAN, MODULE, POWER, RESET, NETWORK = "controller", "orphan", "module", "power", "reset", "network"
KILLS = {
    CONTROLLER: "SIGKILL of the program and all it started",
    ORPHAN: "the same while the node's module works, which goes on; the next apply is refused until it has ended",
    MODULE: "SIGKILL of the module on the node",
    POWER: "the node loses power and starts again with its disks",
    RESET: "the node is replaced by a fresh one (`lab reset`)",
    NETWORK: "the node's cable is pulled until the program has given up",
}
BLOCK = (CONTROLLER, CONTROLLER, CONTROLLER, ORPHAN, ORPHAN, MODULE, MODULE, POWER, RESET, NETWORK)
"""Ten kills in a shuffled order make a block."""

_WHEN = {
    CONTROLLER: (OBSERVING, SENDING, WORKING, WORKING, WORKING, FINISHING),
    ORPHAN: (WORKING,),
    MODULE: (WORKING,),
    POWER: (OBSERVING, SENDING, WORKING, WORKING, WORKING, FINISHING),
    RESET: (OBSERVING, SENDING, WORKING, WORKING, WORKING, FINISHING),
    NETWORK: (SENDING, WORKING),
}


@dataclass(frozen=True, slots=True)
class Point:
    """``share`` of the steps is done before the kill; ``fraction`` of the phase, or of the step, goes by. Both 0 to 1."""

    number: int
    target: str
    phase: str
    share: float
    fraction: float
    kill: str

    def __str__(self) -> str:
        return f"{self.number:3} to {self.target:12} {self.kill:10}"


def points(seed: int, count: int, targets: Sequence[str], kills: Sequence[str] = BLOCK) -> Iterator[Point]:
    """The first ``count`` points of a seed, from the target ``plain`` on; never twice to the same target in a row."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    where, block = PLAIN.name, list[str]()
    for number in range(1, count + 1):
        if not block:
            block = list(kills)
            chance.shuffle(block)
        kill = block.pop()
        # A node that is made anew holds nothing already.
        others = [one for one in targets if one != where and not (kill == RESET and one == NOTHING.name)]
        where = chance.choice(others)
        yield Point(number, where, chance.choice(_WHEN[kill]), chance.random(), chance.random(), kill)
