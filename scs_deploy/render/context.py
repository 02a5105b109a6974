"""What templates see (``docs/templates.md``): one ``Topology`` per render, one small context per instance."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from scs_deploy.catalogue import names
from scs_deploy.catalogue.load import Catalogue
from scs_deploy.catalogue.service import Component, Frontend, Port, Service
from scs_deploy.errors import InputError
from scs_deploy.region import vips
from scs_deploy.region.placement import Placed, Placement
from scs_deploy.region.region import FALLBACK_TO_API, Network, Node, Region

SHARED = frozenset(
    {
        "region", "nodes", "exposed", "endpoint", "members", "vip", "vip_name", "bracket", "uid", "gid", "secret",
        "secret_hash", "tls", "run_root", "login_name", "catalogue_region",
    }
)  # fmt: skip
"""Names that mean the same to every instance of a region: a template that uses no others is rendered once."""

FROM_FACTS = ("facts", "vips")
"""Names that come from the facts of a node; what belongs to the region, and not to a node, does not see them."""

_PRIVILEGED = 1024
"""The kernel's own net.ipv4.ip_unprivileged_port_start."""


def bracket(address: object) -> str:
    """Return an address as it stands in a URL or host:port pair."""
    text = str(address)
    return f"[{text}]" if ":" in text else text


def address_on(node: Node, network: str) -> str:
    """Return the node's address on a network (IPv4 where it has both); raises as ``addresses_on`` does."""
    return addresses_on(node, network)[0]


def addresses_on(node: Node, network: str) -> list[str]:
    """Return the node's addresses of both families on a network, or on api where it has none there.

    Raises ``InputError`` when it has none; the region's checks make that rare.
    """
    found = node.addresses.get(network) or node.addresses.get("api")
    if found is None:
        raise InputError(f"node {node.name} has no address on network {network}", where=f"node {node.name}")
    return [str(address) for address in (found.v4, found.v6) if address]


@cache
def by_family(sources: tuple[str, ...]) -> dict[str, list[str]]:
    """Return addresses and networks apart, as nftables names their families, ``ip`` and ``ip6``; a set of it holds nothing twice."""
    networks = [ipaddress.ip_network(one, strict=False) for one in sources]
    four = ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv6Network))
    return {"ip": [_shortly(one) for one in four], "ip6": [_shortly(one) for one in six]}


