"""Turns the sections of a valid region.yml into a ``Region``: node wins over rack, rack over region."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from scs_deploy.catalogue.load import Catalogue
from scs_deploy.documents.fields import NETWORK_NAMES
from scs_deploy.errors import Finding
from scs_deploy.region.host import Inheritable
from scs_deploy.region.network import Network
from scs_deploy.region.public_tls import PublicCertificate
from scs_deploy.region.rack import Node, NodeSection, RackSection
from scs_deploy.region.region import Region, RegionSection
from scs_deploy.region.services import ServiceTuning, ServiceValues, merged

Part = TypeVar("Part", bound=BaseModel)

GENEVE_OVERHEAD = {4: 58, 6: 78}
"""Bytes of Ethernet, IP, UDP and Geneve headers with OVN's option around a packet, by family of the tunnel (RFC 8926)."""

_WHOLE = ("dns", "ntp", "mirror", "timezone", "engine", "disks")
_BY_KEY = ("ssh", "proxy", "hardware")


def resolve(
    section: RegionSection,
    catalogue: Catalogue,
    folder: Path,
    warnings: tuple[Finding, ...] = (),
    public_tls: PublicCertificate | None = None,
) -> Region:
    """The region with every value in its place."""
    services = _services(section, catalogue)
    nodes = []
    for rack in section.racks:
        rack_values = _inherit(section, rack)
        rack_services = _tuned(services, rack.services)
        nodes += [
            _node(rack, node, _inherit(rack_values, node), _tuned(rack_services, node.services)) for node in rack.nodes
        ]
    return Region(
        section.name,
        section.release,
        section.engine,
        section.domain,
        section.failure_domain,
        section.patience,
        section.guest_mtu or carried_mtu(section),
        {name: Network.of(name, network) for name, network in section.networks.declared().items()},
        section.racks,
        tuple(nodes),
        services,
        folder,
        warnings,
        public_tls,
    )


def carried_mtu(section: RegionSection) -> int:
    """Largest packet of a server that the tunnel network carries, in bytes."""
    tunnel = section.networks.tunnel or section.networks.api
    return tunnel.mtu - GENEVE_OVERHEAD[4 if tunnel.cidr else 6]


def _inherit(base: Inheritable, over: Inheritable) -> Inheritable:
    """``base`` with what ``over`` says itself."""
    given = over.model_fields_set & Inheritable.model_fields.keys()
    if not given:
        return base
    update: dict[str, object] = {}
    for name in given:
        value = getattr(over, name)
        if name in _WHOLE:
            update[name] = value
        elif name in _BY_KEY:
            update[name] = on_top(getattr(base, name), value)
        else:
            nics = dict(base.nics)
            nics.update({key: on_top(nics[key], nic) if key in nics else nic for key, nic in value.items()})
            update[name] = nics
    return base.model_copy(update=update)


def on_top(base: Part, over: Part) -> Part:
    """``base`` with the keys that ``over`` says itself."""
    return base.model_copy(update={name: getattr(over, name) for name in over.model_fields_set})


def _services(section: RegionSection, catalogue: Catalogue) -> dict[str, ServiceValues]:
    found = {}
    for name, service in catalogue.services.items():
        values = ServiceValues(service.enabled, catalogue.default_settings(name))
        if (said := section.services.get(name)) is not None:
            enabled = service.enabled if said.enabled is None else said.enabled
            values = ServiceValues(enabled, merged(values.settings, said.settings), dict(said.config))
        found[name] = values
    return found


def _tuned(services: dict[str, ServiceValues], tuning: Mapping[str, ServiceTuning]) -> dict[str, ServiceValues]:
    return {**services, **{name: services[name].tuned(one) for name, one in tuning.items()}} if tuning else services


def _node(rack: RackSection, node: NodeSection, values: Inheritable, services: dict[str, ServiceValues]) -> Node:
    return Node(
        node.name,
        rack.name,
        rack.fire_zone,
        rack.feeds if node.feeds is None else node.feeds,
        node.unit,
        node.height,
        node.groups,
        # In an order of our own: that of the file is a person's, and would change files on nodes.
        {name: node.addresses[name] for name in NETWORK_NAMES if name in node.addresses},
        values.ssh,
        values.dns,
        values.ntp,
        values.proxy,
        values.mirror,
        values.timezone,
        values.engine,
        values.nics,
        values.disks,
        values.hardware,
        node.state,
        services,
    )
