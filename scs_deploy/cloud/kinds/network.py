"""The external network with its subnets, default subnet pools, and the rules that new security groups begin with."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from scs_deploy.cloud.plan import Attrs, ContentChange, ContentInputs, ContentItem, ContentKind
from scs_deploy.region.region import Region

DEFAULT_NETWORK = "auto-allocated-topology"
"""The extension that lets an external network be the default one."""

POOLS_V4 = tuple(f"10.{number}.0.0/16" for number in range(200, 240))
"""Of which the first is taken that none of the region's networks overlaps."""


class SecurityRules(ContentKind):
    """What scs-0115 demands, and the network service ships: nobody gets in but members of the same default group."""

    title = "default security rule"
    api = ("network",)
    asserted = True

    def wanted(self, world: ContentInputs) -> Sequence[ContentItem]:
        rules = [
            *(("ingress", version, "PARENT", True, False) for version in ("IPv4", "IPv6")),
            *(("egress", version, "", True, True) for version in ("IPv4", "IPv6")),
        ]
        return [ContentItem(_rule(*rule), {"allowed": True}) for rule in rules] + [
            ContentItem("no other way in", {"allowed": False, "rules": []})
        ]

    def current(self, api: Any, wanted: Sequence[ContentItem]) -> Mapping[str, Attrs]:
        found: dict[str, Attrs] = {}
        others = []
        for one in api.network.default_security_group_rules():
            narrow = one.protocol or one.remote_ip_prefix or one.port_range_min
            rule = (one.direction, one.ether_type, one.remote_group_id or "")
            name = _rule(*rule, bool(one.used_in_default_sg), bool(one.used_in_non_default_sg))
            if not narrow:
                found[name] = {"allowed": True}
            if one.direction == "ingress" and not (one.remote_group_id == "PARENT" and not one.used_in_non_default_sg):
                others.append(f"{one.ether_type} {one.protocol or 'any'} from {one.remote_ip_prefix or 'anywhere'}")
        found["no other way in"] = {"allowed": bool(others), "rules": others}
        return found

    def create(self, api: Any, item: ContentItem) -> None:
        raise NotImplementedError("rules are only looked at")

    def fix(self, change: ContentChange) -> str:
        return "openstack default security group rule list; then create or delete by hand what differs (scs-0115)"


class ExternalNetworks(ContentKind):
    title = "external network"
    api = ("network",)
    fixed = frozenset({"type", "physical_network"})

    def wanted(self, world: ContentInputs) -> Sequence[ContentItem]:
        network = world.region.networks.get("external")
        if not network:
            return []
        attrs: dict[str, Any] = {"type": "flat", "physical_network": world.spec.external.physical_network}
        attrs |= {"external": True, "shared": False, "mtu": network.mtu}
        attrs |= {"default": True} if DEFAULT_NETWORK in world.extensions else {}
        return [ContentItem(world.spec.external.name, attrs)]

    def current(self, api: Any, wanted: Sequence[ContentItem]) -> Mapping[str, Attrs]:
        return {
            one.name: {
                "id": one.id,
                "type": one.provider_network_type,
                "physical_network": one.provider_physical_network,
                "external": one.is_router_external,
                "default": bool(one.is_default),
                "shared": one.is_shared,
                "mtu": one.mtu,
            }
            for one in api.network.networks()
        }

    def create(self, api: Any, item: ContentItem) -> None:
        api.network.create_network(
            name=item.name,
            provider_network_type=item.attrs["type"],
            provider_physical_network=item.attrs["physical_network"],
            **_network(item.attrs),
        )

    def update(self, api: Any, change: ContentChange) -> None:
        api.network.update_network(change.current["id"], **_network(change.item.attrs))


