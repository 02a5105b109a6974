"""Cross-checks of a region that is valid in itself: contradictions between its parts, found before anything is touched.

A finding about two places stands at the second and names the first with its line.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from scs_deploy.catalogue.load import Catalogue
from scs_deploy.catalogue.release import release_names
from scs_deploy.documents.findings import choose
from scs_deploy.documents.source import PathTuple, Source
from scs_deploy.errors import Finding
from scs_deploy.region.checks_address import check_addresses
from scs_deploy.region.checks_network import check_networks
from scs_deploy.region.checks_placement import check_placement
from scs_deploy.region.host import Disk
from scs_deploy.region.rack import NodeSection, RackSection
from scs_deploy.region.region import RegionSection
from scs_deploy.region.settings import is_enabled


def check_region(
    source: Source, region: RegionSection, catalogue: Catalogue, *, whole: bool = True
) -> Iterator[Finding]:
    """Errors and warnings; not ``whole``: only contradictions that nothing that was left out could dissolve."""
    if region.release not in release_names():
        yield source.finding(
            ("release",), f"the release {region.release} is not known", fix=choose(region.release, release_names())
        )
    yield from _machines(source, region)
    yield from _disks(source, region)
    yield from check_networks(source, region)
    yield from check_addresses(source, region, catalogue)
    if whole:
        yield from _needs(source, region, catalogue)
        yield from check_placement(source, region, catalogue)


@dataclass(slots=True)
class _Once:
    """Things that may be there once; remembers where."""

    source: Source
    what: str
    fix: str
    seen: dict[Hashable, PathTuple] = field(default_factory=dict)

    def add(self, thing: Hashable, path: PathTuple) -> Iterator[Finding]:
        first = self.seen.setdefault(thing, path)
        if first != path:
            why = f"it is already at {self.source.line_of(first)}"
            yield self.source.finding(path, f"{self.what} {thing} is given twice", why=why, fix=self.fix)


def _machines(source: Source, region: RegionSection) -> Iterator[Finding]:
    racks, nodes = _Once(source, "the rack", "rename one of them"), _Once(source, "the node", "rename one of them")
    macs = _Once(source, "the MAC address", "correct one of them")
    for number, rack in enumerate(region.racks):
        at: PathTuple = ("racks", number)
        yield from racks.add(rack.name, (*at, "name"))
        yield from _height_units(source, at, rack)
        for index, node in enumerate(rack.nodes):
            where = (*at, "nodes", index)
            yield from nodes.add(node.name, (*where, "name"))
            for name, nic in node.nics.items():
                if nic.mac:
                    yield from macs.add(nic.mac, (*where, "nics", name, "mac"))
            for number_of_feed, feed in enumerate(node.feeds or ()):
                if feed not in rack.feeds:
                    path = (*where, "feeds", number_of_feed)
                    why = f"the rack's feeds are at {source.line_of((*at, 'feeds'))}"
                    yield source.finding(
                        path, f"the rack {rack.name} has no feed {feed}", why=why, fix=choose(feed, rack.feeds)
                    )
    if not nodes.seen:
        yield source.finding(("racks",), "there is no node", fix="add nodes to a rack")


def _height_units(source: Source, at: PathTuple, rack: RackSection) -> Iterator[Finding]:
    taken: dict[int, PathTuple] = {}
    for index, node in enumerate(rack.nodes):
        if node.unit is None:
            continue
        path = (*at, "nodes", index, "unit")
        top = node.unit + node.height - 1
        if top > rack.units:
            why = f"it fills the units {node.unit} to {top}, see {source.line_of((*at, 'units'))}"
            yield source.finding(
                path, f"the rack {rack.name} has {rack.units} height units", why=why, fix="correct unit or height"
            )
        other = next((taken[unit] for unit in range(node.unit, top + 1) if unit in taken), None)
        if other is not None:
            why = f"a unit between {node.unit} and {top} is already filled by {source.line_of(other)}"
            heights = [(*place[:-1], "height") for place in (other, path) if _declares_height(rack, place)]
            why += "".join(f", see {source.line_of(height)}" for height in heights)
            yield source.finding(
                path, "two nodes fill the same height unit", why=why, fix="correct unit or height of one"
            )
        for unit in range(node.unit, top + 1):
            taken.setdefault(unit, path)


def _declares_height(rack: RackSection, unit: PathTuple) -> bool:
    return "height" in rack.nodes[int(unit[-2])].model_fields_set


def _disks(source: Source, region: RegionSection) -> Iterator[Finding]:
    """No disk twice: a path within a node, a serial in the whole region."""
    serials: dict[str, tuple[PathTuple, str]] = {}
    checked: set[PathTuple] = set()
    for where, node, at, disks in _disk_lists(region):
        if at not in checked:
            checked.add(at)
            paths = _Once(source, "the disk", "remove one of them")
            for index, disk in enumerate(disks):
                if disk.path:
                    yield from paths.add(disk.path, (*at, index, "path"))
        for index, disk in enumerate(disks):
            if disk.serial is None:
                continue
            path = (*at, index, "serial")
            first, owner = serials.setdefault(disk.serial, (path, node.name))
            if first != path:
                why = f"it is already at {source.line_of(first)}"
                yield source.finding(
                    path, f"the disk {disk.serial[:60]} is given twice", why=why, fix="correct one of them"
                )
            elif owner != node.name:
                why = f"nodes {owner} and {node.name} ({source.line_of(where)}) cannot have the same disk"
                yield source.finding(
                    path,
                    "a serial number holds for one node only",
                    why=why,
                    fix="give path here, or serial at the node",
                )


def _disk_lists(region: RegionSection) -> Iterator[tuple[PathTuple, NodeSection, PathTuple, tuple[Disk, ...]]]:
    """Each node with the list of disks that holds for it, and where that list stands."""
    for number, rack in enumerate(region.racks):
        for index, node in enumerate(rack.nodes):
            where: PathTuple = ("racks", number, "nodes", index)
            if "disks" in node.model_fields_set:
                yield where, node, (*where, "disks"), node.disks
            elif "disks" in rack.model_fields_set:
                yield where, node, ("racks", number, "disks"), rack.disks
            else:
                yield where, node, ("disks",), region.disks


def _needs(source: Source, region: RegionSection, catalogue: Catalogue) -> Iterator[Finding]:
    for name, service in catalogue.services.items():
        if not is_enabled(region, catalogue, name):
            continue
        for need in service.needs:
            if is_enabled(region, catalogue, need):
                continue
            said = need in region.services and region.services[need].enabled is not None
            path = ("services", need, "enabled") if said else ("services", name)
            why = (
                f"enabled at {source.line_of(('services', name))}" if name in region.services else "enabled by default"
            )
            fix = f"enable {need}, or disable {name}"
            yield source.finding(
                path, f"the service {name} needs {need}, which is not enabled", why=f"{name} is {why}", fix=fix
            )
