"""Another engine for a live node: what is seen meanwhile, what the plan says, and that each container ends under the old one first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from node_fakes import FakeEngine, FakeNode, Wanted, converge, looked, observe, wave

from proofs.world import World, catalogue
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.engine import EngineError
from scs_deploy.region.load import parse_region
from scs_deploy.region.placement import place
from scs_deploy.render.context import Topology

BEFORE, AFTER = Wanted(), Wanted(start="s2", engine="docker")


class Moving:
    """A node with an instance on Podman, for which Docker is wanted now."""

    def __init__(self, root: Path) -> None:
        self.docker: FakeEngine | None = FakeEngine()
        self.node = FakeNode(root)
        self.node.systemd.docker = self.docker
        converge(wave(BEFORE.step()), self.node)
        self.node.turn("docker", self.open)

    def open(self) -> FakeEngine:
        if self.docker is None:
            raise EngineError("docker is installed, nobody answers")
        return self.docker

    def look(self) -> dict[str, Any]:
        return observe(looked(AFTER, engine="docker"), self.node)

    def apply(self, **changes: Any) -> dict[str, Any]:
        self.node.again()
        seen = self.look()["instances"]["cache"]
        step = AFTER.step(only=seen["files"], delete=seen["extra"], **changes)
        (result,) = converge(wave(step), self.node)["results"]
        return dict(result)


@pytest.fixture
def moving(tmp_path: Path) -> Moving:
    return Moving(tmp_path)


def test_what_runs_under_the_old_engine_is_seen(moving: Moving) -> None:
    found = moving.look()
    assert found["engine"]["state"] == "ok"
    running = found["instances"]["cache"]["running"]
    assert (running["engine"], running["start"]) == ("podman", "s1")
    assert found["instances"]["cache"]["extra"] == ["/etc/containers/systemd/cache.container"]


def test_a_new_engine_that_does_not_answer_yet_hides_nothing(moving: Moving) -> None:
    moving.docker = None
    found = moving.look()
    assert found["engine"]["state"] == "missing"
    assert found["instances"]["cache"]["running"]["engine"] == "podman"


def test_an_old_engine_that_does_not_answer_hides_what_it_has(moving: Moving) -> None:
    moving.node.turn("docker", moving.open)
    moving.node._opener = lambda kind: moving.open() if kind == "docker" else _silent()
    found = moving.look()["engine"]
    assert found["state"] == "unreachable"
    assert "podman" in found["why"]


def _silent() -> FakeEngine:
    raise EngineError("nobody answers")


def test_a_container_ends_under_the_old_engine_before_it_starts_under_the_new(moving: Moving) -> None:
    moving.node.systemd.verbs.clear()
    result = moving.apply()
    assert result["status"] == "ok", result
    assert moving.node.systemd.verbs[0] == "stop cache.service"
    assert not moving.node.fake.containers
    assert moving.docker
    assert moving.docker.containers["cache"].start == "s2"
    assert moving.node.systemd.units["cache.service"].file_state == "enabled"
    found = moving.look()["instances"]["cache"]
    assert (found["extra"], found["running"]["engine"], found["recorded"]) == ([], "docker", True)


def test_the_old_engine_is_not_asked_any_more(moving: Moving) -> None:
    moving.apply()
    moving.node._opener = lambda kind: moving.open() if kind == "docker" else _silent()
    moving.node._engines = {}
    assert moving.look()["engine"]["state"] == "ok"


@pytest.mark.parametrize("cut", ["stopped", "removed", "written"])
def test_cut_off_anywhere_the_next_apply_finishes(moving: Moving, cut: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where: dict[str, tuple[Any, str]] = {
        "stopped": (moving.node.fake, "remove"),
        "removed": (moving.node.systemd, "daemon_reload"),
        "written": (moving.node.systemd, "restart"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*where[cut], _killed)
        with pytest.raises(KeyboardInterrupt):
            moving.apply()
    assert moving.look()["instances"]["cache"]["running"] is None
    assert moving.apply()["status"] == "ok"
    assert not moving.node.fake.containers
    assert moving.look()["instances"]["cache"]["running"]["start"] == "s2"


def _killed(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


def test_what_is_removed_meanwhile_ends_under_the_engine_it_has(moving: Moving) -> None:
    """Also where the new one is not there yet, such as when all of the region is removed before the change was applied."""
    moving.docker = None
    step = BEFORE.step("remove")
    step["manifest"]["files"] = list(BEFORE.files)
    (result,) = converge(wave(step), moving.node)["results"]
    assert result["status"] == "ok"
    assert not moving.node.fake.containers


# -- the plan ----------------------------------------------------------------------------------------------------------------


PART = {"unit": "podman.socket", "kind": "host", "files": ["/etc/containers/x"], "data": []}


def world_on_podman() -> tuple[World, dict[str, dict[str, Any]]]:
    """A region that says docker, and what its nodes say whose containers run under Podman."""
    world = World.changed(("engine: podman", "engine: docker"))
    observed = world.observed()
    for node, answer in observed.items():
        for one in world.desired.on(node):
            if one.kind == "container":
                seen = answer["instances"][one.name]
                seen["running"] |= {"engine": "podman", "start": "earlier"}
                seen["files"] = {f"/etc/systemd/system/{one.name}.service": {"state": "absent"}}
                seen["extra"] = [f"/etc/containers/systemd/{one.name}.container"]
        answer["unexpected"]["instances"] = {"engine-podman": dict(PART)}
    return world, observed


def test_the_plan_says_why_and_what_stops_meanwhile() -> None:
    world, observed = world_on_podman()
    steps = {step.id: step for step in world.plan(observed).steps}
    app = steps["n1/app"]
    assert app.reasons == ("the engine becomes docker (podman before)",)
    assert (app.restart, app.interrupts) == (True, True)
    assert (app.write, app.delete) == (
        ("/etc/systemd/system/app.service",),
        ("/etc/containers/systemd/app.container",),
    )


def test_members_change_one_failure_domain_at_a_time() -> None:
    world, observed = world_on_podman()
    batches = {step.node: step.batch for step in world.plan(observed).steps if step.subject == "store"}
    assert sorted(batches.values()) == [0, 1, 2]


def test_the_old_engine_goes_when_everything_has_left_it() -> None:
    world, observed = world_on_podman()
    steps = world.plan(observed).steps
    (gone,) = [step for step in steps if step.id == "n1/engine-podman"]
    restarted = {step.id for step in steps if step.node == "n1" and step.restart}
    assert restarted
    assert restarted <= set(gone.needs)


def test_the_old_engine_stays_where_something_is_held_back() -> None:
    world, observed = world_on_podman()
    del observed["n3"]
    plan = world.plan(observed, unreachable={"n3": "no route to host"})
    ids = {step.id for step in plan.steps}
    assert "n1/store" not in ids, "its quorum lacks a member"
    assert "n1/engine-podman" not in ids
    assert any(note.startswith("n1/engine-podman is not removed") for note in plan.notes)


def test_the_old_engine_stays_where_containers_cannot_be_seen() -> None:
    world, observed = world_on_podman()
    observed["n1"]["engine"] = {"state": "unreachable", "why": "podman, which containers run under: nobody answers"}
    plan = world.plan(observed)
    assert "n1 containers" in plan.unknown
    assert not [step for step in plan.steps if step.node == "n1" and step.subject in ("engine-podman", "app")]


# -- ports that take a privilege ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("region", "lowest"), [("box", 443), ("core", 1024)])
def test_ports_are_open_to_every_user_from_the_lowest_that_a_balancer_opens(region: str, lowest: int) -> None:
    folder = Path(__file__).parents[2] / "inventories" / region
    known = catalogue(Path(__file__).parents[2] / "roles")
    found = parse_region((folder / "region.yml").read_text(), folder, known)
    topology = Topology(found, known, place(found, known, {}))
    assert [topology.low_port(node) for node in topology.nodes] == [lowest]
