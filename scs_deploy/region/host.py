"""What can be said of a node's surroundings and hardware, at the region, at a rack or at the node."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from scs_deploy.documents.fields import (
    Bool,
    Device,
    DirectHost,
    Engine,
    Int,
    Interface,
    Label,
    Mac,
    Mirror,
    Mtu,
    NetworkName,
    Resolver,
    Section,
    TimeServer,
    Url,
    User,
    text,
    wrong,
)
from scs_deploy.region.services import ServiceTuning
from scs_deploy.region.timezone import known

PortNumber = Annotated[Int, Field(ge=1, le=65535)]
Jump = Annotated[
    str,
    text(r"^([a-z_][a-z0-9_-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?$", "user@host:port, user and port optional"),
]


class Ssh(Section):
    """How the controller reaches nodes."""

    user: User = Field("root", description="User to log in as")
    key: str = Field(
        "", description="Private key file; relative to the region folder; default: the agent's and ssh's own"
    )
    port: PortNumber = Field(22, description="TCP port of sshd")
    jump: Jump | None = Field(None, description="Jump host as user@host:port")
    become: Bool = Field(False, description="Gain root by sudo; needed where user is not root")
    host_keys: str = Field("known_hosts", description="File with the verified host keys; relative to the region folder")


class Proxy(Section):
    """Web proxy for package installation."""

    http: Url | None = Field(None, description="Proxy for http")
    https: Url | None = Field(None, description="Proxy for https")
    no_proxy: tuple[DirectHost, ...] = Field((), description="Hosts that are reached directly, each by its name")


class Nic(Section):
    """A network interface; verified against the node, not configured."""

    networks: tuple[NetworkName, ...] = Field((), description="Networks it carries")
    mac: Mac | None = Field(None, description="Hardware address")
    mtu: Mtu | None = Field(None, description="Bytes")
    speed: Annotated[Int, Field(ge=10)] | None = Field(None, description="Mbit/s")
    members: tuple[Interface, ...] = Field((), description="Interfaces that form this bond")


class Disk(Section):
    """A disk by path or serial, and what it is for."""

    path: Device | None = Field(None, description="Device, best below /dev/disk/by-id")
    serial: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="Serial number, instead of or besides path"
    )
    use: Literal["system", "osd", "spare"] = Field(description="system: the OS; osd: storage cluster; spare: not used")
    size_gb: Annotated[Int, Field(ge=1)] | None = Field(None, description="GiB")
    media: Literal["hdd", "ssd", "nvme"] | None = Field(None, description="Kind of disk")

    @model_validator(mode="after")
    def _can_be_found(self) -> Self:
        if self.path is None and self.serial is None:
            raise wrong("one of the keys path and serial is missing", "add path, such as /dev/sdb")
        return self


class Hardware(Section):
    """Facts of the machine; those given must agree with what the node says."""

    cpu: str | None = Field(None, description="CPU model, or a part of its name")
    cores: Annotated[Int, Field(ge=1)] | None = Field(None, description="Physical cores of all sockets")
    smt: Bool | None = Field(None, description="Simultaneous multithreading is on")
    memory_gb: Annotated[Int, Field(ge=1)] | None = Field(None, description="GiB")
    ecc: Bool | None = Field(None, description="Memory with error correction")
    local_ssd: Bool | None = Field(None, description="Local SSD or NVMe for servers")


class Inheritable(Section):
    """Values that a rack gives to its nodes, and the region to its racks: node wins over rack over region.

    Mappings are merged key by key, lists are replaced.
    """

    ssh: Ssh = Field(Ssh(), description="Access to the nodes")
    dns: tuple[Resolver, ...] = Field(
        (), description="Resolvers of nodes and servers; none means those that the nodes have"
    )
    ntp: tuple[TimeServer, ...] = Field((), description="Time servers; none means those of the Debian pool")
    proxy: Proxy = Field(Proxy(), description="Web proxy for package installation")
    mirror: Mirror = Field("http://deb.debian.org/debian", description="Debian mirror")
    timezone: Annotated[
        str, AfterValidator(known), Field(json_schema_extra={"x-hint": "a time zone such as Europe/Berlin or Etc/UTC"})
    ] = Field("Etc/UTC", description="Time zone")
    engine: Engine = Field(
        "podman",
        description="Container engine; another one on a live node is planned restart by restart, and keeps all data",
    )
    nics: dict[Interface, Nic] = Field({}, description="Network interfaces by name")
    disks: tuple[Disk, ...] = Field((), description="Disks and their use")
    hardware: Hardware = Field(Hardware(), description="Facts that must agree with the machine")


class TunedInheritable(Inheritable):
    """The same with settings of services, as racks and nodes have it."""

    services: dict[str, ServiceTuning] = Field({}, description="Settings and config of services, on these nodes only")


Feeds = Annotated[tuple[Label, ...], Field(description="Power feeds; several mean redundant power supplies")]
