"""What a node cannot do is told by the plan and is not tried: neither it nor what needs it is touched, the rest is done."""

from __future__ import annotations

import io
import json
import os
import subprocess
from functools import cache
from pathlib import Path

import pytest
from apply_fakes import Region, statuses
from node_fakes import FakeNode, Wanted, looked, observe
from rich.console import Console

from proofs.world import BASE, ROLES, World, facts, nothing
from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.cli.plan_text import print_plan
from scs_deploy.nodes import messages
from scs_deploy.plan.plan import Plan, Step
from scs_deploy.region.load import parse_region
from scs_deploy.region.placement import place
from scs_deploy.render import Given, unfit
from scs_deploy.render.context import Topology
from scs_deploy.render.templates import TemplateSet

ROOT = Path(__file__).parents[2]
SERVICE = """\
format: 1
name: fussy
summary: Wants a lot of memory and the disks of its node
settings: {least: {type: integer, default: 2048, description: MiB}}
images: {fussy: {packages: [x]}}
components:
  fussy:
    group: control
    image: fussy
    command: [run]
    files: [{template: a.conf, target: /etc/a.conf}, {template: a.conf, target: /etc/b.conf, effect: none}]
    demands:
      - that: facts.memory_mib >= settings.least
        what: "{{ node.name }} has too little memory"
        why: "it has {{ facts.memory_mib }} MiB"
        fix: add memory, or lower least
  eater:
    group: control
    image: fussy
    command: [run]
    needs: [{component: fussy, scope: same-node}]
  disk:
    group: control
    image: fussy
    command: [run]
    devices: ["{{ item.path }}:/dev/block"]
    each:
      of: node.disks | selectattr('use', 'eq', 'osd')
      index: item.path.rpartition('/')[2]
      what: disk with use osd
jobs: [{name: chew, command: [chew], before: [fussy]}]
"""


@pytest.fixture
def world(tmp_path) -> World:
    """n2 has half the memory that is demanded."""
    role = tmp_path / "roles/fussy"
    (role / "templates").mkdir(parents=True)
    (role / "service.yml").write_text(SERVICE)
    (role / "templates/a.conf").write_text("a\n")
    text = BASE.replace("name: n1,", "name: n1, disks: [{path: /dev/sdb, use: osd}],")
    return World(text=text, roles=(ROLES, tmp_path / "roles"), facts_of={"n2": facts("10.60.1.12", 1024)})


def fresh(world: World) -> dict[str, dict]:
    return {node: nothing(node, world.sealed) for node in world.desired.instances}


def step(plan: Plan, id_: str) -> Step:
    return next(one for one in plan.steps if one.id == id_)


# -- the plan --------------------------------------------------------------------------------------------------------------


def test_an_unmet_demand_is_told_with_place_cause_and_remedy(world: World):
    plan = world.plan(fresh(world))
    assert [one.id for one in plan.refused] == ["n2/fussy"]
    (finding,) = step(plan, "n2/fussy").refused
    assert str(finding) == (
        "n2/fussy: n2 has too little memory\n    why: it has 1024 MiB\n    fix: add memory, or lower least"
    )
    assert "1 refused" in plan.summary()


def test_what_runs_is_not_refused(world: World):
    assert world.plan().empty
    observed = world.observed()
    observed["n2"]["instances"]["fussy"]["files"] = {"/etc/scs-deploy/fussy/etc/b.conf": {"state": "absent"}}
    plan = world.plan(observed)
    assert [one.id for one in plan.steps] == ["n2/fussy"]
    assert plan.refused == (), "a file that is read by nobody now takes no start"


def test_a_restart_that_would_fail_is_refused(world: World):
    observed = world.observed()
    observed["n2"]["instances"]["fussy"]["running"]["start"] = "older"
    assert [one.id for one in world.plan(observed).refused] == ["n2/fussy"]


def test_a_missing_device_is_told_by_its_path(world: World):
    observed = fresh(world)
    observed["n1"]["instances"]["disk.sdb"]["devices"] = {"missing": ["/dev/sdb"]}
    (finding,) = step(world.plan(observed), "n1/disk.sdb").refused
    assert finding.path == "n1/disk.sdb"
    assert finding.what == "the device /dev/sdb does not exist on the node"
    assert finding.why == "disk.sdb is to be given it, for a disk with use osd"
    assert "region.yml" in finding.fix


