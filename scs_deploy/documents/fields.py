"""Building blocks of the region model: its base class and the types of its values, each with a hint for people."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A part of region.yml: frozen, and every unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def wrong(what: str, fix: str = "") -> PydanticCustomError:
    """The error a validator raises: what is wrong and what to do."""
    return PydanticCustomError("region", "{what}", {"what": what, "fix": fix})


def text(pattern: str, hint: str) -> Any:
    """Constraints of a text that must match a pattern; the hint is what people read instead of the pattern."""
    return Field(pattern=pattern, json_schema_extra={"x-hint": hint})


def _address(kind: Callable[[str], Any], example: str) -> BeforeValidator:
    def parse(value: Any) -> Any:
        if not isinstance(value, str) or "%" in value:
            raise wrong(f"must be a text such as {example}", f"give an address such as {example}")
        try:
            return kind(value)
        except PydanticCustomError:
            raise
        except ValueError as error:
            raise wrong(str(error)[:200], f"give one such as {example}") from error

    return BeforeValidator(parse)


def _network(kind: Any, value: str) -> Any:
    try:
        return kind(value)
    except ValueError as error:
        if "host bits" in str(error):
            raise wrong(f"{value} is an address inside a network", f"write {kind(value, strict=False)}") from error
        raise


_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")


def _host(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        last = value.rpartition(".")[2]
        if len(value) > 253 or not _HOST_NAME.fullmatch(value) or last.isdigit():
            what = f"{value[:80]} is neither a host name nor an address"
            raise wrong(what, "give a name such as ntp.example.org or an address, without a port") from None
    return value


def _direct(value: str) -> str:
    """A host that apt can be told to reach without the proxy: its configuration names hosts one by one."""
    if "/" in value:
        raise wrong(
            f"apt knows no networks: {value[:80]}",
            "give the hosts in it by name or IPv4 address, such as that of mirror",
        )
    if value.startswith((".", "*")):
        raise wrong(f"apt knows no domains: {value[:80]}", "give the hosts in it one by one, such as that of mirror")
    if value.count(":") > 1:
        raise wrong(f"apt cannot name the IPv6 address {value[:80]} here", "give the host's name")
    if ":" in value:
        raise wrong(f"apt names hosts without a port: {value[:80]}", f"write {value.partition(':')[0]}")
    return _host(value)


def _mirror(value: str) -> str:
    """Without slashes at its end, since names of archives are joined to it."""
    value = value.rstrip("/")
    if not value.partition("://")[2].partition("/")[2]:
        raise wrong(
            f"the mirror {value} has no path", f"such as {value}/debian; updates come from {value}/debian-security"
        )
    return value


def security_mirror(mirror: str) -> str:
    """The archive of security updates, which lies beside the main one on every full mirror."""
    return f"{mirror.rstrip('/')}-security"


Int = Annotated[int, Strict()]
Bool = Annotated[bool, Strict()]
Number = Annotated[float, Strict()]
V4 = Annotated[ipaddress.IPv4Address, _address(ipaddress.IPv4Address, "10.77.1.11")]
V6 = Annotated[ipaddress.IPv6Address, _address(ipaddress.IPv6Address, "fd00:77:1::11")]
Ip = Annotated[
    ipaddress.IPv4Address | ipaddress.IPv6Address,
    _address(ipaddress.ip_address, "10.77.1.11 or fd00:77:1::11"),
    WithJsonSchema({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}),
]


def _elsewhere(value: Any) -> Any:
    """Refuse an address that means another machine wherever it is used."""
    try:
        address = ipaddress.ip_address(str(value))
    except ValueError:
        own = str(value).rstrip(".").lower() == "localhost"
    else:
        own = address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
    if own:
        raise wrong(f"{value} is another machine on each node, or none", "give an address that nodes and servers reach")
    return value


Resolver = Annotated[Ip, AfterValidator(_elsewhere)]
Cidr4 = Annotated[ipaddress.IPv4Network, _address(lambda value: _network(ipaddress.IPv4Network, value), "10.77.1.0/24")]
Cidr6 = Annotated[
    ipaddress.IPv6Network, _address(lambda value: _network(ipaddress.IPv6Network, value), "fd00:77:1::/64")
]
Name = Annotated[
    str,
    text(
        r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$",
        "lower-case letters, digits and dashes, starting with a letter: such as r1-n03",
    ),
]
Label = Annotated[
    str, text(r"^[A-Za-z0-9]([A-Za-z0-9 ._-]{0,62})$", "letters, digits, dots and dashes: such as A or zone-1")
]
Domain = Annotated[
    str,
    text(
        r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$", "a DNS domain such as cloud.example.org"
    ),
]
Host = Annotated[
    str,
    AfterValidator(_host),
    Field(json_schema_extra={"x-hint": "a host name or an address, such as ntp.example.org"}),
]
DirectHost = Annotated[
    str,
    AfterValidator(_direct),
    Field(json_schema_extra={"x-hint": "a host name or an IPv4 address, such as mirror.example.org"}),
]
_URL = r"^https?://[^\s/\"'\\;#?]+(/[^\s\"'\\;#?]*)?$"
Url = Annotated[str, text(_URL, "a URL such as http://deb.debian.org/debian")]
Mirror = Annotated[
    str,
    text(_URL, "a URL with a path, such as http://deb.debian.org/debian"),
    AfterValidator(_mirror),
]
TimeServer = Annotated[Host, AfterValidator(_elsewhere)]
User = Annotated[str, text(r"^[a-z_][a-z0-9_-]{0,31}$", "a user name such as root")]
Device = Annotated[str, text(r"^/dev/[A-Za-z0-9._:/-]+$", "a device such as /dev/disk/by-id/wwn-0x5000c500a1b2c3d4")]
Interface = Annotated[str, text(r"^[A-Za-z0-9._-]{1,15}$", "a network interface such as eno1 (15 characters at most)")]
Mac = Annotated[str, text(r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$", "a MAC address in lower case such as 52:54:00:12:34:56")]
Mtu = Annotated[Int, Field(ge=576, le=9216, json_schema_extra={"x-hint": "bytes, 576 to 9216"})]

NetworkName = Literal["api", "public", "tunnel", "storage", "migration", "external"]
NETWORK_NAMES: tuple[NetworkName, ...] = get_args(NetworkName)
Engine = Literal["podman", "docker"]
State = Literal["present", "maintenance", "absent"]
FailureDomain = Literal["node", "rack", "fire_zone"]

RENAMED: dict[str, str] = {
    "nameservers": "dns",
    "dns_servers": "dns",
    "ntp_servers": "ntp",
    "container_engine": "engine",
    "openstack_release": "release",
    "subnet": "cidr",
    "subnet6": "cidr6",
    "vip_address": "vip",
    "vlan_id": "vlan",
    "pools": "ranges",
    "allocation_pools": "ranges",
    "hosts": "nodes",
    "roles": "groups",
    "fire_section": "fire_zone",
    "power_feeds": "feeds",
    "height_unit": "unit",
    "height_units": "units",
    "jump_host": "jump",
    "known_hosts": "host_keys",
    "key_file": "key",
    "apt_mirror": "mirror",
    "overrides": "config",
    "timeout_factor": "patience",
}
"""What other tools call keys, with what they are called here."""

NOT_YET = {
    "bmc": "nothing controls the power of machines",
    "ipmi": "nothing controls the power of machines",
    "use: osd-db": "each OSD keeps its metadata on its own disk",
    "use: data": "data folders of services are in /var/lib/scs-deploy of the node's own file systems",
    "use: instances": "disks of servers without Ceph are in /var/lib/scs-deploy of the node's own file systems",
}
"""Keys, and keys with a value, that would be understood and have no effect; with what is so instead."""
