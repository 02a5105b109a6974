"""Drift is what somebody else changed; what the region asks for since the last apply is not."""

from __future__ import annotations

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
def applied() -> drift.Applied:
    """What was applied of a whole region."""
    world = World()
    return drift.recorded({}, world.plan(), world.sealed, set(), NODES)


def looked(world: World, observed: dict, applied: drift.Applied, **fields) -> tuple[list[str], list[str]]:
    found = drift.look(world.plan(observed, **fields), world.sealed, applied)
    return [step.id for step in found.found.steps], [step.id for step in found.pending.steps]


def edited(world: World) -> dict:
    observed = world.observed()
    observed["n1"]["instances"]["ground-clock"]["files"] = {"/etc/chrony/chrony.conf": EDITED}
    return observed


def test_nothing_differs(applied: drift.Applied):
    world = World()
    assert looked(world, world.observed(), applied) == ([], [])


def test_an_edited_file_is_drift(applied: drift.Applied):
    world = World()
    assert looked(world, edited(world), applied) == (["n1/ground-clock"], [])


def test_a_changed_region_is_pending_and_what_else_differs_is_still_drift(applied: drift.Applied):
    before, world = World(), World.changed(NEW_NTP)
    observed = before.observed()
    for answer in observed.values():
        answer["instances"]["ground-clock"]["files"] = {"/etc/chrony/chrony.conf": EDITED}
    observed["n1"]["instances"]["app"]["running"] = None
    found, pending = looked(world, observed, applied)
    assert "n1/app" in found
    assert {"n1/ground-clock", "n4/ground-clock"} <= set(pending)
    assert not set(found) & set(pending)


def test_a_changed_resource_is_drift_and_a_changed_wish_is_not(applied: drift.Applied):
    world = World()
    observed = world.observed()
    home = next(node for node, answer in observed.items() if answer["owners"])
    owner, answer = next(iter(observed[home]["owners"].items()))
    kind, items = next((kind, items) for kind, items in answer["items"].items() if items)
    items[0]["attrs"] = dict.fromkeys(items[0]["attrs"], "other")
    items[0]["secret"] = "differs"
    found, pending = looked(world, observed, applied)
    assert any(f"/{owner} resources of " in one for one in found), (kind, found)
    assert pending == []
    changed = World()
    changed.secrets["app-database"] = "another"
    found, pending = looked(changed, changed.observed() | observed, applied)
    assert any(" resources of " in one for one in pending)


def test_what_differs_beyond_the_wanted_attributes_is_drift_and_is_named(applied: drift.Applied):
    world = World()
    observed = world.observed()
    user = next(one for one in observed["n1"]["owners"]["store"]["items"]["user"] if one["name"] == "app")
    user["differences"] = [{"what": "tags", "is": "administrator", "wanted": "none"}]
    found = drift.look(world.plan(observed), world.sealed, applied)
    (step,) = found.as_json()["drift"]
    assert step["changes"] == [{"what": "user app", "how": "tags: administrator, wanted none", "diff": ""}]
    assert 'scs_deploy_drift_steps{region="world"} 1\n' in found.metrics(0)
    assert found.pending.empty


def test_what_nothing_declares_is_drift_unless_it_was_declared_until_now(applied: drift.Applied):
    world = World()
    strange = world.observed()
    strange["n1"]["owners"]["store"]["items"]["user"].append({"name": "stranger", "attrs": {}, "secret": ""})
    assert looked(world, strange, applied) == (["n1/store resources of nobody"], [])
    less = World.changed(("services: {}", "services: {app: {enabled: false}}"))
    found, pending = looked(less, world.observed(), applied)
    assert "n1/store resources of nobody" in pending
    assert not [one for one in found if " resources of " in one]


def test_what_was_never_applied_is_pending():
    world = World()
    observed = {node: nothing(node, world.sealed) for node in world.desired.instances}
    found, pending = looked(world, observed, {})
    assert found == []
    assert len(pending) > 5


def test_a_strange_instance_is_drift_and_a_removed_one_is_pending(applied: drift.Applied):
    world = World()
    observed = world.observed()
    stranger = {"unit": "", "kind": "container", "files": ["/etc/x"], "data": []}
    observed["n1"]["unexpected"]["instances"] = {"stranger": stranger}
    assert looked(world, observed, applied)[0] == ["n1/stranger"]
    assert looked(world, observed, {**applied, "n1/stranger": "digest"}) == ([], ["n1/stranger"])


def test_what_an_apply_could_not_do_stays_pending(applied: drift.Applied):
    world = World.changed(NEW_NTP)
    observed = edited(world)
    plan: Plan = world.plan(observed)
    applied = drift.recorded(applied, plan, world.sealed, {"n1/ground-clock"}, NODES)
    assert looked(world, observed, applied) == ([], ["n1/ground-clock"])
    applied = drift.recorded(applied, plan, world.sealed, set(), NODES)
    assert looked(world, observed, applied) == (["n1/ground-clock"], [])


def test_a_limited_apply_says_nothing_of_other_nodes():
    world = World()
    applied = drift.recorded({}, world.plan(limit=("n2",)), world.sealed, set(), NODES)
    assert {name.partition("/")[0] for name in applied} == {"n2"}


def test_a_node_that_left_the_region_is_forgotten(applied: drift.Applied):
    world = World()
    assert "n4/ground-clock" in applied
    applied = drift.recorded(applied, world.plan(limit=("n2",)), world.sealed, set(), NODES - {"n4"})
    assert {name.partition("/")[0] for name in applied} == NODES - {"n4"}


def test_metrics_are_what_a_collector_reads(applied: drift.Applied):
    world = World()
    text = drift.look(world.plan(edited(world)), world.sealed, applied).metrics(1234.4)
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
