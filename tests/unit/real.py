"""Regions with the roles of this repository, as far as one gets without a node: what region.yml comes to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from scs_deploy.catalogue.load import Catalogue, load_catalogue
from scs_deploy.region.load import parse_region
from scs_deploy.region.placement import place
from scs_deploy.region.region import Node, Region
from scs_deploy.render import ImageChoice, Renderer
from scs_deploy.render.context import Topology
from scs_deploy.render.desired import Desired
from scs_deploy.render.templates import TemplateSet

ROOT = Path(__file__).parents[2]
GIB = 1024**3
FEATURES = ("openvswitch", "geneve", "vxlan", "bonding", "vlan", "rbd", "nbd", "dm", "vhost", "kvm", "tun")


@cache
def catalogue() -> Catalogue:
    return load_catalogue([ROOT / "roles"])


def data(name: str) -> dict[str, Any]:
    """The region file of an inventory, to be changed."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "inventories" / name / "region.yml").read_text())
    return found


def only(said: dict[str, Any], *services: str) -> dict[str, Any]:
    """The same with these services alone, as it is sooner done."""
    told = said.get("services", {})
    return said | {
        "services": {name: told.get(name, {}) | {"enabled": name in services} for name in catalogue().services}
    }


def region(said: Mapping[str, Any]) -> Region:
    return parse_region(yaml.safe_dump(dict(said), sort_keys=False), Path("/region"), catalogue())


def facts(node: Node, networks: Mapping[str, Any], nic_of: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Facts of a node that has what region.yml says of it; ``nic_of`` names the NIC of a network, else each has its own."""
    nics: dict[str, list[str]] = {}
    for name, addresses in node.addresses.items():
        found = nics.setdefault((nic_of or {}).get(name, f"eth-{name}"), [])
        found += [
            f"{one}/{(networks[name].cidr if one.version == 4 else networks[name].cidr6).prefixlen}"
            for one in addresses
        ]
    disks = [
        {
            "name": (disk.path or f"/dev/sd{number}").removeprefix("/dev/"), "path": disk.path or f"/dev/sd{number}", "serial": disk.serial or "", "model": "m",
            "size": 8 * GIB, "rotational": False, "in_use": disk.use == "system",
        }
        for number, disk in enumerate(node.disks)
    ]  # fmt: skip
    return {
        "os": {"id": "debian", "version": "13", "codename": "trixie"},
        "kernel": "6.12.0",
        "architecture": "x86_64",
        "hostname": node.name,
        "python": "3.13.5",
        "cpu": {"model": "AMD EPYC", "count": 4, "threads_per_core": 2, "flags": ["aes", "sse4_2", "svm"]},
        "memory_mib": 64 * 1024,
        "disks": disks,
        "interfaces": [
            {
                "name": name,
                "mac": "",
                "mtu": 9000,
                "kind": "",
                "vlan": None,
                "parent": "",
                "speed": 25000,
                "addresses": found,
            }
            for name, found in nics.items()
        ],
        "resolvers": ["192.0.2.53"],
        "cgroup": {"mode": "v2", "controllers": ["cpu", "memory", "pids"]},
        "engines": {"podman": "5.4.2+ds1-2", "docker.io": "26.1.5"},
        "kernel_features": dict.fromkeys(FEATURES, True),
        "ntp": {"chrony": "active"},
        "virtualization": "none",
        "limits": {"nofile": 524288, "nproc": 1029000},
        "clock_settable": True,
    }


def desired(model: Region, nic_of: Mapping[str, str] | None = None, **changed: Any) -> Desired:
    """All that a region comes to; ``changed`` are other facts of all its nodes."""
    return render(model, {node.name: facts(node, model.networks, nic_of) | changed for node in model.nodes})


def render(model: Region, known: Mapping[str, Mapping[str, Any]]) -> Desired:
    """All that those nodes come to whose facts are known."""
    topology = Topology(model, catalogue(), place(model, catalogue(), {}))
    names = [name for service in catalogue().services.values() for name in service.images]
    images = {name: ImageChoice(f"id-{name}", f"localhost/{name}:1", "packages") for name in names}
    keys = {
        name: ("0", "1")
        for service in catalogue().services.values()
        for name, spec in service.secrets.items()
        if "fernet" in str(spec.type) or name.endswith("-keys")
    }
    return Renderer(topology, TemplateSet.load(catalogue()), images, keys, known, {}).render()


def text(desired: Desired, path: str, component: str = "", node: str = "n1") -> str:
    """The one text that files whose path ends so have on a node, in all its components or in one."""
    instances = [one for one in desired.on(node) if component in ("", one.component)]
    (found,) = {file.text for one in instances for file in one.files if file.path.endswith(path)}
    return found
