"""What a preflight looks at: a node as the region declares it, and what the node said of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import EngineSeen, Facts, Live
from scs_deploy.errors import Finding, Severity
from scs_deploy.region.network import Network
from scs_deploy.region.rack import Node


@dataclass(frozen=True, slots=True)
class WantedPort:
    """A port that an instance of this node listens on; ``address`` empty means all of them."""

    instance: str
    protocol: str
    address: str
    port: int
    running: bool
    """The instance runs, so it is no wonder that the port is taken."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One node, and what it told of itself, if it was reached."""

    node: Node
    networks: Mapping[str, Network]
    facts: Facts
    live: Live
    clock: float = 0.0
    """Seconds by which the node's clock is ahead of the controller's."""
    sharing: tuple[str, ...] = ()
    """Nodes whose machines have the same hostname."""
    ports: tuple[WantedPort, ...] = ()
    engine: EngineSeen | None = None

    def finding(self, severity: Severity, what: str, why: str, fix: str) -> Finding:
        return Finding(what, why=why, fix=fix, path=self.node.name, severity=severity)
