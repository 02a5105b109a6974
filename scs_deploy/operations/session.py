"""One command's work on one region: load, place, observe, render and plan, with everything read at most once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from scs_deploy.catalogue.load import Catalogue, load_catalogue
from scs_deploy.catalogue.release import load_users
from scs_deploy.errors import InputError, UsageError
from scs_deploy.images import read_lock
from scs_deploy.lab import Lab, LabSpec
from scs_deploy.machine import paths
from scs_deploy.machine.files import write_atomic
from scs_deploy.nodes import clocks
from scs_deploy.nodes.connection import Connection
from scs_deploy.nodes.facts_cache import FactsCache
from scs_deploy.nodes.observe import Observation, Observer, Progress, unreachable_error
from scs_deploy.operations import certificates
from scs_deploy.plan import drift, make
from scs_deploy.plan.dependencies import Order, order_of
from scs_deploy.plan.plan import Plan
from scs_deploy.region.load import find_region, load_region, located
from scs_deploy.region.placement import Placement, place
from scs_deploy.region.region import Node, Region
from scs_deploy.render import ImageChoice, Renderer
from scs_deploy.render.context import Topology
from scs_deploy.render.desired import Desired
from scs_deploy.render.digests import Sealed, seal
from scs_deploy.render.templates import TemplateSet
from scs_deploy.secrets import Vault, account_names
from scs_deploy.secrets.pki import BACKDATED, Certificate, CertificateRequest
from scs_deploy.secrets.placeholders import Resolver
from scs_deploy.secrets.vault import PUBLIC_KEY

__all__ = ["PLACEMENT_LOCK", "Observation", "Progress", "Session", "unreachable_error"]
PLACEMENT_LOCK = "placement.lock"


class Session:
    """A region folder, opened. Reading is lazy: ``validate`` never asks for the vault."""

    def __init__(self, folder: Path, vault_password: Path | None = None) -> None:
        self.folder = folder
        self._vault_password = vault_password
        self.generated: list[str] = []

    @classmethod
    def open(cls, region: str | None, vault_password: Path | None = None) -> Session:
        """Find the region folder by name, path or as the only one; raises ``InputError`` when that fails."""
        return cls(find_region(region, paths.inventories_search()), vault_password)

    @cached_property
    def catalogue(self) -> Catalogue:
        return load_catalogue(paths.roles_search())

    @cached_property
    def region(self) -> Region:
        return load_region(self.folder, self.catalogue)

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """All nodes by name; those in state absent too: what is left on them is to be removed."""
        return {node.name: node for node in self.region.nodes}

    @cached_property
    def lab(self) -> Lab | None:
        """The region's lab; None unless it is up."""
        lab = Lab(LabSpec.from_region(self.region))
        return lab if lab.files.private_key.exists() else None

    @cached_property
    def connections(self) -> dict[str, Connection]:
        """How to reach each node; while a lab of this region is up, that is the lab's way."""
        found = {name: Connection.for_node(node, self.folder) for name, node in self.nodes.items()}
        lab = self.lab
        if lab is None:
            return found
        lab.enter()
        key, known = str(lab.files.private_key), str(lab.files.known_hosts)
        return {
            name: replace(
                one, host=lab.address(name), user="root", port=22, key=key, known_hosts=known, jump="", become=False
            )
            for name, one in found.items()
        }

    @cached_property
    def placement(self) -> Placement:
        try:
            return place(self.region, self.catalogue, self._placement_lock())
        except InputError as error:
            raise located(error, self.folder) from error

    @cached_property
    def topology(self) -> Topology:
        return Topology(self.region, self.catalogue, self.placement, load_users())

    @cached_property
    def order(self) -> Order:
        return order_of(self.catalogue, self.placement)

    @cached_property
    def templates(self) -> TemplateSet:
        return TemplateSet.load(self.catalogue, self.state / "templates")

    @cached_property
    def vault(self) -> Vault:
        vault = Vault.create(self.folder, self._vault_password)
        deployed = {one.service for one in self.placement.placed}
        wanted = {
            name: spec
            for service in sorted(deployed)
            for name, spec in self.catalogue.services[service].secrets.items()
        }
        self.generated = vault.ensure(wanted)
        return vault

    @cached_property
    def state(self) -> Path:
        """Runs, facts and events of this region: ``<state>/regions/<name>-<hash of its folder>``."""
        mark = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:8]
        folder = paths.state_dir() / "regions" / f"{self.region.name}-{mark}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @cached_property
    def _known(self) -> FactsCache:
        return FactsCache(self.state / "facts")

    # -- placement.lock ----------------------------------------------------------------------------------------------------

    def _placement_lock(self) -> dict[str, list[str]]:
        path = self.folder / PLACEMENT_LOCK
        if not path.exists():
            return {}
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise InputError(
                "placement.lock is not valid YAML", where=str(path), why=str(error), fix="restore it from git"
            ) from error
        if not isinstance(data, dict) or not all(isinstance(value, list) for value in data.values()):
            raise InputError(
                "placement.lock must map components to lists of nodes", where=str(path), fix="restore it from git"
            )
        return {str(key): [str(name) for name in value] for key, value in data.items()}

    def may_certify(self, observation: Observation) -> None:
        """Raise ``DeployError`` when the plan takes new certificates that would not be valid on nodes, by their clocks."""
        if self.vault.unsaved:
            clocks.refuse_certificates(observation.clocks, BACKDATED)

    def keep(self) -> None:
        """Write what later runs rely on: certificates that were issued and the chosen placement."""
        self.vault.save()
        chosen = {name: list(nodes) for name, nodes in sorted(self.placement.chosen.items())}
        path = self.folder / PLACEMENT_LOCK
        text = "# Kept by scs-deploy: where components were placed that not every node of a group carries.\n"
        text += yaml.safe_dump(chosen, sort_keys=True) if chosen else "{}\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_atomic(path, text, 0o644)

    def remember(self, plan: Plan, sealed: Sealed, undone: set[str]) -> None:
        """Keep what nodes hold after a plan was carried out, less the steps that are ``undone``: drift is told by it."""
        drift.record(self.state, plan, sealed, undone, self.nodes)

    # -- secrets -----------------------------------------------------------------------------------------------------------

    def resolver(self, desired: Desired) -> Resolver:
        """Return the function that gives secret values, certificates included (``cert:<node>:<instance>``)."""
        vault = self.vault

        def value(name: str) -> str | Mapping[str, str]:
            if name == PUBLIC_KEY:
                return certificates.public_key(self.region, vault)
            if not name.startswith("cert:"):
                return vault.get(name)
            _, node, instance = name.split(":")
            wanted = desired.certificates[node, instance]
            return _pem(
                vault.certificate(
                    node, instance, CertificateRequest(wanted.common_name, wanted.dns_names, wanted.ip_addresses)
                )
            )

        cache: dict[str, str | Mapping[str, str]] = {}
        return lambda name: cache[name] if name in cache else cache.setdefault(name, value(name))

    # -- render ------------------------------------------------------------------------------------------------------------

    def render(self) -> Sealed:
        """Render and seal every node whose facts are known."""
        desired = self.desired()
        return seal(desired, self.resolver(desired))

    def desired(self) -> Desired:
        """Render every node whose facts are known."""
        known = {name: facts["facts"] for name in self.nodes if (facts := self._known.get(name))}
        locked = read_lock(self.folder).images
        images = {
            name: ImageChoice(one.id, one.reference, one.packages_digest, one.packages) for name, one in locked.items()
        }
        keys = {name: tuple(value) for name in self.vault.names if isinstance(value := self.vault.get(name), Mapping)}
        return Renderer(self.topology, self.templates, images, keys, known, self.vault.standings).render()

    # -- observe -----------------------------------------------------------------------------------------------------------

    def observe(
        self, limit: Iterable[str] = (), progress: Progress | None = None, *, resources: bool = True
    ) -> Observation:
        """Look at every node, or at those of ``limit`` (nodes, groups, racks); raises ``UsageError`` for unknown names.

        Without ``resources`` nothing behind APIs is looked at, and a plan of it says nothing of them.
        """
        chosen = self.limited(limit)
        return self._observer().observe(chosen, progress, resources=resources)

    def destruction(self, progress: Progress | None = None) -> Observation:
        """Look at the nodes as if nothing were wanted on them: all that is managed there is then unexpected."""
        return self._observer().destruction(self.nodes, progress)

    def _observer(self) -> Observer:
        return Observer(self.connections, self._known, self.render)

    def limited(self, limit: Iterable[str]) -> dict[str, Node]:
        wanted = tuple(limit)
        groups = {group for node in self.nodes.values() for group in node.groups} | {
            node.rack for node in self.nodes.values()
        }
        unknown = [name for name in wanted if name not in self.nodes and name not in groups]
        if unknown:
            raise UsageError(
                f"--limit names the unknown {', '.join(unknown)}",
                fix=f"known nodes: {', '.join(self.nodes)}; groups: {', '.join(sorted(groups))}",
            )
        return {
            name: node
            for name, node in self.nodes.items()
            if not wanted or name in wanted or node.rack in wanted or set(node.groups) & set(wanted)
        }

    def facts(self, node: str) -> Mapping[str, Any]:
        """Return what is known of a node; empty if it was never reached."""
        return dict(self._known.get(node).get("facts", {}))

    # -- plan --------------------------------------------------------------------------------------------------------------

    def plan(
        self, observation: Observation, limit: Iterable[str] = (), purge: bool = False, services: Iterable[str] = ()
    ) -> Plan:
        """Make the plan, of all services or of some; raises ``UsageError`` for unknown names."""
        chosen = tuple(self.limited(limit)) if tuple(limit) else ()
        named = tuple(services)
        unknown = [name for name in named if name not in self.catalogue.services]
        if unknown:
            raise UsageError(
                f"there is no service {', '.join(unknown)}", fix=f"known: {', '.join(self.catalogue.services)}"
            )
        inputs = make.Inputs(
            self.region,
            observation.sealed,
            self.order,
            observation.observed,
            observation.unreachable,
            chosen,
            named,
            purge,
        )
        plan = make.make_plan(inputs)
        gone = tuple(
            f"node {name} is absent and does not answer: what is left on it cannot be removed"
            for name in observation.gone
        )
        late = certificates.notes(self.region, observation.observed, self.vault.clock())
        clock = clocks.notes(observation.clocks)
        return replace(plan, notes=(*plan.notes, *gone, *clock, *late, *account_names.notes(self.vault.standings)))

    def node(self, name: str) -> Node:
        """Return a node by name; raises ``UsageError`` with the known names."""
        if name not in self.nodes:
            raise UsageError(f"there is no node {name}", fix=f"known nodes: {', '.join(self.nodes)}")
        return self.nodes[name]


def _pem(certificate: Certificate) -> Mapping[str, str]:
    return {
        "cert": certificate.cert_pem,
        "key": certificate.key_pem,
        "ca": certificate.ca_pem,
        "bundle": certificate.cert_pem + certificate.ca_pem + certificate.key_pem,
    }