def _shortly(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    return str(network if network.prefixlen < network.max_prefixlen else network.network_address)


def identity_service(catalogue: Catalogue) -> Service | None:
    """Return the service that registers itself as identity."""
    for service in catalogue.services.values():
        if any(resource.attrs.get("type") == "identity" for resource in service.resources):
            return service
    return None


def catalogue_region(region: Region, catalogue: Catalogue) -> str:
    """Return the region's name in the catalogue of APIs: setting ``region_id`` of the identity service, else the region's own."""
    identity = identity_service(catalogue)
    settings = region.services[identity.name].settings if identity else {}
    return str(settings.get("region_id") or region.name)


def own_address(node: Node, network: str, family: int) -> str:
    """Return the node's address of a family (4 or 6) on a network that is declared, empty if it has none."""
    found = node.addresses.get(network)
    address = found and (found.v4 if family == 4 else found.v6)
    return str(address or "")


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    index: str
    node: str
    first: bool
    _node: Node = field(repr=False)

    def address(self, network: str = "api", family: int = 0) -> str:
        return own_address(self._node, network, family) if family else address_on(self._node, network)


@dataclass(frozen=True, slots=True)
class Member:
    node: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    port: int
    tls: bool

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{bracket(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Exposed:
    """A port of the region with everybody who has it."""

    name: str
    service: str
    component: str
    port: int
    last: int
    network: str
    protocol: str
    tls: bool
    sources: tuple[str, ...]
    """Addresses and networks that may connect to a member."""
    frontend_sources: tuple[str, ...]
    """Those that may connect at the VIP of the port's own network."""
    frontend: Frontend | None
    members: tuple[Member, ...]


class Topology:
    """What all instances of a region share: who is where, and which ports they offer."""

    def __init__(self, region: Region, catalogue: Catalogue, placement: Placement) -> None:
        self.region, self.catalogue, self.placement = region, catalogue, placement
        self.users = catalogue.users
        self.nodes = tuple(node for node in region.nodes if node.state != "absent")
        self.by_name = {node.name: node for node in self.nodes}
        self._peers: dict[str, tuple[Peer, ...]] = {}

    @cached_property
    def exposed(self) -> dict[str, Exposed]:
        found: dict[str, Exposed] = {}
        for service_name, service in self.catalogue.services.items():
            for name, component in service.components.items():
                placed = self.placement.of(name)
                if placed:
                    for port in component.ports:
                        found[port.name] = self._expose(service_name, name, port, placed)
        return found

    def _expose(self, service: str, component: str, port: Port, placed: tuple[Placed, ...]) -> Exposed:
        everybody = self._cidrs(port.network)
        balanced = port.frontend and any(map(self.vip, port.frontend.networks))
        balancers = {one.node for one in self.placement.placed if self.catalogue.component(one.component)[1].balances}

        def sources(groups: tuple[str, ...], names: Collection[str] = ()) -> tuple[str, ...]:
            nodes = [node for node in self.nodes if node.name in names or not {*node.groups}.isdisjoint(groups)]
            return tuple(address for node in nodes for address in addresses_on(node, port.network))

        carriers = dict.fromkeys(one.node for one in placed)
        members = tuple(Member(one, address_on(self.by_name[one], port.network), port.port) for one in carriers)
        return Exposed(
            port.name,
            service,
            component,
            port.port,
            port.last,
            port.network,
            port.protocol,
            port.tls,
            sources(port.sources, balancers if balanced else ()) if port.sources or balanced else everybody,
            sources(port.frontend.sources) if port.frontend and port.frontend.sources else everybody,
            port.frontend,
            members,
        )

    def reached(self, names: tuple[str, ...]) -> list[tuple[Exposed, tuple[str, ...]]]:
        """Return those of the named ports that are there, each with its network: a list of members would grow with the region."""
        return [(port, self._cidrs(port.network)) for name in names if (port := self.exposed.get(name))]

    def _cidrs(self, role: str) -> tuple[str, ...]:
        network = self.network(role)
        return tuple(str(cidr) for cidr in (network.cidr, network.cidr6) if cidr) if network else ()

    def low_port(self, node: Node) -> int:
        """Return the lowest port that a container opens on a node as another user than root, if that takes a privilege; else 1024."""
        components = [self.catalogue.component(one.component)[1] for one in self.placement.on(node.name)]
        binding = [
            one
            for one in components
            if one.kind == "container" and one.user != "root" and "NET_BIND_SERVICE" in one.capabilities
        ]
        ports = [port.port for one in binding for port in one.ports]
        if binding:
            ports += [port.frontend.port or port.port for port in self.exposed.values() if port.frontend]
        return min([*ports, _PRIVILEGED])

    def peers(self, component: str) -> tuple[Peer, ...]:
        if component not in self._peers:
            placed = self.placement.of(component)
            self._peers[component] = tuple(
                Peer(one.name, one.index, one.node, number == 0, self.by_name[one.node])
                for number, one in enumerate(placed)
            )
        return self._peers[component]

    def port(self, name: str) -> Exposed:
        try:
            return self.exposed[name]
        except KeyError:
            raise InputError(
                f"no component that is deployed has a port named {name}",
                why=f"known ports: {', '.join(sorted(self.exposed)) or 'none'}",
                fix="enable the service that offers it, or correct the name in the template",
            ) from None

    def endpoint(self, name: str, network: str | None = None) -> Endpoint:
        port = self.port(name)
        if port.frontend and self.vip(network or port.frontend.networks[0]):
            chosen = network or port.frontend.networks[0]
            return Endpoint(self.vip_name(chosen), port.frontend.port or port.port, port.frontend.tls or port.tls)
        return Endpoint(port.members[0].address, port.port, port.tls)

    def network(self, role: str) -> Network | None:
        """Return the network that plays a role, None where nothing stands in for an undeclared one."""
        return self.region.network(role) if role in self.region.networks or role in FALLBACK_TO_API else None

    def vip(self, network: str) -> str:
        found = self.network(network)
        return str(found.vip or found.vip6 or "") if found else ""

    def vip_name(self, network: str) -> str:
        found = self.network(network)
        return vips.dns_name(found.name if found else network, self.region.domain)


def context_for(
    topology: Topology, node: Node, placed: Placed, component: Component, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the names a template of this instance sees."""
    settings = node.services[placed.service].settings
    here = {one.component for one in topology.placement.on(node.name)}
    folder = names.instance_folder(placed.name)

    def data_path(name: str) -> str:
        for data in component.data if component.kind == "container" else ():
            if data.name == name:
                return f"{names.DATA_ROOT}/{placed.service if data.shared else placed.name}/{name}"
        raise InputError(f"component {placed.component} has no data folder {name}", where=f"roles/{placed.service}")

    def peers(name: str = placed.component) -> tuple[Peer, ...]:
        return topology.peers(name)

    return {
        "region": topology.region,
        "node": node,
        "nodes": topology.nodes,
        "instance": placed.name,
        "service": placed.service,
        "component": placed.component,
        "index": placed.index,
        "item": placed.item,
        "settings": settings,
        "facts": facts,
        "address": lambda network="api", family=0: (
            own_address(node, network, family) if family else address_on(node, network)
        ),
        "addresses": lambda network: addresses_on(node, network),
        "by_family": lambda sources: by_family(tuple(sources)),
        "bracket": bracket,
        "peers": peers,
        "members": lambda name: topology.port(name).members,
        "endpoint": topology.endpoint,
        "catalogue_region": catalogue_region(topology.region, topology.catalogue),
        "exposed": tuple(topology.exposed.values()),
        "egress_here": lambda: [
            (topology.users.uid(one.user), topology.reached(one.ports))
            for name in sorted(here)
            if (one := topology.catalogue.component(name)[1].egress)
        ],
        "exposed_here": tuple(port for port in topology.exposed.values() if port.component in here),
        "low_port": topology.low_port(node),
        "vip": topology.vip,
        "vip_name": topology.vip_name,
        "vips": vips.vips(topology.region, facts, node),
        "uid": topology.users.uid,
        "gid": topology.users.gid,
        "tls": names.TLS_TARGET,
        "config_path": lambda target: f"{folder}/{target.lstrip('/')}",
        "data_path": data_path,
        "run_root": names.RUN_ROOT,
    }
