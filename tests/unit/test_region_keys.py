"""No key of region.yml is accepted that does nothing: each is changed in a region that uses all of them, and something must come of it.

A new key fails here until CHANGES says how to change it so that nodes get something else, are reached otherwise, or are judged otherwise
by preflight; or JUDGED says why it is enough that ``validate`` judges it. The same for settings of services, which a file of their
role must read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import real
import yaml

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Live
from scs_deploy.cloud.kinds.network import ExternalSubnets
from scs_deploy.documents.fields import NETWORK_NAMES, Section
from scs_deploy.errors import InputError
from scs_deploy.nodes.connection import Connection
from scs_deploy.preflight import Subject, between, evaluate
from scs_deploy.region.network import NetworkSection
from scs_deploy.region.placement import place
from scs_deploy.region.region import Region

Data = dict[str, Any]
Change = Callable[[Data], object]


@cache
def _base() -> Data:
    """Box on three nodes, in a rack each, with all networks in both families."""
    data = real.data("box")
    data["dns"] = ["192.0.2.53"]
    for number, role in enumerate(NETWORK_NAMES, 1):
        network = data["networks"].setdefault(role, {"cidr": f"10.77.{number}.0/24"})
        network |= {"cidr": f"10.77.{number}.0/24", "cidr6": f"fd00:77:{number}::/64"}
        network |= {"vip": f"10.77.{number}.10", "vip6": f"fd00:77:{number}::10"}
        network |= {"gateway": f"10.77.{number}.1", "gateway6": f"fd00:77:{number}::1", "ranges": []}
    data["networks"]["external"]["ranges"] = ["10.77.6.100-10.77.6.120"]
    data["nics"] = {"eth-external": {"networks": ["external"], "speed": 25000}}
    data["racks"] = [
        {
            "name": f"r{last}",
            "feeds": ["left", "right"],
            "nodes": [
                {
                    "name": f"n{last}",
                    "groups": ["control", "network", "compute", "storage"],
                    "disks": [{"path": "/dev/sda", "serial": f"S{last}", "use": "osd", "size_gb": 8}],
                    "addresses": {
                        role: [f"10.77.{number}.1{last}", f"fd00:77:{number}::1{last}"]
                        for number, role in enumerate(NETWORK_NAMES, 1)
                    },
                }
            ],
        }
        for last in (1, 2, 3)
    ]
    return data


def base() -> Data:
    return deepcopy(_base())


def put(*path: str | int, to: Any) -> Change:
    """Set a value; keys on the way are made."""

    def change(data: Any) -> None:
        *way, last = path
        for step in way:
            data = data.setdefault(step, {}) if isinstance(data, dict) else data[step]
        data[last] = to

    return change


def at_node(*path: str | int, to: Any) -> Change:
    return put("racks", 0, "nodes", 0, *path, to=to)


def without_network(role: str) -> Change:
    def change(data: Data) -> None:
        del data["networks"][role]
        for rack in data["racks"]:
            for node in rack["nodes"]:
                del node["addresses"][role]
        if role == "external":
            del data["nics"]

    return change


def disk(**said: Any) -> Change:
    return at_node("disks", to=[{"path": "/dev/sda", "serial": "S1", "use": "osd", "size_gb": 8} | said])


def keystone(**said: Any) -> Change:
    return put("services", "keystone", "config", "/etc/keystone/keystone.conf", to=said)


CHANGES: dict[str, Change] = {
    "RegionSection.name": put("name", to="other"),
    "RegionSection.domain": put("domain", to="other.test"),
    "RegionSection.failure_domain": put("failure_domain", to="node"),
    "RegionSection.patience": put("patience", to=3.0),
    "RegionSection.guest_mtu": put("guest_mtu", to=1400),
    "RegionSection.networks": put("networks", "api", "vip", to="10.77.1.9"),
    "RegionSection.services": put("services", "keystone", "settings", "token_minutes", to=30),
    "RegionSection.racks": put("racks", 0, "name", to="other"),
    "Inheritable.ssh": put("ssh", "user", to="deploy"),
    "Inheritable.dns": put("dns", to=["192.0.2.54"]),
    "Inheritable.ntp": put("ntp", to=["192.0.2.123"]),
    "Inheritable.proxy": put("proxy", "http", to="http://proxy.example.org:3128"),
    "Inheritable.mirror": put("mirror", to="http://mirror.example.org/debian"),
    "Inheritable.timezone": put("timezone", to="Europe/Berlin"),
    "Inheritable.engine": put("engine", to="docker"),
    "Inheritable.nics": put("nics", to={"eth9": {}}),
    "Inheritable.disks": at_node("disks", to=[]),
    "Inheritable.hardware": put("hardware", "cores", to=1000),
    "TunedInheritable.services": at_node("services", "keystone", "settings", "token_minutes", to=30),
    "Ssh.user": put("ssh", "user", to="deploy"),
    "Ssh.key": put("ssh", "key", to="/keys/id"),
    "Ssh.port": put("ssh", "port", to=2222),
    "Ssh.jump": put("ssh", "jump", to="jump.example.org"),
    "Ssh.become": put("ssh", "become", to=True),
    "Ssh.host_keys": put("ssh", "host_keys", to="/keys/hosts"),
    "Proxy.http": put("proxy", "http", to="http://proxy.example.org:3128"),
    "Proxy.https": put("proxy", "https", to="http://proxy.example.org:3128"),
    "Proxy.no_proxy": put("proxy", to={"http": "http://proxy.example.org:3128", "no_proxy": ["mirror.example.org"]}),
    "Networks.api": put("networks", "api", "vip", to="10.77.1.9"),
    **{f"Networks.{role}": without_network(role) for role in NETWORK_NAMES[1:]},
    "RackSection.name": put("racks", 0, "name", to="other"),
    "RackSection.fire_zone": put("racks", 0, "fire_zone", to="A"),
    "RackSection.nodes": put("racks", 0, "nodes", 0, "name", to="other"),
    "NodeSection.name": at_node("name", to="other"),
    "NodeSection.groups": at_node("groups", to=["control", "network", "storage"]),
    "NodeSection.addresses": at_node("addresses", "api", to="10.77.1.99"),
    "NodeSection.state": at_node("state", to="absent"),
    "Nic.networks": put("nics", to={"eth-external": {}}),
    "Nic.mac": put("nics", to={"eth-external": {"mac": "52:54:00:12:34:56"}}),
    "Nic.mtu": put("nics", "eth-external", "mtu", to=1500),
    "Nic.speed": put("nics", "eth-external", "speed", to=10000),
    "Nic.members": put("nics", "eth-external", "members", to=["eno1"]),
    "Disk.path": disk(path="/dev/sdz"),
    "Disk.serial": disk(serial="S9"),
    "Disk.use": disk(use="spare"),
    "Disk.size_gb": disk(size_gb=4000),
    "Disk.media": disk(media="hdd"),
    "Hardware.cpu": put("hardware", "cpu", to="Xeon"),
    "Hardware.cores": put("hardware", "cores", to=1000),
    "Hardware.smt": put("hardware", "smt", to=False),
    "Hardware.memory_gb": put("hardware", "memory_gb", to=4000),
    "Hardware.ecc": put("hardware", "ecc", to=True),
    "Hardware.local_ssd": put("hardware", "local_ssd", to=False),
    "ServiceTuning.settings": put("services", "keystone", "settings", "token_minutes", to=30),
    "ServiceTuning.config": keystone(options={"token": {"provider": "jws"}}),
    "ServiceSection.enabled": put("services", "horizon", "enabled", to=False),
    "Override.options": keystone(options={"token": {"provider": "jws"}}),
    "Override.append": keystone(append="# more\n"),
    "Override.replace": keystone(replace="[token]\n"),
    "Override.merge": put("services", "glance", "config", "/etc/glance/policy.yaml", to={"merge": {"a": "b"}}),
    **{f"NetworkSection.cidr of {role}": put("networks", role, "cidr", to=f"10.77.{number}.0/25") for number, role in enumerate(NETWORK_NAMES, 1)},
    **{f"NetworkSection.cidr6 of {role}": put("networks", role, "cidr6", to=f"fd00:77:{number}::/72") for number, role in enumerate(NETWORK_NAMES, 1)},
    **{f"NetworkSection.mtu of {role}": put("networks", role, "mtu", to=9200) for role in NETWORK_NAMES},
    **{f"NetworkSection.vlan of {role}": put("networks", role, "vlan", to=105) for role in NETWORK_NAMES},
    **{f"NetworkSection.vip of {role}": put("networks", role, "vip", to=f"10.77.{number}.9") for number, role in enumerate(NETWORK_NAMES, 1)},
    **{f"NetworkSection.vip6 of {role}": put("networks", role, "vip6", to=f"fd00:77:{number}::9") for number, role in enumerate(NETWORK_NAMES, 1)},
    **{f"NetworkSection.gateway of {role}": put("networks", role, "gateway", to=f"10.77.{number}.2") for number, role in enumerate(NETWORK_NAMES, 1)},
    **{f"NetworkSection.gateway6 of {role}": put("networks", role, "gateway6", to=f"fd00:77:{number}::2") for number, role in enumerate(NETWORK_NAMES, 1)},
    "NetworkSection.ranges of external": put("networks", "external", "ranges", to=["10.77.6.100-10.77.6.110"]),
}  # fmt: skip

JUDGED: dict[str, tuple[str, Change]] = {
    "RegionSection.format": ("says which version of the format this is", put("format", to=2)),
    "RegionSection.release": ("there is one release so far", put("release", to="2031.1")),
    "RackSection.units": ("nodes must fit into the rack", put("racks", 0, to=base()["racks"][0] | {"units": 1, "nodes": [base()["racks"][0]["nodes"][0] | {"unit": 2}]})),
    "NodeSection.unit": ("nodes must fit into the rack", at_node("unit", to=43)),
    "NodeSection.height": ("nodes must fit into the rack", lambda data: data["racks"][0]["nodes"][0].update(unit=1, height=50)),
    "RackSection.feeds": ("a quorum must not hang on one power feed", lambda data: [rack.update(feeds=["left"]) for rack in data["racks"]]),
    "NodeSection.feeds": ("a quorum must not hang on one power feed", lambda data: [rack["nodes"][0].update(feeds=["left"]) for rack in data["racks"]]),
    **{
        f"NetworkSection.ranges of {role}": ("what something else hands out must not be an address of ours", put("networks", role, "ranges", to=[f"10.77.{number}.5-10.77.{number}.50"]))
        for number, role in enumerate(NETWORK_NAMES, 1)
        if role != "external"
    },
}  # fmt: skip
"""Keys that change nothing on nodes, with what they are for and a change that ``validate`` tells of."""


ELSEWHERE = {
    **dict.fromkeys(("RegionSection.public_tls", "PublicTlsSection.certificate", "PublicTlsSection.ca"), "tests/unit/test_public_tls.py"),
}  # fmt: skip
"""Keys whose effect takes files beside region.yml, and the tests that show it."""

READ_BY_PROGRAM = {("keystone", "region_id")}
"""Settings that templates see under a name of their own, since they hold for the whole region."""


def keys() -> Iterator[str]:
    """Every key of the models, where it is declared; those of a network once per network."""
    sections = [Section]
    for section in sections:
        sections += [one for one in section.__subclasses__() if one.__module__.startswith("scs_deploy.region.")]
        inherited = {name for base in section.__mro__[1:] for name in getattr(base, "model_fields", {})}
        for name in section.model_fields.keys() - inherited:
            if section is NetworkSection:
                yield from (f"NetworkSection.{name} of {role}" for role in NETWORK_NAMES)
            else:
                yield f"{section.__name__}.{name}"


def test_each_key_is_known_here():
    known = {*CHANGES, *JUDGED, *ELSEWHERE}
    assert set(keys()) == known, "say in CHANGES how to change it so that something comes of it"
    assert not CHANGES.keys() & JUDGED.keys()


@cache
def facts() -> dict[str, dict[str, Any]]:
    region = real.region(base())
    return {node.name: real.facts(node, region.networks) for node in region.nodes}


def effects(region: Region) -> Iterator[object]:
    """What a region comes to, the cheapest first; on nodes that stay as they are."""
    yield {node.name: (Connection.for_node(node, Path("/region")).argv(["true"]), node.state) for node in region.nodes}
    live = Live(0.0, "", {"/": 2**40}, [])
    for name, known in facts().items():
        for node in region.nodes:
            yield node.name == name and evaluate(Subject(node, region.networks, known, live))  # type: ignore[arg-type]
    yield between.probes(region)
    world: Any = SimpleNamespace(region=region, spec=SimpleNamespace(external=SimpleNamespace(name="ext")))
    yield ExternalSubnets().wanted(world)
    yield [region.domain_of(node) for node in region.nodes]
    yield place(region, real.catalogue(), {})
    yield real.render(region, {"n1": facts()["n1"]})


@cache
def of_base() -> list[object]:
    return list(effects(real.region(base())))


@pytest.mark.parametrize("key", CHANGES)
def test_something_comes_of_a_key(key):
    changed = base()
    CHANGES[key](changed)
    region = real.region(changed)
    assert any(now != before for now, before in zip(effects(region), of_base(), strict=True)), f"{key} has no effect"


@pytest.mark.parametrize("key", JUDGED)
def test_a_key_without_effect_on_nodes_is_judged(key):
    before = real.region(base()).warnings
    changed = base()
    JUDGED[key][1](changed)
    try:
        told = real.region(changed).warnings
    except InputError as error:
        told = error.findings
    assert {one.what for one in told} - {one.what for one in before}


def settings(schema: Data, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Names of settings, and of what is inside them."""
    for name, one in schema.items():
        yield (*prefix, name)
        for inner in (one, one.get("items"), one.get("additionalProperties")):
            if isinstance(inner, dict):
                yield from settings(inner.get("properties", {}), (*prefix, name))


