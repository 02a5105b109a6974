"""Placement: chosen once, spread over failure domains, and never moved by a node that comes or goes elsewhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs.world import ROLES, World
from scs_deploy.errors import InputError
from scs_deploy.region.placement import Placement, as_table

HEAD = """\
format: 1
name: world
release: "2025.1"
engine: podman
domain: world.test
failure_domain: {domain}
networks:
  api: {{cidr: 10.60.0.0/16, vip: 10.60.250.1}}
services: {{app: {{settings: {{}}}}}}
racks:
"""


@cache
def text_of(racks: tuple[tuple[str, str, tuple[str, ...]], ...], domain: str = "rack", state: str = "") -> str:
    """Racks as (name, fire zone, control nodes); a node called like ``state`` is in maintenance."""
    text = HEAD.format(domain=domain)
    number = 10
    for rack, zone, nodes in racks:
        text += f"  - name: {rack}\n" + (f"    fire_zone: {zone}\n" if zone else "") + "    nodes:\n"
        for node in nodes:
            number += 1
            away = ", state: maintenance" if node == state else ""
            text += f"      - {{name: {node}, groups: [control], addresses: {{api: 10.60.1.{number}}}{away}}}\n"
    return text


def placed(racks, lock=None, **fields) -> Placement:
    return World(text=text_of(tuple(racks), **fields), lock=lock or {}).placement


def nodes(placement: Placement, component: str) -> list[str]:
    return [one.node for one in placement.of(component)]


RACKS = [("r1", "", ("a1", "a2")), ("r2", "", ("b1", "b2")), ("r3", "", ("c1",))]


def test_all_follows_the_group():
    assert nodes(placed(RACKS), "app") == ["a1", "a2", "b1", "b2", "c1"]


def test_what_stands_beside_another_follows_it_wherever_it_was_placed(tmp_path):
    """Chosen for itself, it would go to the nodes that carry less."""
    folder = tmp_path / "cell"
    folder.mkdir()
    (folder / "service.yml").write_text(
        "format: 1\nname: cell\nsummary: Votes, and is watched\nimages: {cell: {packages: [cell]}}\ncomponents:\n"
        "  cell: {group: control, cardinality: odd, image: cell}\n"
        "  cell-watch: {group: control, beside: cell, image: cell}\n"
    )
    found = World(text=text_of(tuple(RACKS)), lock={}, roles=(ROLES, tmp_path)).placement
    assert len(nodes(found, "cell")) == 3
    assert sorted(nodes(found, "cell-watch")) == sorted(nodes(found, "cell"))
    assert "cell-watch" not in found.chosen
    assert found.of("cell-watch")[0].why == "beside cell"


def test_every_node_carries_group_all():
    world = World()
    assert nodes(world.placement, "ground-clock") == ["n1", "n4", "n2", "n3"]


def test_a_component_may_belong_to_several_groups(tmp_path):
    folder = tmp_path / "relay"
    folder.mkdir()
    (folder / "service.yml").write_text(
        "format: 1\nname: relay\nsummary: x\ncomponents: {relay: {kind: host, group: [control, compute]}}\n"
    )
    world = World.changed(
        ("{name: n4, groups: []", "{name: n4, groups: [compute]"),
        ("{name: n3, groups: [control]", "{name: n3, groups: []"),
        roles=(ROLES, tmp_path),
    )
    assert nodes(world.placement, "relay") == ["n1", "n4", "n2"]
    assert "control or compute" in world.placement.of("relay")[0].why


def test_one_is_one_and_odd_is_three_over_the_failure_domains():
    placement = placed(RACKS)
    assert len(nodes(placement, "app-worker")) == 1
    assert {name[0] for name in nodes(placement, "store")} == {"a", "b", "c"}
    assert set(placement.chosen) == {"app-worker", "store"}


def test_failure_domain_is_what_the_region_says():
    """Racks r1 and r2 share a fire zone: then a quorum takes only one node of both before it takes a second."""
    racks = [("r1", "A", ("a1",)), ("r2", "A", ("b1",)), ("r3", "B", ("c1",)), ("r4", "C", ("d1",))]
    by_zone = nodes(placed(racks, domain="fire_zone"), "store")
    assert {"c1", "d1"} <= set(by_zone)
    assert len({"a1", "b1"} & set(by_zone)) == 1


def test_odd_is_one_where_two_nodes_would_be_even():
    assert len(nodes(placed([("r1", "", ("a1", "a2"))]), "store")) == 1


def test_the_lock_is_kept_in_its_order():
    """The first member is where jobs run and resources are kept: it stays the first."""
    placement = placed(RACKS, {"store": ["c1", "a2", "b2"]})
    assert nodes(placement, "store") == ["c1", "a2", "b2"]
    assert "placement.lock" in placement.of("store")[0].why


def test_a_quorum_of_five_in_the_lock_stays_five():
    assert len(nodes(placed(RACKS, {"store": ["a1", "a2", "b1", "b2", "c1"]}), "store")) == 5


def test_a_node_that_is_gone_is_replaced_and_the_others_stay():
    found = nodes(placed(RACKS, {"store": ["a1", "gone", "c1"]}), "store")
    assert found[:2] == ["a1", "c1"]
    assert found[2][0] == "b"


def test_absent_nodes_carry_nothing_and_maintenance_keeps_its_place():
    world = World.changed(("{name: n2, groups", "{name: n2, state: absent, groups"), lock={})
    assert "n2" not in nodes(world.placement, "front")
    world = World.changed(("{name: n2, groups", "{name: n2, state: maintenance, groups"))
    assert nodes(world.placement, "store") == ["n1", "n2", "n3"]


def test_a_new_choice_avoids_a_node_in_maintenance():
    placement = placed([("r1", "", ("a1", "a2"))], state="a1")
    assert (nodes(placement, "app-worker"), nodes(placement, "store")) == (["a2"], ["a2"])


def test_a_service_that_is_off_is_nowhere():
    world = World.changed(("services: {}", "services: {front: {enabled: false}}"))
    assert not world.placement.of("front")


def test_when_decides_and_its_errors_name_the_service():
    docker = World.changed(("engine: podman", "engine: docker"))
    assert not docker.placement.of("ground-engine")


def test_wrong_when_is_the_services_error(tmp_path: Path):
    from proofs.world import ROLES

    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "service.yml").write_text(
        "format: 1\nname: odd\nsummary: x\ncomponents:\n  odd: {kind: host, group: all, when: node.no_such_thing > 3}\n"
    )
    with pytest.raises(InputError, match=r"no_such_thing(.|\n)*when") as error:
        _ = World(roles=(ROLES, tmp_path)).placement
    assert "roles/odd/service.yml" in str(error.value)


def test_rows_for_people():
    row = next(row for row in as_table(World().placement) if row["component"] == "store")
    assert row["nodes"] == ["n1", "n2", "n3"]
    assert row["why"].startswith("3 nodes over the failure domains of group control")


names = st.lists(
    st.sampled_from([f"{rack}{n}" for rack in "abcd" for n in range(4)]), min_size=3, max_size=8, unique=True
)


@settings(deadline=None)
@given(names, st.lists(st.sampled_from([f"e{n}" for n in range(4)]), max_size=4, unique=True), st.booleans())
def test_nodes_that_come_move_nothing(before: list[str], added: list[str], in_front: bool):
    """Whatever is added, and wherever in the file: what was chosen stays, and so does the first member."""

    def racks(*groups: list[str]):
        found: dict[str, list[str]] = {}
        for group in groups:
            for name in group:
                found.setdefault(name[0], []).append(name)
        return [(f"r{rack}", "", tuple(nodes)) for rack, nodes in found.items()]

    first = placed(racks(before))
    second = placed(racks(added, before) if in_front else racks(before, added), first.chosen)
    for component, chosen in first.chosen.items():
        assert second.chosen[component][: len(chosen)] == chosen


@settings(deadline=None)
@given(names, st.integers(0, 7))
def test_a_node_that_goes_moves_only_its_own(before: list[str], index: int):
    gone = before[index % len(before)]
    if len(before) < 4:
        return
    first = placed([(f"r{name}", "", (name,)) for name in before])
    second = placed([(f"r{name}", "", (name,)) for name in before if name != gone], first.chosen)
    for component, chosen in first.chosen.items():
        assert set(chosen) - {gone} <= set(second.chosen[component])
        assert len(second.chosen[component]) == len(chosen)
