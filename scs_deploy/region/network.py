"""Networks of a region: what region.yml says about them, addresses and allocation ranges."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from scs_deploy.documents.fields import V4, V6, Cidr4, Cidr6, Int, Mtu, NetworkName, Section, wrong

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Addresses from ``start`` to ``end``, both included, that something else hands out (Neutron, DHCP)."""

    start: Address
    end: Address

    def __contains__(self, address: Address | None) -> bool:
        return (
            address is not None
            and address.version == self.start.version
            and int(self.start) <= int(address) <= int(self.end)
        )

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of a node on one network."""

    v4: ipaddress.IPv4Address | None = None
    v6: ipaddress.IPv6Address | None = None

    def __iter__(self) -> Iterator[Address]:
        return (address for address in (self.v4, self.v6) if address is not None)

    @property
    def first(self) -> Address:
        """The address other nodes use: IPv4 where there is one."""
        return next(iter(self))


def _range(value: Any) -> AddressRange:
    fix = "write it as 10.77.5.100-10.77.5.199"
    if not isinstance(value, str) or value.count("-") != 1 or "%" in value:
        raise wrong("must be a text such as 10.77.5.100-10.77.5.199", fix)
    try:
        first, last = (ipaddress.ip_address(part.strip()) for part in value.split("-"))
    except ValueError as error:
        raise wrong(str(error)[:200], fix) from error
    if first.version != last.version:
        raise wrong("goes from IPv4 to IPv6", "give both ends in the same family")
    if int(first) > int(last):
        raise wrong("ends before it begins", f"write {last}-{first}")
    return AddressRange(first, last)


def _addresses(value: Any) -> Addresses:
    found: dict[int, Any] = {}
    for part in value if isinstance(value, list) and value else [value]:
        if not isinstance(part, str) or "%" in part:
            raise wrong(
                "must be an address, or a list of an IPv4 and an IPv6 address",
                "write it as 10.77.1.11 or [10.77.1.11, fd00::11]",
            )
        try:
            address = ipaddress.ip_address(part)
        except ValueError as error:
            raise wrong(str(error)[:200], "write it as 10.77.1.11 or [10.77.1.11, fd00::11]") from error
        if address.version in found:
            raise wrong(f"holds two IPv{address.version} addresses", "give at most one of each family")
        found[address.version] = address
    return Addresses(found.get(4), found.get(6))


_RANGE_SCHEMA = {"type": "string", "pattern": r"^[0-9a-fA-F.:]+ *- *[0-9a-fA-F.:]+$"}
_ONE = {"type": "string", "pattern": r"^[0-9a-fA-F.:]+$"}
_ADDRESSES_SCHEMA = {"oneOf": [_ONE, {"type": "array", "items": _ONE, "minItems": 1, "maxItems": 2}]}

RangeField = Annotated[AddressRange, PlainValidator(_range), WithJsonSchema(_RANGE_SCHEMA)]
AddressesField = Annotated[Addresses, PlainValidator(_addresses), WithJsonSchema(_ADDRESSES_SCHEMA)]


class NetworkSection(Section):
    """One network: at least one of cidr and cidr6."""

    cidr: Cidr4 | None = Field(None, description="IPv4 network, such as 10.77.1.0/24")
    cidr6: Cidr6 | None = Field(None, description="IPv6 network, such as fd00:77:1::/64")
    mtu: Mtu = Field(1500, description="Largest packet in bytes")
    vlan: Annotated[Int, Field(ge=1, le=4094)] | None = Field(
        None, description="VLAN number, verified and not configured; none means untagged"
    )
    vip: V4 | None = Field(None, description="IPv4 address that moves between the nodes that balance load")
    vip6: V6 | None = Field(None, description="The same for IPv6")
    gateway: V4 | None = Field(
        None,
        description="IPv4 router of this network: that of servers' networks (external), or one that preflight looks for",
    )
    gateway6: V6 | None = Field(None, description="IPv6 router of this network")
    ranges: tuple[RangeField, ...] = Field(
        (), description="Addresses that something else hands out, such as floating addresses: 10.77.5.100-10.77.5.199"
    )

    @model_validator(mode="after")
    def _has_a_network(self) -> Self:
        if self.cidr is None and self.cidr6 is None:
            raise wrong("one of the keys cidr and cidr6 is missing", "add cidr, such as 10.77.1.0/24")
        return self


class Networks(Section):
    """Networks by their role. Only api is needed: public, tunnel, storage and migration default to it."""

    api: NetworkSection = Field(description="Where services talk to each other; needs a vip")
    public: NetworkSection | None = Field(None, description="Where users reach the APIs; needs a vip; default: api")
    tunnel: NetworkSection | None = Field(None, description="Carries the networks of projects (Geneve); default: api")
    storage: NetworkSection | None = Field(None, description="Storage traffic; default: api")
    migration: NetworkSection | None = Field(None, description="Live migration; default: api")
    external: NetworkSection | None = Field(None, description="Provider network of floating addresses; no default")

    def declared(self) -> dict[NetworkName, NetworkSection]:
        return {name: getattr(self, name) for name in Networks.model_fields if getattr(self, name) is not None}  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Network:
    """A declared network as the program uses it."""

    name: NetworkName
    cidr: ipaddress.IPv4Network | None
    cidr6: ipaddress.IPv6Network | None
    mtu: int
    vlan: int | None
    vip: ipaddress.IPv4Address | None
    vip6: ipaddress.IPv6Address | None
    gateway: ipaddress.IPv4Address | None
    gateway6: ipaddress.IPv6Address | None
    ranges: tuple[AddressRange, ...]

    @classmethod
    def of(cls, name: NetworkName, section: NetworkSection) -> Network:
        return cls(name, **{key: getattr(section, key) for key in NetworkSection.model_fields})