class ExternalSubnets(ContentKind):
    title = "external subnet"
    api = ("network",)
    fixed = frozenset({"cidr"})

    def wanted(self, world: ContentInputs) -> Sequence[ContentItem]:
        network = world.region.networks.get("external")
        if not network:
            return []
        name = world.spec.external.name
        found = []
        for cidr, gateway in ((network.cidr, network.gateway), (network.cidr6, network.gateway6)):
            if cidr:
                ranges = [(str(one.start), str(one.end)) for one in network.ranges if one.start in cidr]
                attrs = {"cidr": str(cidr), "gateway": str(gateway or ""), "dhcp": False}
                attrs |= {"ranges": ranges} if ranges else {}
                found.append(
                    ContentItem(f"{name}-ipv{cidr.version}", attrs, {"network": name, "version": cidr.version})
                )
        return found

    def current(self, api: Any, wanted: Sequence[ContentItem]) -> Mapping[str, Attrs]:
        return {
            one.name: {
                "id": one.id,
                "cidr": one.cidr,
                "gateway": one.gateway_ip or "",
                "dhcp": one.is_dhcp_enabled,
                "ranges": [(pool["start"], pool["end"]) for pool in one.allocation_pools],
            }
            for one in api.network.subnets()
        }

    def create(self, api: Any, item: ContentItem) -> None:
        network = api.network.find_network(item.once["network"], ignore_missing=False)
        more = {"ipv6_ra_mode": None, "ipv6_address_mode": None} if item.once["version"] == 6 else {}
        api.network.create_subnet(
            name=item.name,
            network_id=network.id,
            ip_version=item.once["version"],
            cidr=item.attrs["cidr"],
            **_subnet(item.attrs),
            **more,
        )

    def update(self, api: Any, change: ContentChange) -> None:
        api.network.update_subnet(change.current["id"], **_subnet(change.item.attrs))


class SubnetPools(ContentKind):
    title = "subnet pool"
    api = ("network",)
    fixed = frozenset({"shared"})

    def wanted(self, world: ContentInputs) -> Sequence[ContentItem]:
        spec, found = world.spec.subnet_pools, []
        v4 = pool_v4(world.region) if spec.ipv4 is None else [str(one) for one in spec.ipv4]
        v6 = [pool_v6(world.region)] if spec.ipv6 is None else [str(one) for one in spec.ipv6]
        for name, prefixes, length in (("ipv4", v4, spec.ipv4_length), ("ipv6", v6, spec.ipv6_length)):
            if prefixes:
                attrs = {"prefixes": prefixes, "length": length, "shared": True, "default": True}
                found.append(ContentItem(name, attrs))
        return found

    def current(self, api: Any, wanted: Sequence[ContentItem]) -> Mapping[str, Attrs]:
        return {
            one.name: {
                "id": one.id,
                "prefixes": list(one.prefixes),
                "length": one.default_prefix_length,
                "shared": one.is_shared,
                "default": one.is_default,
            }
            for one in api.network.subnet_pools()
        }

    def create(self, api: Any, item: ContentItem) -> None:
        api.network.create_subnet_pool(name=item.name, is_shared=True, **_pool(item.attrs))

    def update(self, api: Any, change: ContentChange) -> None:
        api.network.update_subnet_pool(change.current["id"], **_pool(change.item.attrs))


def pool_v4(region: Region) -> list[str]:
    """A /16 for the networks of projects that no network of the region overlaps; routers translate, so it stays inside."""
    taken = [network.cidr for network in region.networks.values() if network.cidr]
    for text in POOLS_V4:
        if not any(ipaddress.IPv4Network(text).overlaps(one) for one in taken):
            return [text]
    return []


def pool_v6(region: Region) -> str:
    """A unique local /48 (RFC 4193) that stays the same: its 40 random bits come from the region's name and domain."""
    digest = hashlib.sha256(f"{region.name}.{region.domain}".encode()).digest()
    return str(ipaddress.IPv6Network((bytes([0xFD]) + digest[:5] + bytes(10), 48)))


def _rule(direction: str, version: str, group: str, default: bool, custom: bool) -> str:
    used = " and ".join(name for name, on in (("default", default), ("custom", custom)) if on)
    return f"{direction} {version}{' from the same group' if group == 'PARENT' else ''} in {used or 'no'} groups"


def _network(attrs: Attrs) -> dict[str, Any]:
    default = {"is_default": True} if "default" in attrs else {}
    return {"is_router_external": attrs["external"], "is_shared": attrs["shared"], "mtu": attrs["mtu"], **default}


def _subnet(attrs: Attrs) -> dict[str, Any]:
    found = {"gateway_ip": attrs["gateway"] or None, "is_dhcp_enabled": attrs["dhcp"]}
    if "ranges" in attrs:
        found["allocation_pools"] = [{"start": start, "end": end} for start, end in attrs["ranges"]]
    return found


def _pool(attrs: Attrs) -> dict[str, Any]:
    return {
        "prefixes": attrs["prefixes"],
        "default_prefix_length": attrs["length"],
        "is_default": attrs["default"],
    }
