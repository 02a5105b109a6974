"""Drift is what somebody else changed; what the region asks for since the last apply is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proofs.world import World, answers, nothing
from scs_deploy.errors import LockedError
from scs_deploy.plan import drift
from scs_deploy.plan.plan import Plan

EDITED = {
    "state": "differs",
    "mode": "0644",
    "uid": 0,
    "gid": 0,
    "same_content": False,
    "text": "evil",
    "changed": 2000.0,
}
NODES = {"n1", "n2", "n3", "n4"}
NEW_NTP = ("ntp: [ntp.example.org]", "ntp: [ntp2.example.org]")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder of a region that was applied as a whole."""
    world = World()
    drift.record(tmp_path, world.plan(), world.sealed, set(), NODES)
    return tmp_path


def looked(world: World, observed: dict, state: Path, **fields) -> tuple[list[str], list[str]]:
    found = drift.look(world.plan(observed, **fields), world.sealed, state)
    return [step.id for step in found.found.steps], [step.id for step in found.pending.steps]


def edited(world: World) -> dict:
    observed = world.observed()
    observed["n1"]["instances"]["ground-clock"]["files"] = {"/etc/chrony/chrony.conf": EDITED}
    return observed


def test_nothing_differs(state: Path):
    world = World()
    assert looked(world, world.observed(), state) == ([], [])


def test_an_edited_file_is_drift(state: Path):
    world = World()
    assert looked(world, edited(world), state) == (["n1/ground-clock"], [])


def test_a_changed_region_is_pending_and_what_else_differs_is_still_drift(state: Path):
    before, world = World(), World.changed(NEW_NTP)
    observed = before.observed()
    for answer in observed.values():
        answer["instances"]["ground-clock"]["files"] = {"/etc/chrony/chrony.conf": EDITED}
    observed["n1"]["instances"]["app"]["running"] = None
    found, pending = looked(world, observed, state)
    assert "n1/app" in found
    assert {"n1/ground-clock", "n4/ground-clock"} <= set(pending)
    assert not set(found) & set(pending)


def test_a_changed_resource_is_drift_and_a_changed_wish_is_not(state: Path):
    world = World()
    observed = world.observed()
    home = next(node for node, answer in observed.items() if answer["owners"])
    owner, answer = next(iter(observed[home]["owners"].items()))
    kind, items = next((kind, items) for kind, items in answer["items"].items() if items)
    items[0]["attrs"] = dict.fromkeys(items[0]["attrs"], "other")
    items[0]["secret"] = "differs"
    found, pending = looked(world, observed, state)
    assert any(f"/{owner} resources of " in one for one in found), (kind, found)
    assert pending == []
    changed = World()
    changed.secrets["app-database"] = "another"
    found, pending = looked(changed, changed.observed() | observed, state)
    assert any(" resources of " in one for one in pending)


def test_what_differs_beyond_the_wanted_attributes_is_drift_and_is_named(state: Path):
    world = World()
    observed = world.observed()
    user = next(one for one in observed["n1"]["owners"]["store"]["items"]["user"] if one["name"] == "app")
    user["differences"] = [{"what": "tags", "is": "administrator", "wanted": "none"}]
    found = drift.look(world.plan(observed), world.sealed, state)
    (step,) = found.as_json()["drift"]
    assert step["changes"] == [{"what": "user app", "how": "tags: administrator, wanted none", "diff": ""}]
    assert 'scs_deploy_drift_steps{region="world"} 1\n' in found.metrics(0)
    assert found.pending.empty


def test_what_nothing_declares_is_drift_unless_it_was_declared_until_now(state: Path):
    world = World()
    strange = world.observed()
    strange["n1"]["owners"]["store"]["items"]["user"].append({"name": "stranger", "attrs": {}, "secret": ""})
    assert looked(world, strange, state) == (["n1/store resources of nobody"], [])
    less = World.changed(("services: {}", "services: {app: {enabled: false}}"))
    found, pending = looked(less, world.observed(), state)
    assert "n1/store resources of nobody" in pending
    assert not [one for one in found if " resources of " in one]


def test_what_was_never_applied_is_pending(state: Path):
    world = World()
    observed = {node: nothing(node, world.sealed) for node in world.desired.instances}
    (state / drift.FILE).write_text("{broken")
    found, pending = looked(world, observed, state)
    assert found == []
    assert len(pending) > 5


def test_a_strange_instance_is_drift_and_a_removed_one_is_pending(state: Path):
    world = World()
    observed = world.observed()
    stranger = {"unit": "", "kind": "container", "files": ["/etc/x"], "data": []}
    observed["n1"]["unexpected"]["instances"] = {"stranger": stranger}
    assert looked(world, observed, state)[0] == ["n1/stranger"]
    applied = json.loads((state / drift.FILE).read_text())
    (state / drift.FILE).write_text(json.dumps({**applied, "n1/stranger": "digest"}))
    assert looked(world, observed, state) == ([], ["n1/stranger"])


def test_what_an_apply_could_not_do_stays_pending(state: Path):
    world = World.changed(NEW_NTP)
    observed = edited(world)
    plan: Plan = world.plan(observed)
    drift.record(state, plan, world.sealed, {"n1/ground-clock"}, NODES)
    assert looked(world, observed, state) == ([], ["n1/ground-clock"])
    drift.record(state, plan, world.sealed, set(), NODES)
    assert looked(world, observed, state) == (["n1/ground-clock"], [])


def test_a_limited_apply_says_nothing_of_other_nodes(tmp_path: Path):
    world = World()
    drift.record(tmp_path, world.plan(limit=("n2",)), world.sealed, set(), NODES)
    assert {name.partition("/")[0] for name in json.loads((tmp_path / drift.FILE).read_text())} == {"n2"}


def test_a_node_that_left_the_region_is_forgotten(state: Path):
    world = World()
    assert "n4/ground-clock" in json.loads((state / drift.FILE).read_text())
    drift.record(state, world.plan(limit=("n2",)), world.sealed, set(), NODES - {"n4"})
    names = {name.partition("/")[0] for name in json.loads((state / drift.FILE).read_text())}
    assert names == NODES - {"n4"}


def test_metrics_are_what_a_collector_reads(state: Path):
    world = World()
    text = drift.look(world.plan(edited(world)), world.sealed, state).metrics(1234.4)
    assert 'scs_deploy_drift_steps{region="world"} 1\n' in text
    assert 'scs_deploy_pending_steps{region="world"} 0\n' in text
    assert 'scs_deploy_drift_time_seconds{region="world"} 1234\n' in text
    assert all(line.startswith(("# HELP ", "# TYPE ", "scs_deploy_")) for line in text.splitlines())


def test_nothing_is_said_of_nodes_that_are_being_changed():
    observed = World().observed()
    drift.check_undisturbed(answers(observed))
    observed["n1"]["lock"] = {"holder": "me@there", "run": "4711", "since": 1.0, "pid": 5}
    with pytest.raises(LockedError) as caught:
        drift.check_undisturbed(answers(observed))
    assert "me@there" in str(caught.value)
    assert "n1" in str(caught.value)
