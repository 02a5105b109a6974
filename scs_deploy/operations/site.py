"""What a region is: all that follows from its folder and the roles, before any node is looked at; read once, never changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scs_deploy.catalogue.kept import kept_catalogue
from scs_deploy.catalogue.load import Catalogue, load_catalogue
from scs_deploy.catalogue.service import Secret
from scs_deploy.errors import InputError, UsageError
from scs_deploy.machine import paths
from scs_deploy.operations.store import Store
from scs_deploy.plan.dependencies import Order, order_of
from scs_deploy.region.load import find_region, load_region, located
from scs_deploy.region.placement import Placement, place
from scs_deploy.region.region import Node, Region
from scs_deploy.render.context import Topology
from scs_deploy.render.templates import TemplateSet


@dataclass(frozen=True)
class Site:
    """A region with its services, where they are placed, in which order they start and what their templates are."""

    region: Region
    catalogue: Catalogue
    placement: Placement
    order: Order
    topology: Topology
    templates: TemplateSet

    @classmethod
    def of(cls, region: Region, catalogue: Catalogue, placement: Placement, templates: TemplateSet) -> Site:
        topology = Topology(region, catalogue, placement)
        return cls(region, catalogue, placement, order_of(catalogue, placement), topology, templates)

    @property
    def folder(self) -> Path:
        return self.region.folder

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """All nodes by name; those in state absent too: what is left on them is to be removed."""
        return {node.name: node for node in self.region.nodes}

    @cached_property
    def secrets(self) -> dict[str, Secret]:
        """The secrets of deployed services, by name."""
        services = (self.catalogue.services[name] for name in sorted({one.service for one in self.placement.placed}))
        return {name: spec for service in services for name, spec in service.secrets.items()}

    def limited(self, limit: Iterable[str]) -> dict[str, Node]:
        """Return the nodes of ``limit`` (nodes, groups, racks; none: all); raises ``UsageError`` for unknown names."""
        wanted = tuple(limit)
        groups = {name for node in self.nodes.values() for name in (*node.groups, node.rack)}
        unknown = [name for name in wanted if name not in self.nodes and name not in groups]
        if unknown:
            raise UsageError(
                f"--limit names the unknown {', '.join(unknown)}",
                fix=f"known nodes: {', '.join(self.nodes)}; groups: {', '.join(sorted(groups))}",
            )
        return {
            name: node
            for name, node in self.nodes.items()
            if not wanted or {name, node.rack, *node.groups} & set(wanted)
        }

    def check_services(self, names: Iterable[str]) -> None:
        """Raise ``UsageError`` for services that do not exist."""
        if unknown := [name for name in names if name not in self.catalogue.services]:
            known = ", ".join(self.catalogue.services)
            raise UsageError(f"there is no service {', '.join(unknown)}", fix=f"known: {known}")


def find_site(name: str | None) -> Site:
    """Read the region of a name or path, or the only one there is; raises ``UsageError`` when that is not one."""
    return load_site(find_region(name, paths.inventories_search()))


def load_site(folder: Path) -> Site:
    """Read a region folder; raises ``InputError`` for every mistake in it."""
    search = paths.roles_search()
    try:
        catalogue = kept_catalogue(search, paths.cache_dir())
    except paths.OwnFolderError:  # without a place to keep it, it is read
        catalogue = load_catalogue(search)
    region = load_region(folder, catalogue)
    store = Store.of(region)
    try:
        placement = place(region, catalogue, store.placement())
    except InputError as error:
        raise located(error, folder) from error
    return Site.of(region, catalogue, placement, TemplateSet.load(catalogue, store.state / "templates"))
