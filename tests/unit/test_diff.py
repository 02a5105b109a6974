"""The plan, from cases as data: each file below cases/diff changes what nodes say (or the region) and names the steps expected.

A new case needs no code. `world`: text replaced in the region, and the version of its packages. `fresh`: nodes on which nothing was ever
deployed. `observed`: merged deeply into what the nodes say (null removes).
`inputs`: unreachable, limit, services, purge. `steps`: what must be planned, keyed by id, with the fields that matter; every
other step is a failure unless `others: true`. `absent`: texts that must not be in the plan's JSON.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from proofs.world import World, nothing
from scs_deploy.plan.plan import Plan

CASES = sorted((Path(__file__).parent / "cases/diff").glob("*.yml"))


def merged(base, over):
    if isinstance(over, dict) and isinstance(base, dict):
        result = dict(base)
        for key, value in over.items():
            if value is None and key in result and isinstance(result[key], (dict, list)):
                result[key] = None
            else:
                result[key] = merged(result.get(key), value)
        return result
    return over


def summary(plan: Plan) -> dict[str, dict]:
    found = {}
    for wave in plan.waves:
        for step in wave.steps:
            found[step.id] = {
                "wave": wave.number,
                "action": step.action,
                "restart": step.restart,
                "reload": step.reload,
                "batch": step.batch,
                "reasons": list(step.reasons),
                "changes": [f"{change.what}: {change.how}" for change in step.changes],
                "diff": "\n".join(change.diff for change in step.changes),
                "write": list(step.write),
                "delete": list(step.delete),
                "needs": [*step.needs, *(one for group in step.enough for one in group.steps)],
                "pause": step.pause,
                "removed": step.as_json()["removed"],
                "operations": [f"{one.op} {one.kind} {one.name}" for one in step.operations],
            }
    return found


def matches(found, wanted) -> bool:
    """Lists: every wanted text is (part of) one that is there; `[]` means empty. Texts: contained."""
    if isinstance(wanted, dict):
        return all(key in found and matches(found[key], value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return bool(found) == bool(wanted) and all(any(matches(one, part) for one in found) for part in wanted)
    if isinstance(wanted, str) and isinstance(found, str):
        return wanted in found if wanted else not found
    return found == wanted


def load():
    for path in CASES:
        for number, case in enumerate(yaml.safe_load_all(path.read_text())):
            yield pytest.param(case, id=f"{path.stem}-{number}-{case['name']}")


def answers(world: World, case: dict) -> dict:
    observed = world.observed() | {node: nothing(node, world.sealed) for node in case.get("fresh", ())}
    observed = merged(observed, case.get("observed", {}))
    return {node: answer for node, answer in observed.items() if answer is not None}


def world_of(case: dict) -> World:
    given = case.get("world", {})
    changes = [(old, new) for old, new in given.get("replace", {}).items()]
    return World.changed(*changes, packages=given.get("packages", "packages-1"))


@pytest.mark.parametrize("case", list(load()))
def test_plan_is_as_the_case_says(case):
    world = world_of(case)
    observed = answers(world, case)
    inputs = {key: tuple(value) if isinstance(value, list) else value for key, value in case.get("inputs", {}).items()}
    plan = world.plan(observed, **inputs)
    found = summary(plan)
    wanted = case.get("steps", {})
    if not case.get("others"):
        assert sorted(found) == sorted(wanted), plan.summary()
    for id_, step in wanted.items():
        for key, value in (step or {}).items():
            assert matches(found[id_][key], value), (id_, key, found[id_][key])
    assert sorted(plan.unknown) == sorted(case.get("unknown", []))
    for note in case.get("notes", ()):
        assert any(note in one for one in plan.notes), plan.notes
    for key, value in case.get("counts", {}).items():
        assert plan.counts()[key] == value, (key, plan.counts())
    text = json.dumps(plan.as_json())
    for hidden in case.get("absent", ()):
        assert hidden not in text
    for first, second in case.get("apart", ()):
        assert found[first]["wave"] < found[second]["wave"], (first, second)


def test_the_same_state_in_another_order_is_the_same_plan():
    """The digest holds neither times nor the order in which nodes answered."""
    world = World()
    fresh = {node: nothing(node, world.sealed) for node in world.desired.instances}
    backwards = {node: fresh[node] for node in reversed(fresh)}
    for answer in backwards.values():
        answer["instances"] = dict(reversed(answer["instances"].items()))
    assert world.plan(fresh).digest == world.plan(backwards).digest


def test_the_digest_follows_a_secret_that_nobody_sees():
    """A plan saved before a password changed is stale, although both show the same text."""
    base, changed = World(), World()
    changed.secrets["app-database"] = "other"
    plans = [one.plan({node: nothing(node, one.sealed) for node in one.desired.instances}) for one in (base, changed)]
    assert [step.id for step in plans[0].steps] == [step.id for step in plans[1].steps]
    assert plans[0].digest != plans[1].digest


def test_no_secret_is_in_the_plan_of_a_whole_region():
    world = World()
    plan = world.plan({node: nothing(node, world.sealed) for node in world.desired.instances})
    assert "S3CRET" not in json.dumps(plan.as_json())


def test_every_need_names_a_step_of_an_earlier_wave():
    world = World()
    plan = world.plan({node: nothing(node, world.sealed) for node in world.desired.instances})
    wave_of = {step.id: wave.number for wave in plan.waves for step in wave.steps}
    for step in plan.steps:
        for need in step.needs:
            assert wave_of[need] < wave_of[step.id], (need, step.id)


def test_needs_stay_on_the_node_where_they_can():
    """A host component, an image or a same-node need of another node stops nothing here."""
    world = World()
    plan = world.plan({node: nothing(node, world.sealed) for node in world.desired.instances})
    needs = {step.id: step.needs for step in plan.steps}
    assert "n1/front" in needs["n1/app"]
    assert "n2/front" not in needs["n1/app"]
    assert not {"n1/store", "n2/store", "n3/store"} & set(needs["n1/app"])
    (enough,) = next(step.enough for step in plan.steps if step.id == "n1/app")
    assert (enough.steps, enough.least) == (("n1/store", "n2/store", "n3/store"), 2), "of members that vote, a quorum"
    assert not [one for one in needs["n1/app"] if "ground" in one and not one.startswith("n1/")]
    assert [one for one in needs["n1/front"] if "image" in one] == ["n1/image localhost/scs-deploy/front:1"]
