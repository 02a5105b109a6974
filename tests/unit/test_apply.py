"""Apply: waves in order, failures as data, and exactly what depends on a failure is blocked; Ansible is replaced at its border."""

from __future__ import annotations

from dataclasses import replace

import pytest
from apply_fakes import Region, statuses

from proofs.world import World, nothing
from scs_deploy.plan.plan import Plan, Wave


@pytest.fixture
def region(monkeypatch, tmp_path) -> Region:
    return Region(World(), monkeypatch, tmp_path)


def fresh(world: World) -> Plan:
    return world.plan({node: nothing(node, world.sealed) for node in world.desired.instances})


def test_everything_is_done_in_the_order_of_the_plan(region: Region):
    plan = fresh(region.world)
    report = region.apply(plan)
    assert report.ok
    assert len(report.results) == len(plan.steps)
    order = [id_ for asked in region.asked for steps in asked.values() for id_ in steps]
    place = {id_: number for number, id_ in enumerate(order)}
    for step in plan.steps:
        assert all(place[need] < place[step.id] for need in step.needs)


def test_a_failure_blocks_exactly_what_needs_it(region: Region):
    region.fail = {"n1/app-sync"}
    report = region.apply(fresh(region.world))
    found = statuses(report)
    assert found["n1/app-sync"] == "failed"
    assert {id_ for id_, status in found.items() if status == "blocked"} == {
        "n1/app-bootstrap", "n1/app", "n2/app", "n3/app", "n1/app-worker",
    }  # fmt: skip
    (blocked,) = [result for result in report.of("blocked") if result.step.id == "n1/app-bootstrap"]
    assert blocked.by == ("n1/app-sync",)
    assert not report.ok
    assert region.undone == {id_ for id_, status in found.items() if status != "ok"}


def test_a_job_waits_for_the_files_it_needs(region: Region):
    region.fail = {"n1/app#files"}
    assert statuses(region.apply(fresh(region.world)))["n1/app-sync"] == "blocked"


def test_a_failed_gate_stops_the_next_failure_domain(region: Region):
    world = region.world
    observed = world.observed()
    for node in ("n1", "n2", "n3"):
        observed[node]["instances"]["store"]["running"]["start"] = "older"
    observed["n3"]["instances"]["front"]["running"]["start"] = "older"
    region.fail = {"n1/store"}
    found = statuses(region.apply(world.plan(observed)))
    assert found == {"n1/store": "failed", "n2/store": "blocked", "n3/store": "blocked", "n3/front": "ok"}
    assert ["n2/store"] not in [steps for asked in region.asked for steps in asked.values()]


def older(world: World, *instances: str) -> dict[str, dict]:
    """What nodes say when these run with files of before."""
    observed = world.observed()
    for node in ("n1", "n2", "n3"):
        for name in instances:
            observed[node]["instances"][name]["running"]["start"] = "older"
    return observed


def test_a_quorum_serves_while_a_member_is_away(region: Region):
    """Of three members one fails at its restart: the others stay as they were, and who needs a quorum goes on."""
    region.fail = {"n1/store"}
    found = statuses(region.apply(region.world.plan(older(region.world, "store", "app"))))
    assert found == {
        "n1/store": "failed", "n2/store": "blocked", "n3/store": "blocked",
        "n1/app": "ok", "n2/app": "ok", "n3/app": "ok",
    }  # fmt: skip


@pytest.mark.parametrize("other", ["was not healthy", "is unreachable"])
def test_without_a_quorum_nobody_goes_on(region: Region, other: str):
    observed = older(region.world, "store", "app")
    plan_of = {"observed": observed}
    if other == "was not healthy":
        observed["n3"]["instances"]["store"] |= {"healthy": False}
    else:
        del observed["n3"]
        plan_of["unreachable"] = {"n3": "no route"}
        for node in ("n1", "n2"):
            observed[node]["instances"]["store"]["running"]["start"] = region.world.sealed.start[f"{node}/store"]
        observed["n1"]["instances"]["store"]["running"] = None
    region.fail = {"n1/store"}
    report = region.apply(region.world.plan(**plan_of))
    found = statuses(report)
    assert found["n1/store"] == "failed"
    assert {found[f"{node}/app"] for node in ("n1", "n2")} == {"blocked"}
    (blocked,) = [result for result in report.results if result.step.id == "n2/app"]
    assert "n1/store" in blocked.by


