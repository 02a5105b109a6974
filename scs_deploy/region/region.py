"""The region: what region.yml says, and the region with everything resolved."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from scs_deploy.documents.fields import Domain, Engine, FailureDomain, Int, Name, Number, text
from scs_deploy.errors import Finding
from scs_deploy.region.host import Inheritable
from scs_deploy.region.network import Network, Networks
from scs_deploy.region.public_tls import PublicCertificate, PublicTlsSection
from scs_deploy.region.rack import Node, RackSection
from scs_deploy.region.services import ServiceSection, ServiceValues

__all__ = ["Network", "Node", "Region", "RegionSection", "ServiceValues"]

FALLBACK_TO_API = ("public", "tunnel", "storage", "migration")

Release = Annotated[str, text(r"^20[0-9]{2}\.[12]$", 'an OpenStack release in quotes, such as "2025.1"')]


class RegionSection(Inheritable):
    """One region: everything that is deployed together."""

    format: Literal[1] = Field(description="Version of this format")
    name: Name = Field(description="Name of the region")
    release: Release = Field(description='OpenStack release, in quotes: "2025.1"')
    domain: Domain = Field(description="DNS domain of the nodes and of the endpoints")
    failure_domain: FailureDomain = Field(
        "rack", description="What may fail as one, and what rolling work touches at a time"
    )
    patience: Annotated[Number, Field(gt=0, le=100)] = Field(1.0, description="Factor on all timeouts")
    guest_mtu: Annotated[Int, Field(ge=1280, le=9216)] | None = Field(
        None,
        description="Largest packet of servers on project networks, in bytes; default: what the tunnel network carries",
    )
    networks: Networks = Field(description="Networks by their role")
    public_tls: PublicTlsSection | None = Field(
        None, description="Certificate of the public endpoints; default: of the internal CA"
    )
    services: dict[str, ServiceSection] = Field({}, description="Services of the catalogue")
    racks: tuple[RackSection, ...] = Field(min_length=1, description="Racks and their nodes")


@dataclass(frozen=True, slots=True)
class Region:
    """A valid region with everything resolved."""

    name: str
    release: str
    engine: Engine
    domain: str
    failure_domain: FailureDomain
    patience: float
    guest_mtu: int
    networks: dict[str, Network]
    """The declared ones; ``network()`` knows what the others fall back to."""
    racks: tuple[RackSection, ...]
    nodes: tuple[Node, ...]
    services: dict[str, ServiceValues]
    """Every service of the catalogue, at the level of the region."""
    folder: Path
    warnings: tuple[Finding, ...] = field(default=(), compare=False)
    public_tls: PublicCertificate | None = None
    """What the public endpoints show; none: a certificate of the internal CA."""

    def network(self, role: str) -> Network:
        """The network that plays a role: itself if declared, else api (external: ``KeyError`` if not declared)."""
        if role in self.networks or role not in FALLBACK_TO_API:
            return self.networks[role]
        return self.networks["api"]

    def node(self, name: str) -> Node:
        """Raises ``KeyError`` for an unknown name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def domain_of(self, node: Node) -> str:
        """Name of the failure domain that the node belongs to; a rack without fire zone is its own."""
        if self.failure_domain == "node":
            return node.name
        return node.fire_zone or node.rack if self.failure_domain == "fire_zone" else node.rack
