"""Planning of the content of a cloud: what is wanted, what differs, what is left out."""

from __future__ import annotations

import ipaddress
from types import SimpleNamespace
from typing import Any

from regions import BASE, parse

from scs_deploy.cloud import setup
from scs_deploy.cloud.kinds import all_kinds
from scs_deploy.cloud.kinds.compute import Flavors
from scs_deploy.cloud.kinds.network import ExternalNetworks, ExternalSubnets, SecurityRules, SubnetPools, pool_v6
from scs_deploy.cloud.kinds.volume import VolumeTypes
from scs_deploy.cloud.plan import ContentInputs, ContentPlan, compare
from scs_deploy.cloud.spec import CloudSection, of_source
from scs_deploy.documents.source import parse_yaml
from scs_deploy.errors import DeployError

TYPES = frozenset({"identity", "compute", "network", "image", "block-storage", "key-manager"})


def world(cloud: str = "format: 1", types: frozenset[str] = TYPES, extensions: tuple[str, ...] = ()) -> ContentInputs:
    return ContentInputs(parse(BASE), of_source(parse_yaml(cloud, "cloud.yml")), types, frozenset(extensions))


def test_what_is_there_and_right_is_kept() -> None:
    kind = Flavors()
    wanted = kind.wanted(world())
    there = {item.name: {**item.attrs, "id": item.name} for item in wanted}
    assert {change.op for change in compare(kind, wanted, there)} == {"keep"}
    assert ContentPlan(tuple(compare(kind, wanted, there))).empty


def test_a_missing_flavor_is_created_a_wrong_spec_updated_wrong_numbers_made_anew() -> None:
    kind = Flavors()
    wanted = kind.wanted(world())
    there: dict[str, dict[str, Any]] = {item.name: {**item.attrs} for item in wanted}
    del there["SCS-1V-4"]
    there["SCS-2V-8"]["scs:cpu-type"] = "dedicated-core"
    there["SCS-4V-16"]["scs:disk0-type"] = "ssd"
    there["SCS-8V-32"]["ram"] = 1
    plan = ContentPlan(tuple(compare(kind, wanted, there)))
    assert {change.item.name: change.op for change in plan.changes if change.op != "keep"} == {
        "SCS-1V-4": "create",
        "SCS-2V-8": "update",
        "SCS-4V-16": "update",
        "SCS-8V-32": "replace",
    }
    assert str(plan.of("update")[1].differences[0]) == "scs:disk0-type: ssd, wanted nothing"
    assert plan.summary() == "1 to create, 3 to change, 11 as wanted"


def test_kinds_without_their_service_are_left_out_and_that_is_said() -> None:
    cloud = SimpleNamespace(
        endpoint=lambda kind: "https://x",
        api=SimpleNamespace(identity=_Identity()),
    )
    plan = setup.make_plan(world(types=frozenset({"identity"})), cloud, lambda text: None)  # type: ignore[arg-type]
    assert plan.left_out["volume types"] == "no block-storage service is deployed"
    assert plan.left_out["flavors"] == "no compute service is deployed"
    assert {change.kind for change in plan.changes} == {"role", "implied role"}
    assert [change.item.name for change in plan.of("create")] == ["manager", "manager implies member"]


class _Identity:
    """Roles as a keystone has them from which somebody deleted manager."""

    def roles(self) -> list[Any]:
        names = ("admin", "member", "reader", "service")
        return [SimpleNamespace(name=name, id=name, domain_id=None) for name in names]

    def get(self, path: str) -> Any:
        pairs = (("admin", "manager"), ("member", "reader"))
        found = [{"prior_role": {"name": prior}, "implies": [{"name": implied}]} for prior, implied in pairs]
        return SimpleNamespace(raise_for_status=lambda: None, json=lambda: {"role_inferences": found})


