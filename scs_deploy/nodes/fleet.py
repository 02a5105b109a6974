"""The nodes of a region, how each is reached, and what they say when they are asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import question
from scs_deploy.nodes import clocks, look, messages
from scs_deploy.nodes.answers import OnNode
from scs_deploy.nodes.connection import Connection
from scs_deploy.region.region import Node
from scs_deploy.render.desired import Desired
from scs_deploy.render.digests import Sealed, seal


class Known(TypedDict):
    """What a node is, as it was last told."""

    facts: question.Facts
    facts_digest: str


KnownFacts = Mapping[str, Known]
"""Of the nodes that are known."""

NOTHING = seal(Desired({}, (), (), {}, {}, ()), lambda name: "")
"""Desired state of a region without anything: what a node then reports is all that is managed there, and its facts."""


@dataclass(frozen=True, slots=True)
class Look:
    """What nodes said; ``unreachable``: why the others did not."""

    observed: Mapping[str, question.Answer]
    unreachable: Mapping[str, str]
    clocks: Mapping[str, float] = field(default_factory=dict)
    """By how many seconds each node's clock is ahead of ours."""

    @property
    def facts(self) -> dict[str, Known]:
        """The facts that came back: of nodes that were not known, or have changed."""
        return {
            name: {"facts": answer.facts, "facts_digest": answer.facts_digest}
            for name, answer in self.observed.items()
            if answer.facts
        }

    def then(self, later: Look) -> Look:
        """This look with what a later one of some of the nodes said instead."""
        again = later.observed.keys() | later.unreachable.keys()
        before = {name: answer for name, answer in self.observed.items() if name not in later.unreachable}
        gone = {name: why for name, why in self.unreachable.items() if name not in again}
        return Look({**before, **later.observed}, {**gone, **later.unreachable}, {**self.clocks, **later.clocks})


@dataclass(frozen=True, slots=True)
class Fleet:
    """``connections`` lead to ``nodes``, both by name; ``lab``: they are on this machine and look for images in its shared folder."""

    nodes: Mapping[str, Node]
    connections: Mapping[str, Connection]
    lab: bool = False
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, nodes: Collection[Node], folder: Path) -> Fleet:
        """Reach nodes as region.yml says; relative paths in it count from ``folder``."""
        return cls({one.name: one for one in nodes}, {one.name: Connection.for_node(one, folder) for one in nodes})

    def look(
        self,
        names: Collection[str],
        wanted: Sealed,
        facts: KnownFacts,
        progress: OnNode | None = None,
        *,
        resources: bool = True,
    ) -> Look:
        """Ask nodes, but those in maintenance, how they differ from what is wanted.

        Without ``resources`` no owner is asked, whose answers cost the most.
        """
        questions = {
            name: messages.observe(
                name,
                self.nodes[name].engine,
                wanted,
                facts[name]["facts_digest"] if name in facts else "",
                resources=resources,
            )
            for name in names
            if self.nodes[name].state != "maintenance"
        }
        before = self.clock()
        got = look.ask(self.connections, questions, progress)
        asked = before, self.clock()
        ahead = {name: clocks.ahead(answer.live.time, asked) for name, answer in got.answers.items()}
        return Look(dict(got.answers), {**got.unreachable, **got.failed}, ahead)
