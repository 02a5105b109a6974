"""Data that only goes forward: the plan tells the point of no return once, and refuses the way back."""

from __future__ import annotations

import pytest

from proofs.world import World
from scs_deploy.nodes import messages
from scs_deploy.plan.one_way import series

STORES = ("n1", "n2", "n3")


def seen(world: World, version: str, start: str = "older") -> dict:
    """The store was started from another image, by a version of its package."""
    observed = world.observed()
    for node in STORES:
        found = observed[node]["instances"]["store"]
        found["version"] = version
        found["running"] |= {"image": "0123456789abcdef", "start": start}
    return observed


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("18.2.7+ds-1", (18, 2)), ("1:11.8.3-1", (11, 8)), ("20.2.4+ds-2", (20, 2)), ("7-1", (7, 1)), ("", ())],
)
def test_the_series_is_the_first_two_numbers_of_the_upstream_version(text, numbers):
    assert series(text) == numbers


def test_a_step_to_another_series_says_that_there_is_no_way_back():
    world = World()
    plan = world.plan(seen(world, "1:10.11.6-1"))
    for node in STORES:
        (step,) = [one for one in plan.steps if one.id == f"{node}/store"]
        assert "mariadb-server 1:10.11.6-1 becomes 1:11.8.3-1, and there is no way back" in step.reasons
        assert not step.refused
    assert [note for note in plan.notes if "no return" in note] == [
        "point of no return of store: Its tables are converted at the first start"
    ]


def test_the_way_back_is_refused_and_says_what_to_do():
    world = World(versions={"mariadb-server": "1:10.11.6-1"})
    plan = world.plan(seen(world, "1:11.8.3-1"))
    assert {step.id for step in plan.refused} == {f"{node}/store" for node in STORES}
    (finding,) = plan.refused[0].refused
    assert "1:10.11.6-1 is older than 1:11.8.3-1" in finding.what
    assert "11.8" in finding.fix
    assert not [note for note in plan.notes if "no return" in note]


def test_a_stopped_one_is_not_started_by_an_older_program_either():
    world = World(versions={"mariadb-server": "1:10.11.6-1"})
    observed = seen(world, "1:11.8.3-1")
    observed["n1"]["instances"]["store"] |= {"running": None, "unit": {"active": "inactive", "enabled": "generated"}}
    assert "n1/store" in {step.id for step in world.plan(observed).refused}


@pytest.mark.parametrize("version", ["1:11.8.1-1", "1:11.8.9-2", ""])
def test_within_a_series_and_of_what_nobody_knows_nothing_is_said(version):
    world = World()
    plan = world.plan(seen(world, version))
    assert not plan.refused
    assert not [one for one in (*plan.notes, *(text for step in plan.steps for text in step.reasons)) if "no " in one]


def test_the_node_is_asked_for_the_version_and_told_it_only_with_a_start():
    world = World()
    asked = messages.observe("n1", "podman", world.sealed, "").instances
    assert asked["store"].package == "mariadb-server"
    assert asked["front"].package == ""
    plan = world.plan(seen(world, "1:10.11.6-1"))
    wave = next(wave for wave in plan.waves if any(step.id == "n1/store" for step in wave.steps))
    (step,) = messages.converge("r", wave, "n1", "podman", "me", world.sealed, world.resolve, False).steps
    assert step.instance.manifest.version == "1:11.8.3-1"
