"""One command's work on one region: load, place, observe, render and plan, with everything read at most once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from scs_deploy import diff, paths, payload, runner
from scs_deploy.catalogue.load import Catalogue, load_catalogue
from scs_deploy.context import Topology
from scs_deploy.desired import Desired
from scs_deploy.errors import DeployError, InputError, UsageError
from scs_deploy.images import read_lock
from scs_deploy.lab import Lab, LabSpec
from scs_deploy.model.load import find_region, load_region
from scs_deploy.model.region import Node, Region
from scs_deploy.order import Order, order_of
from scs_deploy.pki import Certificate, CertificateRequest
from scs_deploy.placement import Placement, place
from scs_deploy.plan import Plan
from scs_deploy.references import Resolver
from scs_deploy.releases import load_users
from scs_deploy.render import ImageChoice, Renderer
from scs_deploy.seal import Sealed, seal
from scs_deploy.secrets import Vault
from scs_deploy.ssh import Connection
from scs_deploy.templates import TemplateSet

PLACEMENT_LOCK = "placement.lock"

Progress = Callable[[str, str], None]
"""Called with a node and its state as answers come in."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the nodes said, and the facts that desired state was rendered with."""

    observed: Mapping[str, Mapping[str, Any]]
    unreachable: Mapping[str, str]
    sealed: Sealed
    rounds: int
    gone: tuple[str, ...] = ()
    """Nodes in state absent that do not answer any more, as is to be expected."""