def unread(service: str, path: tuple[str, ...], texts: dict[str, str]) -> bool:
    """Whether no file of the role, nor of another one that names it, reads a setting."""
    name = re.escape(path[-1])
    own = "\n".join(text for file, text in texts.items() if file.startswith(f"{service}/"))
    if len(path) > 1:
        return not re.search(rf"\.{name}\b|['\"]{name}['\"]", own)
    read = rf"settings(\.{name}\b|\[['\"]{name}['\"]\])"
    return not (
        re.search(rf"\b{read}", own)
        or re.search(rf"services(\.{service}|\[['\"]{service}['\"]\])\.{read}", "\n".join(texts.values()))
    )


@cache
def texts() -> dict[str, str]:
    """Files of roles, and with each service what it takes from others: their templates and what these are given."""
    roles = real.ROOT / "roles"
    files = [path for path in sorted(roles.rglob("*")) if path.is_file() and path.suffix not in (".md", ".pyc")]
    found = {str(path.relative_to(roles)): path.read_text() for path in files}
    for name, service in real.catalogue().services.items():
        for spec in (spec for one in service.components.values() for spec in one.files if spec.template in found):
            found[f"{name}/{spec.target}"] = f"{spec.values}\n{found[spec.template]}"
    return found


def test_each_setting_of_a_service_is_read():
    found = {
        (name, *path)
        for name, service in real.catalogue().services.items()
        for path in settings(service.settings)
        if unread(name, path, texts())
    }
    assert found == READ_BY_PROGRAM


def test_a_setting_that_nothing_reads_is_found():
    role = {"made/templates/x.j2": "{{ settings.used }} {{ region.services['made'].settings.other_name }}"}
    assert not unread("made", ("used",), role)
    assert unread("made", ("use",), role)
    assert unread("made", ("unused",), role)


@pytest.mark.parametrize("role", [role for role in NETWORK_NAMES if role != "external"])
def test_somebody_listens_on_each_network(role):
    """That a node has a name and an address there is not yet a use; external is what bridges carry."""
    ports = [
        port for one in real.catalogue().services.values() for part in one.components.values() for port in part.ports
    ]
    assert any(role == port.network or (port.frontend and role in port.frontend.networks) for port in ports)


def test_the_example_of_the_reference_is_valid():
    (example,) = re.findall(r"```yaml\n(.*?)```", (real.ROOT / "docs/region.md").read_text(), re.DOTALL)
    real.region(base() | yaml.safe_load(example))


def test_an_only_rack_with_a_mistake_is_not_called_missing():
    said = real.data("box")
    said["racks"][0]["nodes"][0]["hight"] = 2
    with pytest.raises(InputError) as raised:
        real.region(said)
    assert [one.path for one in raised.value.findings] == ["racks[0].nodes[0].hight"]
