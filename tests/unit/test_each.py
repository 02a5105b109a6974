"""A component with several instances on a node, one per item: names, templates, and that a new item touches nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofs.world import BASE, ROLES, World
from scs_deploy.errors import InputError
from scs_deploy.machine import paths
from scs_deploy.operations.site import load_site

SERVICE = """\
format: 1
name: disks
summary: One daemon per disk
settings:
  copies:
    type: integer
    default: {copies}
    description: Copies
    x-max-failure-domains: disk
images: {{disk: {{packages: [x]}}}}
components:
  disk:
    group: control
    image: disk
    command: [run, "{{{{ index }}}}", "{{{{ item.size_gb }}}}"]
    devices: ["{{{{ item.path }}}}:/dev/block"]
    security: ["seccomp={{{{ config_path('/profile') }}}}"]
    each:
      of: node.disks | selectattr('use', 'eq', 'osd')
      index: item.serial or item.path.rpartition('/')[2]
      what: disk with use osd
    mounts:
      - {{source: "/run/disks/{{{{ index }}}}", target: /run/disk, mode: rw, create: true}}
    data:
      - {{name: store, target: /store}}
    files:
      - {{template: disk.conf.j2, target: /etc/disk.conf}}
    ports:
      - {{name: disk, port: 6800, last: 6900}}
"""
DISKS = (
    "{path: /dev/sdb, use: osd, size_gb: 5}",
    "{serial: S/7 x, use: osd, size_gb: 6}",
    "{path: /dev/sdc, use: spare}",
)


def world(folder: Path, disks: tuple[str, ...] = DISKS, copies: int = 0, settings: str = "{}") -> World:
    role = folder / "disks"
    (role / "templates").mkdir(parents=True, exist_ok=True)
    (role / "service.yml").write_text(SERVICE.format(copies=copies))
    (role / "templates/disk.conf.j2").write_text("{{ index }} {{ item.size_gb }} {{ peers() | length > 0 }}\n")
    text = BASE.replace("services: {}", f"services: {{disks: {{settings: {settings}}}}}")
    text = text.replace("name: n1,", f"name: n1, disks: [{', '.join(disks)}],")
    return World(text=text, roles=(ROLES, folder))


def test_one_instance_per_item_on_nodes_that_have_some(tmp_path):
    placed = world(tmp_path).placement.of("disk")
    assert [(one.node, one.name) for one in placed] == [("n1", "disk.sdb"), ("n1", "disk.S-7-x")]


def test_templates_see_the_item(tmp_path):
    made = world(tmp_path)
    one, other = made.instance("n1/disk.sdb"), made.instance("n1/disk.S-7-x")
    assert one.container.command == ("run", "sdb", "5")
    assert (one.container.devices, other.container.devices) == (("/dev/sdb:/dev/block",), ("None:/dev/block",))
    assert one.container.security == ("seccomp=/etc/scs-deploy/disk.sdb/profile",)
    assert {mount.source for mount in one.container.mounts} == {
        "/etc/scs-deploy/disk.sdb/etc/disk.conf",
        "/run/disks/sdb",
        "/var/lib/scs-deploy/data/disk.sdb/store",
    }
    assert made.file("n1/disk.S-7-x", "disk.conf").text == "S-7-x 6 True\n"


def test_a_node_counts_once_among_the_members_of_a_port(tmp_path):
    from scs_deploy.render.context import Topology

    made = world(tmp_path)
    port = Topology(made.region, made.catalogue, made.placement).port("disk")
    assert [member.node for member in port.members] == ["n1"]
    assert (port.port, port.last) == (6800, 6900)


def test_a_new_item_changes_no_other_instance(tmp_path):
    before, after = world(tmp_path).sealed, world(tmp_path, (*DISKS, "{path: /dev/sdd, use: osd, size_gb: 5}")).sealed
    assert set(after.start) - set(before.start) == {"n1/disk.sdd"}
    assert {name: after.start[name] for name in before.start} == dict(before.start)


def test_a_new_item_is_created_and_a_missing_one_removed(tmp_path):
    both = world(tmp_path)
    fewer = world(tmp_path, DISKS[1:])
    assert [(step.id, step.action) for step in both.plan(fewer.observed()).steps if step.kind == "instance"] == [
        ("n1/disk.sdb", "create")
    ]
    observed = fewer.observed()
    entry = {"unit": "disk.sdb.service", "kind": "container", "files": [], "data": ["/x"]}
    observed["n1"]["unexpected"]["instances"]["disk.sdb"] = entry
    (step,) = [step for step in fewer.plan(observed).steps if step.kind == "instance"]
    assert (step.id, step.action) == ("n1/disk.sdb", "remove")
    assert "data is kept" in step.reasons[0]


def test_no_item_anywhere_is_an_error_that_says_what_is_missing(tmp_path):
    with pytest.raises(InputError, match=r"no node has a disk with use osd(.|\n)*give a node of group control"):
        _ = world(tmp_path, DISKS[2:]).placement


def test_two_items_of_one_name_are_an_error(tmp_path):
    with pytest.raises(InputError, match=r"n1 has 2 times the same disk with use osd S-7-x"):
        _ = world(tmp_path, (DISKS[1], "{serial: S-7-x, use: osd}")).placement


def test_copies_find_a_place_on_nodes_where_all_are_in_one_failure_domain(tmp_path):
    made = world(tmp_path, copies=2)
    made.text = made.text.replace(
        "name: n4, groups: []", "name: n4, groups: [control], disks: [{path: /dev/sdb, use: osd}]"
    )
    assert [one.node for one in made.placement.of("disk")] == ["n1", "n1", "n4"], "both nodes are in the rack r1"


def test_copies_are_counted_where_there_are_items(tmp_path):
    with pytest.raises(InputError, match=r"disks.copies is 2, but disk has one node"):
        _ = world(tmp_path, copies=2).placement


def test_what_only_placement_finds_has_its_line_too(tmp_path, monkeypatch):
    made = world(tmp_path / "roles", settings="{copies: 2}")
    folder = tmp_path / "region"
    folder.mkdir()
    (folder / "region.yml").write_text(made.text)
    line = next(number for number, text in enumerate(made.text.splitlines(), 1) if "copies: 2" in text)
    monkeypatch.setattr(paths, "roles_search", lambda: made.roles)
    with pytest.raises(InputError, match=rf"region.yml:{line}:\d+ services.disks.settings.copies: disks.copies is 2"):
        load_site(folder)