class Session:
    """A region folder, opened. Reading is lazy: ``validate`` never asks for the vault."""

    def __init__(self, folder: Path, vault_password: Path | None = None) -> None:
        self.folder = folder
        self._vault_password = vault_password
        self.generated: list[str] = []
        self._facts: dict[str, Mapping[str, Any]] = {}

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
        """All nodes by name; those in state absent too, since what is left on them is to be removed."""
        return {node.name: node for node in self.region.nodes}

    @cached_property
    def connections(self) -> dict[str, Connection]:
        """How to reach each node; while a lab of this region is up, that is the lab's way."""
        found = {name: Connection.for_node(node, self.folder) for name, node in self.nodes.items()}
        lab = Lab(LabSpec.from_region(self.region))
        if not lab.files.private_key.exists():
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
        return place(self.region, self.catalogue, self._placement_lock())

    @cached_property
    def topology(self) -> Topology:
        return Topology(self.region, self.catalogue, self.placement, load_users())

    @cached_property
    def order(self) -> Order:
        return order_of(self.catalogue, self.placement)

    @cached_property
    def templates(self) -> TemplateSet:
        return TemplateSet.load(self.catalogue)

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

    def keep(self) -> None:
        """Write what later runs rely on: certificates that were issued and the chosen placement."""
        self.vault.save()
        chosen = {name: list(nodes) for name, nodes in sorted(self.placement.chosen.items())}
        path = self.folder / PLACEMENT_LOCK
        text = "# Kept by scs-deploy: where components were placed that not every node of a group carries.\n"
        text += yaml.safe_dump(chosen, sort_keys=True) if chosen else "{}\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            temporary = path.with_name(f".{path.name}.new")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)

    # -- secrets -----------------------------------------------------------------------------------------------------------

    def resolver(self, desired: Desired) -> Resolver:
        """Return the function that gives secret values, certificates included (``cert:<node>:<instance>``)."""
        vault = self.vault

        def value(name: str) -> str | Mapping[str, str]:
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
        known = {name: facts["facts"] for name in self.nodes if (facts := self._cached_facts(name))}
        locked = read_lock(self.folder).images
        images = {name: ImageChoice(one.id, one.reference, one.packages_digest) for name, one in locked.items()}
        keys = {name: tuple(value) for name in self.vault.names if isinstance(value := self.vault.get(name), Mapping)}
        desired = Renderer(self.topology, self.templates, images, keys, known).render()
        return seal(desired, self.resolver(desired))

    # -- observe -----------------------------------------------------------------------------------------------------------

    def observe(self, limit: Iterable[str] = (), progress: Progress | None = None) -> Observation:
        """Look at every node once.

        A node seen for the first time, and one whose facts have changed, is looked at a second time with what its facts make of
        it; ``rounds`` tells.
        """
        chosen = self._limited(limit)
        leaving = {name for name, node in chosen.items() if node.state == "absent"}
        strangers = {n: node for n, node in chosen.items() if n not in leaving and not self._cached_facts(n)}
        met, lost = self._ask(strangers, _nothing(), progress)
        self._learn(met)
        sealed = self.render()
        answers, unreachable = self._ask({n: node for n, node in chosen.items() if n not in lost}, sealed, progress)
        changed = self._learn(answers)
        if changed:
            sealed = self.render()
            again, gone = self._ask({name: chosen[name] for name in changed}, sealed, progress)
            answers = {name: answer for name, answer in {**answers, **again}.items() if name not in gone}
            unreachable |= gone
        unreachable |= lost
        return Observation(
            answers,
            {name: why for name, why in unreachable.items() if name not in leaving},
            sealed,
            1 + bool(strangers) + bool(changed),
            tuple(name for name in unreachable if name in leaving),
        )

    def _learn(self, answers: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Keep the facts that came back; return the nodes that sent some."""
        fresh = [name for name, answer in answers.items() if answer.get("facts")]
        for name in fresh:
            self._cache_facts(name, {"facts": answers[name]["facts"], "facts_digest": answers[name]["facts_digest"]})
        return fresh

    def _ask(
        self, nodes: Mapping[str, Node], sealed: Sealed, progress: Progress | None
    ) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
        questions = {
            name: payload.observe(name, node.engine, sealed, str(self._cached_facts(name).get("facts_digest", "")))
            for name, node in nodes.items()
            if node.state != "maintenance"
        }
        got = runner.run("observe.yml", self.connections, questions, progress)
        return dict(got.answers), {**got.unreachable, **got.failed}

    def _limited(self, limit: Iterable[str]) -> dict[str, Node]:
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
        found: Mapping[str, Any] = self._cached_facts(node).get("facts", {})
        return found

    def _cached_facts(self, node: str) -> Mapping[str, Any]:
        if node not in self._facts:
            self._facts[node] = self._read_facts(node)
        return self._facts[node]

    def _read_facts(self, node: str) -> dict[str, Any]:
        try:
            data = json.loads((self.state / "facts" / f"{node}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def _cache_facts(self, node: str, known: Mapping[str, Any]) -> None:
        self._facts[node] = known
        folder = self.state / "facts"
        folder.mkdir(exist_ok=True)
        (folder / f"{node}.json").write_text(json.dumps(known), encoding="utf-8")

    # -- plan --------------------------------------------------------------------------------------------------------------

    def plan(
        self, observation: Observation, limit: Iterable[str] = (), purge: bool = False, services: Iterable[str] = ()
    ) -> Plan:
        """Make the plan, of all services or of some; raises ``UsageError`` for unknown names."""
        chosen = tuple(self._limited(limit)) if tuple(limit) else ()
        named = tuple(services)
        unknown = [name for name in named if name not in self.catalogue.services]
        if unknown:
            raise UsageError(
                f"there is no service {', '.join(unknown)}", fix=f"known: {', '.join(self.catalogue.services)}"
            )
        inputs = diff.Inputs(
            self.region,
            observation.sealed,
            self.order,
            observation.observed,
            observation.unreachable,
            chosen,
            named,
            purge,
        )
        plan = diff.make_plan(inputs)
        gone = tuple(
            f"node {name} is absent and does not answer: what is left on it cannot be removed"
            for name in observation.gone
        )
        return replace(plan, notes=(*plan.notes, *gone))

    def destruction(self, progress: Progress | None = None) -> Observation:
        """Look at the nodes as if nothing were wanted on them: all that is managed there is then unexpected."""
        answers, unreachable = self._ask(self.nodes, _nothing(), progress)
        return Observation(answers, unreachable, _nothing(), 1)

    def node(self, name: str) -> Node:
        """Return a node by name; raises ``UsageError`` with the known names."""
        if name not in self.nodes:
            raise UsageError(f"there is no node {name}", fix=f"known nodes: {', '.join(self.nodes)}")
        return self.nodes[name]


def _nothing() -> Sealed:
    """Desired state of a region without anything: what a node then reports is all that is managed there, and its facts."""
    return seal(Desired({}, (), (), {}, {}, ()), lambda name: "")


def _pem(certificate: Certificate) -> Mapping[str, str]:
    return {
        "cert": certificate.cert_pem,
        "key": certificate.key_pem,
        "ca": certificate.ca_pem,
        "bundle": certificate.cert_pem + certificate.ca_pem + certificate.key_pem,
    }


def unreachable_error(unreachable: Mapping[str, str]) -> DeployError:
    """One error that names every node, or owner of resources, that could not tell its state."""
    lines = [
        f"{name}: {why.strip().splitlines()[0] if why.strip() else 'no answer'}"
        for name, why in sorted(unreachable.items())
    ]
    return DeployError(
        f"not everything could be observed: {', '.join(sorted(unreachable))}",
        why="; ".join(lines),
        fix="repair the node or its network, or set state: maintenance for it in region.yml",
    )
