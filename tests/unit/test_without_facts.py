"""What the program does not know of a node (no facts: never reached, left out by --limit, in maintenance) takes nothing away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proofs.world import ROLES, World, nothing
from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.errors import InputError
from scs_deploy.nodes.messages import observe
from scs_deploy.plan.plan import Plan
from scs_deploy.region.load import parse_region
from scs_deploy.region.placement import place
from scs_deploy.render import Given
from scs_deploy.render.context import Topology
from scs_deploy.render.desired import DesiredItem
from scs_deploy.render.resources import items_of, owners_of
from scs_deploy.render.templates import TemplateSet

ROOT = Path(__file__).parents[2]

LEAF = """\
format: 1
name: leaf
summary: Runs on n4 alone, and wants a database of a store that runs elsewhere
needs: [store]
components:
  leaf: {kind: host, group: leaf}
resources:
  - {kind: store.database, name: leaf, keep: true}
  - {kind: store.user, name: leaf, attrs: {databases: [leaf]}}
"""
STRAY = {"name": "stray", "attrs": {}, "secret": ""}


def world(tmp_path: Path, leaf: str = LEAF, **fields) -> World:
    (tmp_path / "leaf").mkdir(exist_ok=True)
    (tmp_path / "leaf/service.yml").write_text(leaf)
    return World.changed(("{name: n4, groups: []", "{name: n4, groups: [leaf]"), roles=(ROLES, tmp_path), **fields)


def deleted(plan: Plan) -> list[str]:
    return [f"{one.kind} {one.name}" for step in plan.steps for one in step.operations if one.op == "delete"]


@pytest.mark.parametrize("purge", [False, True])
def test_what_a_service_wants_is_known_without_facts_of_its_nodes(tmp_path, purge: bool):
    known = world(tmp_path)
    fresh_controller = world(tmp_path, without_facts=("n4",))
    observed = {"n1": known.observed()["n1"]}
    plan = fresh_controller.plan(observed, limit=("n1", "n2", "n3"), purge=purge)
    assert plan.empty, plan.summary()


@pytest.mark.parametrize("without", [(), ("n4",)])
def test_what_nobody_declares_is_deleted_as_before(tmp_path, without: tuple[str, ...]):
    some = world(tmp_path, without_facts=without)
    observed = some.observed()
    for items in observed["n1"]["owners"]["store"]["items"].values():
        items.append(STRAY)
    assert deleted(some.plan(observed)) == ["user stray"]
    assert deleted(some.plan(observed, purge=True)) == ["database stray", "user stray"]


def test_the_home_is_asked_for_the_same_whatever_is_known(tmp_path):
    """The file of wanted items has one content, so that --limit makes no difference that the next run undoes."""
    for without in (("n4",), ("n2", "n3", "n4")):
        known, less = world(tmp_path), world(tmp_path, without_facts=without)
        assert less.desired.items == known.desired.items
        assert observe("n1", "podman", less.sealed, "") == observe("n1", "podman", known.sealed, "")


def test_the_first_instance_says_what_a_service_wants_even_where_its_node_is_not_known(tmp_path):
    """Settings may differ by node: another node's would make items come and go with the nodes that are known."""
    names = "settings: {names: {type: array, default: [], description: Databases}}\n"
    leaf = LEAF.replace("group: leaf", "group: all").replace("components:", f"{names}components:")
    leaf = leaf.replace("name: leaf, keep", "name: '{{ item }}', each: settings.names, keep")
    for without in ((), ("n1",)):
        some = world(tmp_path, leaf, without_facts=without, lock={"store": ["n2", "n3", "n1"]})
        some.text = some.text.replace("{name: n1,", "{name: n1, services: {leaf: {settings: {names: [x]}}},")
        assert "leaf.x" in [f"{item.service}.{item.name}" for item in some.desired.items]


@pytest.mark.parametrize(
    "use", ["name: '{{ facts.memory_mib }}'", "name: '{{ item.name }}', each: vips", "name: x, each: facts.disks"]
)
def test_a_resource_sees_no_facts(tmp_path, use: str):
    some = world(tmp_path, LEAF.replace("name: leaf, keep", f"{use}, keep"))
    with pytest.raises(InputError, match="belongs to the region") as error:
        _ = some.desired
    assert error.value.findings[0].file == "roles/leaf/service.yml"


def test_nothing_is_removed_from_a_node_of_which_it_is_not_known_what_belongs_there():
    known, some = World(), World(without_facts=("n4",))
    seen = known.observed()["n4"]
    mine = {name: {"unit": "", "kind": "host", "files": [], "data": []} for name in seen["instances"]}
    answer = {**seen, "instances": {}, "unexpected": {"instances": mine, "files": [], "containers": []}}
    plan = some.plan(some.observed() | {"n4": answer}, purge=True)
    assert plan.empty
    assert list(plan.unknown) == ["n4"]


def test_the_real_roles_want_the_same_while_no_compute_node_is_known():
    roles = load_catalogue([ROOT / "roles"])
    folder = ROOT / "inventories/half-rack"
    region = parse_region((folder / "region.yml").read_text(), folder, roles)
    topology = Topology(region, roles, place(region, roles, {}))
    control = [node.name for node in region.nodes if "control" in node.groups]

    def items(nodes: list[str]) -> tuple[DesiredItem, ...]:
        given = Given(topology, TemplateSet.load(roles), {}, {}, {name: {} for name in nodes})
        return items_of(given, owners_of(given))

    found = items(control)
    assert found == items([node.name for node in region.nodes])
    wanted = {f"{item.service}: {item.id}" for item in found}
    assert {"libvirt: ceph.pool vms", "libvirt: ceph.key client.nova"} <= wanted
    assert not {one.node for one in topology.placement.of("libvirt")} & set(control)


# -- quorums and clusters: members on nodes without facts are members ------------------------------------------------------


@pytest.mark.parametrize("state", ["unreachable", "in maintenance"])
def test_a_quorum_lacks_a_member_whose_node_was_never_reached(state: str):
    changes = [("{name: n2, groups", "{name: n2, state: maintenance, groups")] if state == "in maintenance" else []
    some = World.changed(*changes, without_facts=("n2",))
    observed = some.observed()
    observed["n1"]["instances"]["store"]["running"]["start"] = "older"
    plan = some.plan(observed, unreachable={"n2": "no route"} if state == "unreachable" else {})
    assert plan.empty
    assert [note for note in plan.notes if f"n1/store is not restarted: its member on n2 is {state}" in note]


@pytest.mark.parametrize(("without", "formed"), [((), ["n1/pair"]), (("n4",), [])])
def test_no_cluster_is_formed_while_a_member_was_never_reached(tmp_path, without: tuple[str, ...], formed: list[str]):
    """It may hold the data, as with --limit on a controller that knows no facts yet."""
    folder = tmp_path / "pair"
    folder.mkdir()
    (folder / "service.yml").write_text(
        "format: 1\nname: pair\nsummary: made up\nimages: {pair: {packages: [x]}}\n"
        "components:\n  pair: {group: all, image: pair, command: [run], cluster: {member_when: /x, order: /run/x}}\n"
    )
    some = World(roles=(ROLES, tmp_path), without_facts=without)
    observed = {node: nothing(node, some.sealed) for node in some.desired.instances}
    for answer in observed.values():
        answer["instances"]["pair"]["cluster"] = {"state": "empty"}
    plan = some.plan(json.loads(json.dumps(observed)))
    assert [step.id for step in plan.steps if step.form] == formed