def test_the_node_is_asked_for_the_devices(world: World, tmp_path):
    asked = messages.observe("n1", "podman", world.sealed, "").instances
    assert asked["disk.sdb"].devices == ("/dev/sdb",)
    assert asked["fussy"].devices == ()
    node, wanted = FakeNode(tmp_path / "node"), Wanted()
    (tmp_path / "node/dev").mkdir(parents=True)
    (tmp_path / "node/dev/sda").touch()
    question = looked(wanted)
    question["instances"][wanted.name]["devices"] = ["/dev/sda", "/dev/sdb"]
    assert observe(question, node)["instances"][wanted.name]["devices"] == {"missing": ["/dev/sdb"]}


# -- apply -----------------------------------------------------------------------------------------------------------------


def test_apply_leaves_it_and_what_needs_it_alone_and_does_the_rest(world: World, monkeypatch, tmp_path):
    region = Region(world, monkeypatch, tmp_path)
    report = region.apply(world.plan(fresh(world)))
    found = statuses(report)
    assert {name for name, status in found.items() if status == "failed"} == {"n2/fussy"}
    assert {name for name, status in found.items() if status == "blocked"} == {"n2/eater"}
    assert found["n1/fussy"] == found["n1/eater"] == found["n3/eater"] == "ok"
    sent = {name for asked in region.asked for steps in asked.values() for name in steps}
    assert not {"n2/fussy", "n2/eater"} & sent
    assert not report.ok
    assert region.undone == {"n2/fussy", "n2/eater"}, "the next plan has them again"
    assert report.of("failed")[0].error == {
        "what": "n2 has too little memory", "why": "it has 1024 MiB", "fix": "add memory, or lower least",
    }  # fmt: skip
    told = [event for event in region.events if event["event"] == "step" and event["id"] == "n2/fussy"]
    assert [(event["status"], event["error"]["fix"]) for event in told] == [("failed", "add memory, or lower least")]


def test_a_job_that_needs_its_files_is_blocked_too(world: World, monkeypatch, tmp_path):
    world.facts_of["n1"] = facts("10.60.1.11", 1024)
    region = Region(world, monkeypatch, tmp_path)
    plan = world.plan(fresh(world))
    found = statuses(region.apply(plan))
    assert found["n1/fussy#files"] == "failed"
    assert found["n1/chew"] == found["n1/fussy"] == found["n3/fussy"] == "blocked"
    assert [one.id for one in plan.refused] == ["n1/fussy", "n2/fussy"], "an instance counts once"


def due_everywhere(world: World, fresh_nodes: tuple[str, ...] = ()) -> dict[str, dict]:
    observed = world.observed()
    for node in ("n1", "n2", "n3"):
        observed[node]["instances"]["fussy"]["running"]["start"] = "older"
    return observed | {node: nothing(node, world.sealed) for node in fresh_nodes}


@pytest.mark.parametrize("unfit_node", ["n1", "n2", "n3"])
def test_a_refused_restart_holds_up_no_other(world: World, monkeypatch, tmp_path, unfit_node: str):
    """Nothing on its node is touched, so nothing is missing while the others restart, one domain after the other."""
    world.facts_of = {unfit_node: facts(f"10.60.1.1{unfit_node[1]}", 1024)}
    region = Region(world, monkeypatch, tmp_path)
    plan = world.plan(due_everywhere(world))
    found = statuses(region.apply(plan))
    others = [f"{node}/fussy" for node in ("n1", "n2", "n3") if node != unfit_node]
    assert {name: found[name] for name in found if name.endswith("/fussy")} == {
        f"{unfit_node}/fussy": "failed", others[0]: "ok", others[1]: "ok",
    }  # fmt: skip
    assert others[0] in step(plan, others[1]).needs, "the refused one between them does not let them go at once"
    assert step(plan, others[0]).batch < step(plan, others[1]).batch


def test_a_refused_start_still_protects_a_quorum(world: World, monkeypatch, tmp_path):
    """A voting member that does not run and cannot be started is missing: no other is interrupted then."""
    path = tmp_path / "roles/fussy/service.yml"
    path.write_text(
        path.read_text().replace("  fussy:\n    group: control\n", "  fussy:\n    group: control\n    quorum: true\n")
    )
    region = Region(world, monkeypatch, tmp_path)
    found = statuses(region.apply(world.plan(due_everywhere(world, ("n2",)))))
    assert found["n2/fussy"] == "failed"
    assert found["n1/fussy"] == found["n3/fussy"] == "blocked"


