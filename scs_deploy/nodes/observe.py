"""Looks at nodes: asks them once, and once more those whose facts were not known or have changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.messages import Answer
from scs_deploy.errors import DeployError
from scs_deploy.nodes import clocks, look, messages
from scs_deploy.nodes.connection import Connection
from scs_deploy.nodes.facts_cache import FactsCache
from scs_deploy.region.region import Node
from scs_deploy.render.desired import Desired
from scs_deploy.render.digests import Sealed, seal

Progress = Callable[[str, str], None]
"""Called with a node and its state as answers come in."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the nodes said, and the facts that desired state was rendered with."""

    observed: Mapping[str, Answer]
    unreachable: Mapping[str, str]
    sealed: Sealed
    rounds: int
    gone: tuple[str, ...] = ()
    """Nodes in state absent that do not answer any more, as is to be expected."""
    clocks: Mapping[str, float] = field(default_factory=dict)
    """By how many seconds each node's clock is ahead of ours."""


@dataclass(frozen=True, slots=True)
class Observer:
    """How nodes are reached, what is known of them, and ``render``, which makes desired state of that."""

    connections: Mapping[str, Connection]
    facts: FactsCache
    render: Callable[[], Sealed]
    clock: Callable[[], float] = time.time
    _clocks: dict[str, float] = field(default_factory=dict)

    def observe(
        self, nodes: Mapping[str, Node], progress: Progress | None = None, *, resources: bool = True
    ) -> Observation:
        """Look at every node once; without ``resources`` no owner is asked, whose answers cost the most.

        A node seen for the first time, and one whose facts have changed, is looked at a second time with what its facts make of
        it; ``rounds`` tells.
        """
        leaving = {name for name, node in nodes.items() if node.state == "absent"}
        strangers = {n: node for n, node in nodes.items() if n not in leaving and not self.facts.get(n)}
        met, lost = self._ask(strangers, _nothing(), progress)
        self.facts.learn(met)
        sealed = self.render()
        known = {n: node for n, node in nodes.items() if n not in lost}
        answers, unreachable = self._ask(known, sealed, progress, resources)
        changed = self.facts.learn(answers)
        if changed:
            sealed = self.render()
            again, gone = self._ask({name: nodes[name] for name in changed}, sealed, progress, resources)
            answers = {name: answer for name, answer in {**answers, **again}.items() if name not in gone}
            unreachable |= gone
        unreachable |= lost
        return Observation(
            answers,
            {name: why for name, why in unreachable.items() if name not in leaving},
            sealed,
            1 + bool(strangers) + bool(changed),
            tuple(name for name in unreachable if name in leaving),
            dict(self._clocks),
        )

    def destruction(self, nodes: Mapping[str, Node], progress: Progress | None = None) -> Observation:
        """Look at nodes as if nothing were wanted on them: all that is managed there is then unexpected."""
        answers, unreachable = self._ask(nodes, _nothing(), progress)
        return Observation(answers, unreachable, _nothing(), 1, clocks=dict(self._clocks))

    def _ask(
        self, nodes: Mapping[str, Node], sealed: Sealed, progress: Progress | None, resources: bool = True
    ) -> tuple[dict[str, Answer], dict[str, str]]:
        questions = {
            name: messages.observe(
                name,
                node.engine,
                sealed,
                self.facts.digest(name),
                resources=resources,
            )
            for name, node in nodes.items()
            if node.state != "maintenance"
        }
        before = self.clock()
        got = look.ask(self.connections, questions, progress)
        asked = before, self.clock()
        for name, answer in got.answers.items():
            self._clocks[name] = clocks.ahead(answer.live.time, asked)
        return dict(got.answers), {**got.unreachable, **got.failed}


def _nothing() -> Sealed:
    """Desired state of a region without anything: what a node then reports is all that is managed there, and its facts."""
    return seal(Desired({}, (), (), {}, {}, ()), lambda name: "")


def unreachable_error(unreachable: Mapping[str, str]) -> DeployError:
    """One error that names every node, or owner of resources, that could not tell its state."""
    lines = [
        f"{name}: {why.strip().splitlines()[0] if why.strip() else 'no answer'}"
        for name, why in sorted(unreachable.items())
    ]
    return DeployError(
        f"not everything could be observed: {', '.join(sorted(unreachable))}",
        why="; ".join(lines),
        fix="repair the node or its network, or set state: maintenance for it in region.yml",
    )
