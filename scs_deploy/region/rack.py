"""Racks and nodes: what region.yml says, and the node with everything resolved."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from scs_deploy.documents.fields import Engine, Int, Label, Name, NetworkName, State, security_mirror
from scs_deploy.region.host import Disk, Feeds, Hardware, Nic, Proxy, Ssh, TunedInheritable
from scs_deploy.region.network import Addresses, AddressesField
from scs_deploy.region.services import ServiceValues


class NodeSection(TunedInheritable):
    """A machine."""

    name: Name = Field(description="Host name, unique in the region")
    unit: Annotated[Int, Field(ge=1)] | None = Field(None, description="Lowest height unit it fills")
    height: Annotated[Int, Field(ge=1, le=60)] = Field(1, description="Height units it fills")
    groups: tuple[Name, ...] = Field((), description="Groups that services place their components on")
    addresses: dict[NetworkName, AddressesField] = Field(
        description="Address per network: 10.77.1.11, or [10.77.1.11, fd00:77:1::11] for both families"
    )
    feeds: Feeds | None = Field(None, description="Power feeds of this node; default: all of its rack's")
    state: State = Field(
        "present", description="maintenance: left alone and not counted as failed; absent: its services are removed"
    )


class RackSection(TunedInheritable):
    """A rack, with values for all of its nodes."""

    name: Name = Field(description="Unique in the region")
    fire_zone: Label = Field("", description="Fire section it stands in")
    feeds: Feeds = Field((), description="Power feeds that reach it")
    units: Annotated[Int, Field(ge=1, le=60)] = Field(42, description="Height units")
    nodes: tuple[NodeSection, ...] = Field((), description="Machines in it")


@dataclass(frozen=True, slots=True)
class Node:
    """A machine with everything that holds for it: region, then rack, then its own values."""

    name: str
    rack: str
    fire_zone: str
    feeds: tuple[str, ...]
    unit: int | None
    height: int
    groups: tuple[str, ...]
    addresses: dict[str, Addresses]
    ssh: Ssh
    dns: tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, ...]
    ntp: tuple[str, ...]
    proxy: Proxy
    mirror: str
    timezone: str
    engine: Engine
    nics: dict[str, Nic]
    disks: tuple[Disk, ...]
    hardware: Hardware
    state: State
    services: dict[str, ServiceValues]

    @property
    def security_mirror(self) -> str:
        return security_mirror(self.mirror)