# -- what roles demand -----------------------------------------------------------------------------------------------------


@cache
def catalogue():
    return load_catalogue([ROOT / "roles"])


def told(component: str, features: dict[str, bool], *changes: tuple[str, str]) -> list[str]:
    """What is refused on the node of the region box."""
    text = (ROOT / "inventories/box/region.yml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    region = parse_region(text, ROOT / "inventories/box", catalogue())
    placement = place(region, catalogue(), {})
    topology = Topology(region, catalogue(), placement)
    known = {"n1": {"kernel": "6.12", "kernel_features": features, "interfaces": [], "cpu": {"count": 2}}}
    given = Given(topology, TemplateSet.load(catalogue()), {}, {}, known)
    return [str(finding) for placed in placement.of(component) for finding in unfit(given.scope(placed))]


def test_no_kvm_is_refused_unless_guests_may_be_emulated():
    forbid = ("allow_tcg: true", "allow_tcg: false")
    (found,) = told("libvirt", {"kvm": False}, forbid)
    for part in ("n1/libvirt: KVM does not work on n1", "/dev/kvm", "services.libvirt.settings.allow_tcg", "firmware"):
        assert part in found
    assert told("libvirt", {"kvm": True}, forbid) == []
    assert told("libvirt", {"kvm": False}) == []


def test_the_kernels_datapath_is_demanded_only_by_who_says_so():
    force = ("services:\n", "services:\n  openvswitch: {settings: {datapath: system}}\n")
    (found,) = told("openvswitch-node", {"openvswitch": False}, force)
    for part in ("n1/openvswitch-node", "no module openvswitch", "kernel 6.12", "set datapath to auto"):
        assert part in found
    assert told("openvswitch-node", {"openvswitch": True}, force) == []
    assert told("openvswitch-node", {"openvswitch": False}) == []


@pytest.mark.parametrize(
    ("allowed", "code", "said", "accelerator"),
    [
        ("true", 0, "guests are emulated, as allow_tcg of service libvirt allows", "qemu"),
        ("false", 1, "or set allow_tcg of service libvirt in region.yml", ""),
    ],
)
def test_a_kvm_that_starts_nothing_ends_the_container_with_the_same_advice(tmp_path, allowed, code, said, accelerator):
    """/dev/kvm may exist and be of no use, which shows only when it is tried: here by a QEMU that fails."""
    text = (ROOT / "inventories/box/region.yml").read_text().replace("allow_tcg: true", f"allow_tcg: {allowed}")
    region = parse_region(text, ROOT / "inventories/box", catalogue())
    placement = place(region, catalogue(), {})
    given = Given(Topology(region, catalogue(), placement), TemplateSet.load(catalogue()), {}, {}, {"n1": {}})
    (placed,) = placement.of("libvirt")
    scope = given.scope(placed)
    script, own = (
        scope.text("entry.sh"),
        {key: scope.string(value) for key, value in scope.component.environment.items()},
    )
    start, end = script.index("kvm_works()"), script.index("mkdir -p -m 0700 /etc/libvirt/secrets")
    part = script[start:end].replace("/tmp/", f"{tmp_path}/").replace("/run/libvirt/", f"{tmp_path}/")
    (tmp_path / "qemu-system-x86_64").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "qemu-system-x86_64").chmod(0o755)
    done = subprocess.run(
        ["bash", "-euc", part], env=own | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    found = tmp_path / "scs-accelerator"
    assert (found.read_text().strip() if found.exists() else "") == accelerator


def test_a_plan_says_it_as_data(world: World):
    data = json.loads(json.dumps(world.plan(fresh(world)).as_json()))
    refused = {one["id"]: one["refused"] for wave in data["waves"] for one in wave["steps"] if one["refused"]}
    assert refused["n2/fussy"][0]["fix"] == "add memory, or lower least"
    assert data["counts"]["refused"] == 1


def test_the_text_says_what_waits(world: World):
    console = Console(record=True, width=200, file=io.StringIO())
    print_plan(console, world.plan(fresh(world)))
    text = console.export_text()
    assert "x create n2/fussy\n" in text
    assert "x create n2/eater\n      waits for what is refused: n2/fussy\n" in text
    assert "+ create n1/eater\n" in text