def test_the_external_network_follows_the_region() -> None:
    (network,) = ExternalNetworks().wanted(world())
    external = world().region.networks["external"]
    assert network.attrs == {
        "type": "flat",
        "physical_network": "physnet1",
        "external": True,
        "shared": False,
        "mtu": external.mtu,
    }
    (default,) = ExternalNetworks().wanted(world(extensions=("auto-allocated-topology",)))
    assert default.attrs["default"] is True
    subnet = ExternalSubnets().wanted(world())[0]
    assert subnet.attrs["cidr"] == str(external.cidr)
    assert subnet.attrs["gateway"] == str(external.gateway or "")
    assert subnet.attrs["ranges"] == [(str(one.start), str(one.end)) for one in external.ranges]


def test_an_external_network_of_another_type_is_a_persons_decision() -> None:
    kind = ExternalNetworks()
    wanted = kind.wanted(world())
    there = {wanted[0].name: {**wanted[0].attrs, "type": "vlan"}}
    assert [change.op for change in compare(kind, wanted, there)] == ["wrong"]


def test_default_pools_overlap_nothing_of_the_region_and_stay_the_same() -> None:
    first, second = SubnetPools().wanted(world())
    (v4,) = first.attrs["prefixes"]
    assert not any(ipaddress.ip_network(v4).overlaps(one.cidr) for one in world().region.networks.values() if one.cidr)
    assert second.attrs["prefixes"] == [pool_v6(world().region)]
    assert ipaddress.ip_network(pool_v6(world().region)).subnet_of(ipaddress.ip_network("fd00::/8"))
    assert SubnetPools().wanted(world("subnet_pools: {ipv4: [], ipv6: []}")) == []


def test_volume_types_say_what_they_are() -> None:
    items = {item.name: item for item in VolumeTypes().wanted(world())}
    assert set(items) == {"standard", "luks"}
    assert items["luks"].attrs["description"].startswith("[scs:encrypted")
    assert items["luks"].attrs["provider"] == "luks"
    assert {item.name for item in VolumeTypes().wanted(world(types=TYPES - {"key-manager"}))} == {"standard"}


def test_rules_of_new_security_groups_are_only_looked_at() -> None:
    def rule(direction: str, version: str, **more: Any) -> Any:
        given = {"protocol": None, "remote_ip_prefix": None, "port_range_min": None, "remote_group_id": None}
        given |= {"used_in_default_sg": True, "used_in_non_default_sg": True, **more}
        return SimpleNamespace(direction=direction, ether_type=version, **given)

    upstream = [rule("egress", version) for version in ("IPv4", "IPv6")]
    upstream += [
        rule("ingress", version, remote_group_id="PARENT", used_in_non_default_sg=False) for version in ("IPv4", "IPv6")
    ]
    kind = SecurityRules()
    wanted = kind.wanted(world())

    def ops(rules: list[Any]) -> list[str]:
        api = SimpleNamespace(network=SimpleNamespace(default_security_group_rules=lambda: rules))
        return [change.op for change in compare(kind, wanted, kind.current(api, wanted))]

    assert set(ops(upstream)) == {"keep"}
    assert ops([*upstream, rule("ingress", "IPv4", protocol="tcp")]).count("wrong") == 1
    assert ops(upstream[1:]).count("wrong") == 1


def test_one_failure_does_not_keep_the_others() -> None:
    made: list[str] = []

    class Api:
        def create_role(self, name: str) -> None:
            if name == "manager":
                raise DeployError("no")
            made.append(name)

    kind = all_kinds()[0]
    changes = compare(kind, kind.wanted(world()), {})
    cloud: Any = SimpleNamespace(endpoint=lambda name: "https://x", api=SimpleNamespace(identity=Api()))
    failures = setup.apply(ContentPlan(tuple(changes)), cloud, lambda change, error: None)
    assert [failure.change.item.name for failure in failures] == ["manager"]
    assert made == ["admin", "member", "reader", "service"]


def test_notes_say_what_no_api_can_tell() -> None:
    told = "\n".join(setup.notes(world()))
    assert "Ubuntu 24.04" in told
    assert "local_ssd" in told
    assert "local_ssd" not in "\n".join(setup.notes(world("local_ssd: true")))
    assert isinstance(world().spec, CloudSection)
