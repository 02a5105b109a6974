"""A plan as data: saved, read again, summed up."""

from __future__ import annotations

import json

import pytest

from proofs.world import World, nothing
from scs_deploy.errors import InputError
from scs_deploy.plan.plan import Plan, read_saved, saved


@pytest.fixture(scope="module")
def plan() -> Plan:
    world = World()
    return world.plan(
        {node: nothing(node, world.sealed) for node in world.desired.instances}, limit=("n1", "n2"), purge=True
    )


def test_what_is_saved_can_be_compared(plan: Plan):
    found = read_saved(saved(plan), "file")
    assert (found.region, found.limit, found.services, found.purge) == ("world", ("n1", "n2"), (), True)
    assert found.digest == plan.digest


def test_a_saved_plan_holds_no_secret(plan: Plan):
    assert "S3CRET" not in saved(plan)


@pytest.mark.parametrize("text", ["", "{}", "[]", "no plan", '{"format": 1}', '{"format": 2}'])
def test_what_is_no_plan_is_refused(text: str):
    with pytest.raises(InputError) as error:
        read_saved(text, "tonight.plan")
    assert "tonight.plan" in str(error.value)
    assert "--out" in str(error.value)


def test_json_for_programs(plan: Plan):
    data = json.loads(json.dumps(plan.as_json()))
    assert data["summary"] == plan.summary()
    assert data["counts"]["jobs"] == 2
    assert {step["node"] for wave in data["waves"] for step in wave["steps"]} == {"n1", "n2"}


def test_summaries():
    world = World()
    assert world.plan().summary() == "Plan: nothing to do."
    assert world.plan(unreachable={"n9": "x"}).summary() == "Plan: nothing to do where known; 1 unknown."
    observed = world.observed()
    observed["n1"]["instances"]["front"]["running"]["start"] = "older"
    assert world.plan(observed).summary() == "Plan: 1 to change, 1 to restart; 1 wave on 1 node."
