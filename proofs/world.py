"""A made-up region for tests of the core: loaded, placed, rendered and sealed without a node, and what its nodes would say."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Answer
from scs_deploy.catalogue.load import Catalogue, load_catalogue
from scs_deploy.operations.site import Site
from scs_deploy.plan.dependencies import Order
from scs_deploy.plan.make import Inputs, make_plan
from scs_deploy.plan.plan import Plan
from scs_deploy.region.load import parse_region
from scs_deploy.region.placement import Placement, place
from scs_deploy.region.region import Node, Region
from scs_deploy.render import ImageChoice, Renderer
from scs_deploy.render.desired import Desired, Instance
from scs_deploy.render.digests import Sealed, seal
from scs_deploy.render.templates import TemplateSet
from scs_deploy.secrets.generate import MAPPINGS

FIXTURES = Path(__file__).parent / "fixtures/world"
ROLES = FIXTURES / "roles"
BASE = (FIXTURES / "region.yml").read_text()
SECRETS = {
    "store-root": "S3CRET-root",
    "app-database": "S3CRET-database",
    "app-admin": "S3CRET-admin",
    "app-keys": {"0": "S3CRET-key0", "1": "S3CRET-key1"},
}
CERTIFICATE = {"ca": "CA", "cert": "CERT", "key": "S3CRET-tls", "bundle": "S3CRET-bundle"}


@cache
def catalogue(*roles: Path) -> Catalogue:
    return load_catalogue(roles or (ROLES,))


def facts(address: str, memory: int = 4096) -> dict:
    """Facts of a node with one NIC per network."""
    last = address.rpartition(".")[2]
    nic = {"mac": "", "mtu": 1500, "kind": "", "vlan": None, "parent": "", "speed": -1}
    return {
        "os": {"id": "debian", "version": "13", "codename": "trixie"},
        "kernel": "6.12.0",
        "architecture": "x86_64",
        "hostname": f"host-{last}",
        "python": "3.13.5",
        "memory_mib": memory,
        "cpu": {"model": "made up", "count": 4, "threads_per_core": 1, "flags": []},
        "cgroup": {"mode": "v2", "controllers": ["cpu", "memory", "pids"]},
        "disks": [],
        "interfaces": [
            {**nic, "name": "eth0", "addresses": [f"10.60.1.{last}/24"]},
            {**nic, "name": "eth1", "addresses": [f"10.60.2.{last}/24"]},
        ],
        "resolvers": [],
        "engines": {},
        "kernel_features": dict.fromkeys(FEATURES, True),
        "ntp": {},
        "virtualization": "none",
        "limits": {"nofile": 1 << 20, "nproc": 1 << 20},
        "clock_settable": True,
    }


FEATURES = ("openvswitch", "geneve", "vxlan", "bonding", "vlan", "rbd", "nbd", "dm", "vhost", "kvm", "tun")


def known_facts(node: Node) -> dict[str, Any]:
    """Facts as the node side gathers them."""
    return facts(str(node.addresses["api"].v4), 256 * 1024) | {
        "disks": [
            {
                "name": Path(disk.path).name,
                "path": disk.path,
                "serial": disk.serial or "",
                "size": 4 * 10**12,
                "model": "",
                "rotational": False,
                "in_use": disk.use == "system",
            }
            for disk in node.disks
        ],
        "os": {"id": "debian", "version": "13", "codename": "trixie"},
        "clock_settable": True,
        "cpu": {"model": "", "count": 128, "threads_per_core": 2, "flags": ["aes", "avx2", "svm"]},
        "limits": {"nofile": 524288, "nproc": 1029000},
        "engines": {"podman": "5.4.2"},
        "kernel_features": dict.fromkeys(FEATURES, True),
        "virtualization": "none",
    }


@dataclass
class World:
    """Change the text, secrets or images before anything is asked of it."""

    text: str = BASE
    secrets: dict = field(default_factory=lambda: copy.deepcopy(SECRETS))
    unbuilt: tuple[str, ...] = ()
    image: str = "id"
    packages: str = "packages-1"
    versions: dict = field(default_factory=lambda: {"mariadb-server": "1:11.8.3-1"})
    lock: dict = field(default_factory=lambda: {"store": ["n1", "n2", "n3"], "app-worker": ["n1"]})
    roles: tuple[Path, ...] = (ROLES,)
    without_facts: tuple[str, ...] = ()
    facts_of: dict = field(default_factory=dict)
    standings: dict = field(default_factory=dict)

    @classmethod
    def changed(cls, *changes: tuple[str, str], **fields) -> World:
        text = BASE
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new, 1)
        return cls(text=text, **fields)

    @cached_property
    def catalogue(self) -> Catalogue:
        return catalogue(*self.roles)

    @cached_property
    def region(self) -> Region:
        return parse_region(self.text, Path("/region"), self.catalogue)

    @cached_property
    def placement(self) -> Placement:
        return place(self.region, self.catalogue, self.lock)

    @cached_property
    def site(self) -> Site:
        return Site.of(self.region, self.catalogue, self.placement, TemplateSet.load(self.catalogue))

    @property
    def order(self) -> Order:
        return self.site.order

    @cached_property
    def facts(self) -> dict[str, dict]:
        return {
            node.name: self.facts_of.get(node.name) or facts(str(node.addresses["api"].v4))
            for node in self.region.nodes
            if node.state != "absent" and node.name not in self.without_facts
        }

    @cached_property
    def desired(self) -> Desired:
        names = [name for service in self.catalogue.services.values() for name in service.images]
        images = {
            name: ImageChoice(f"{self.image}-{name}", f"localhost/scs-deploy/{name}:1", self.packages, self.versions)
            for name in names
            if name not in self.unbuilt
        }
        keys = {name: tuple(value) for name, value in self.secrets.items() if isinstance(value, dict)}
        return Renderer(self.site.topology, self.site.templates, images, keys, self.facts, self.standings).render()

    @cached_property
    def sealed(self) -> Sealed:
        return seal(self.desired, self.resolve)

    def resolve(self, name: str):
        return CERTIFICATE if name.startswith("cert:") else self.secrets[name]

    def instance(self, id_: str) -> Instance:
        return next(one for group in self.desired.instances.values() for one in group if one.id == id_)

    def file(self, id_: str, path: str):
        return next(file for file in self.instance(id_).files if file.path.endswith(path))

    def observed(self) -> dict[str, dict]:
        """Answers of all nodes, everything as wanted."""
        return {node: matching(node, self.sealed) for node in self.desired.instances}

    def plan(self, observed: dict | None = None, **fields) -> Plan:
        fields.setdefault("unreachable", {})
        return make_plan(
            Inputs(
                self.region,
                self.sealed,
                self.order,
                answers(self.observed() if observed is None else observed),
                **fields,
            )
        )


def answers(observed: Mapping[str, dict | Answer]) -> dict[str, Answer]:
    """What the controller reads from answers, which tests have as JSON data."""
    return {node: one if isinstance(one, Answer) else wire.load(Answer, one) for node, one in observed.items()}


def matching(node: str, sealed: Sealed) -> dict:
    """The answer of a node on which everything is as wanted."""
    desired = sealed.desired
    items: dict[str, dict] = {}
    for name, owner in desired.owners.items():
        if owner.node == node:
            items[name] = {"state": "ok", "why": "", "items": {kind: [] for kind in owner.kinds}}
    for item in desired.items:
        if item.owner in items:
            entry = {"name": item.name, "attrs": dict(item.attrs), "secret": sealed.items[item.id]}
            items[item.owner]["items"][item.kind].append(entry)
    return said(
        instances={one.name: _running(one, sealed) for one in desired.on(node)},
        jobs={job.name: {"state": "done", "digest": sealed.jobs[job.id]} for job in desired.jobs if job.node == node},
        owners=items,
        images=sorted({one.image for one in desired.on(node) if one.kind == "container"}),
    )


def said(**more) -> dict:
    """The answer of a node of which nothing is known, with ``more``."""
    return {
        "facts": None,
        "facts_digest": "f",
        "live": {"time": 1000.0, "boot_id": "b", "free_bytes": {}, "listening": []},
        "lock": None,
        "engine": {"state": "ok", "why": ""},
        "instances": {},
        "unexpected": {"instances": {}, "files": [], "containers": []},
        "jobs": {},
        "owners": {},
        "images": [],
    } | more


def _running(instance: Instance, sealed: Sealed) -> dict:
    files_only = instance.kind == "host" and instance.files_only
    running = {
        "id": "i", "image": instance.image if instance.kind == "container" else "", "start": sealed.start[instance.id], "reload": sealed.reload[instance.id],
        "since": 1000.0, "restarts": 0,
    }  # fmt: skip
    return {
        "files": {},
        "dirs": {},
        "unit": {"active": "active", "enabled": "generated"} if instance.unit else {"active": "", "enabled": "absent"},
        "running": None if files_only else running,
        "healthy": True,
        "why": "",
        "packages": {"missing": []},
        "devices": {"missing": []},
        "recorded": True,
        "extra": [],
    }


def nothing(node: str, sealed: Sealed) -> dict:
    """The answer of a node on which nothing was ever deployed."""
    answer = matching(node, sealed)
    for one in sealed.desired.on(node):
        answer["instances"][one.name] |= {
            "files": {file.path: {"state": "absent"} for file in one.files},
            "dirs": {folder.path: {"state": "absent"} for folder in (one.folders if one.kind == "container" else ())},
            "unit": {"active": "inactive" if one.unit else "", "enabled": "absent"},
            "running": None,
            "healthy": None,
            "packages": {"missing": list(one.packages) if one.kind == "host" else []},
            "recorded": False,
        }
    owners = {name: {"state": "unknown", "why": "never deployed", "items": {}} for name in answer["owners"]}
    jobs = {name: {"state": "never", "digest": ""} for name in answer["jobs"]}
    return answer | {"jobs": jobs, "owners": owners, "images": [], "engine": {"state": "missing", "why": "podman"}}


def real(*changes: tuple[str, str], **fields) -> World:
    """The whole cloud that the repository's roles make of inventories/box."""
    root = Path(__file__).parents[1]
    text = (root / "inventories/box/region.yml").read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    made = World(text=text, roles=(root / "roles",), lock={}, **fields)
    made.facts_of = {node.name: known_facts(node) for node in made.region.nodes}
    specs = {name: one for service in made.catalogue.services.values() for name, one in service.secrets.items()}
    made.secrets.update({name: {"0": "k"} for name, one in specs.items() if one.type in MAPPINGS})
    return made