@pytest.mark.parametrize(("fail", "worker"), [({"n1/app"}, "ok"), ({"n1/app", "n2/app", "n3/app"}, "blocked")])
def test_one_of_several_is_enough_where_none_votes(region: Region, fail: set[str], worker: str):
    region.fail = fail
    found = statuses(region.apply(fresh(region.world)))
    assert {id_ for id_, status in found.items() if status == "failed"} == fail
    assert found["n1/app-worker"] == worker


def test_an_owner_changes_its_items_where_its_own_member_is_up(region: Region):
    region.fail = {"n2/store"}
    found = statuses(region.apply(fresh(region.world)))
    assert found["n1/store resources of app"] == found["n3/app"] == "ok"
    region.fail = {"n1/store"}
    found = statuses(region.apply(fresh(region.world)))
    assert found["n1/store resources of app"] == found["n3/app"] == "blocked"


def test_an_unreachable_node_fails_its_own_steps(region: Region):
    region.unreachable = {"n4"}
    report = region.apply(fresh(region.world))
    failed = {result.step.id: result.error for result in report.of("failed")}
    assert set(failed) == {f"n4/ground-{part}" for part in ("clock", "engine", "hosts", "table", "zone")}
    assert failed["n4/ground-clock"] == {"what": "the node could not be reached", "why": "no route to host"}
    assert not report.of("blocked")


def test_a_node_without_an_answer_fails(region: Region):
    region.silent = {"n4"}
    assert region.apply(fresh(region.world)).of("failed")[0].error["why"] == "no JSON"


@pytest.mark.parametrize("wave", [1, 2, 3])
def test_an_ansible_that_dies_is_a_report_and_blocks_what_comes_later(region: Region, wave: int):
    region.dies_in = wave
    plan = fresh(region.world)
    report = region.apply(plan)
    assert len(region.asked) == wave
    assert {result.step.id for result in report.of("failed")} == {
        id_ for steps in region.asked[-1].values() for id_ in steps
    }
    assert {result.error["why"] for result in report.of("failed")} == {"ERROR! last words"}
    done = {id_ for asked in region.asked[:-1] for steps in asked.values() for id_ in steps}
    assert {result.step.id for result in report.of("ok")} == done
    assert len(report.results) == len(plan.steps)
    assert all(result.by for result in report.of("blocked"))
    assert region.undone == {step.id for step in plan.steps} - done
    assert (region.events[-1]["event"], region.events[-1]["ok"]) == ("end", False)


def test_a_node_that_another_run_holds(region: Region):
    region.locked = {"n4"}
    report = region.apply(fresh(region.world))
    assert report.locked == ("n4",)
    assert "eve@elsewhere" in report.of("failed")[0].error["why"]
    assert not report.ok


def test_every_step_is_an_event_and_no_event_holds_a_secret(region: Region):
    region.fail = {"n1/app-sync"}
    plan = fresh(region.world)
    region.apply(plan)
    events = region.events
    assert {event["id"] for event in events if event["event"] == "step"} == {step.id for step in plan.steps}
    assert (events[0]["event"], events[-1]["event"], events[-1]["ok"]) == ("apply", "end", False)
    assert all(event["run"] == "run-1" and event["time"] > 0 for event in events)
    assert "S3CRET" not in region.log.path.read_text()


def test_no_two_legs_are_watched_by_the_same_name(region: Region):
    plan = fresh(region.world)
    one, two = ([step for step in plan.steps if step.node == node][:4] for node in ("n1", "n2"))
    waves = (Wave(1, tuple(one[:2])), Wave(2, tuple(two[:2])), Wave(3, tuple(one[2:])), Wave(4, tuple(two[2:])))
    region.apply(replace(plan, waves=waves))
    assert region.watched == ["run-1-1", "run-1-2", "run-1-3", "run-1-4"]


def test_an_empty_plan_starts_nothing(region: Region):
    assert region.apply(region.world.plan()).results == ()
    assert region.asked == []
