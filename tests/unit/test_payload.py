"""Payloads on the real node side over fake systemd and engine: what the plan says is what is then on disk, and the next plan is empty."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pytest
from node_fakes import GID, IMAGE, UID, FakeNode, converge, observe, sent

from proofs.world import World, nothing
from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.host import Done
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Health, Question
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.systemd import Unit
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import InstanceStep, ReloadAction, Work
from scs_deploy.nodes import messages
from scs_deploy.plan.plan import Plan
from scs_deploy.render.desired import Desired, Instance

APP_CONF = "/etc/scs-deploy/app/etc/app/app.conf"


class LocalWorld(World):
    """The made-up region with this process's user as owner, one image, and health that is the unit's."""

    @cached_property
    def desired(self) -> Desired:
        made = World.desired.func(self)  # type: ignore[attr-defined]
        jobs = tuple(replace(job, container=replace(job.container, image=IMAGE)) for job in made.jobs)
        instances = {node: tuple(self._local(one) for one in group) for node, group in made.instances.items()}
        return replace(made, instances=instances, jobs=jobs)

    @staticmethod
    def _local(one: Instance) -> Instance:
        if one.kind == "container":
            folders = tuple(replace(folder, uid=UID, gid=GID) for folder in one.folders)
            one = replace(one, folders=folders, container=replace(one.container, image=IMAGE))
        return replace(
            one,
            files=tuple(replace(file, uid=UID, gid=GID) for file in one.files),
            health=Health(unit=bool(one.unit), timeout=5),
            reload_action=ReloadAction("HUP") if one.reload_action else None,
        )


class Cloud:
    """Nodes in folders; ``kill_after`` steps the controller is gone."""

    def __init__(self, root: Path, world: World) -> None:
        self.world, self.steps_done = world, 0
        self.nodes: dict[str, FakeNode] = {}
        for name in world.desired.instances:
            node = self.nodes[name] = FakeNode(root / name)
            node.host.root.mkdir()
            node.host.answers |= {
                **dict.fromkeys(("ln", "sh", "systemctl", "check-table", f"check-{name}"), Done(0, "", "")),
                "/etc/scs-deploy/store/hooks/form": Done(0, "{}", ""),
                "dpkg-query": Done(0, "installed podman 5\ninstalled chrony 4\n", ""),
            }
            for unit in ("chrony.service", "podman.socket", "table.service"):
                node.systemd.units[unit] = Unit(load="loaded", file_state="enabled", active="inactive")

    def observe(self) -> dict[str, dict]:
        asked = {name: messages.observe(name, "podman", self.world.sealed, "") for name in self.nodes}
        for name, node in self.nodes.items():
            node.again()
            assert "S3CRET" not in wire.dumps(asked[name])
        return {name: observe(sent(Question, asked[name]), node) for name, node in self.nodes.items()}

    def plan(self, **inputs) -> Plan:
        return self.world.plan(self.observe(), **inputs)

    def apply(self, plan: Plan, kill_after: int = 10_000) -> None:
        for wave in plan.waves:
            for name in wave.nodes:
                work = messages.converge(
                    "run", wave, name, "podman", "me@here", self.world.sealed, self.world.resolve, plan.purge
                )
                for step in work.steps:
                    if kill_after == 0:
                        return
                    kill_after -= 1
                    self.nodes[name].again()
                    (result,) = converge(sent(Work, replace(work, steps=[step])), self.nodes[name])["results"]
                    assert result["status"] == "ok", result
                    self.steps_done += 1

    def started(self) -> dict[str, str]:
        """What runs, by its identity: equal means that nothing was restarted."""
        return {f"{name}/{one.instance}": one.id for name, node in self.nodes.items() for one in node.fake.managed()}

    def changed(self, world: World) -> Cloud:
        self.world = world
        return self


@pytest.fixture
def cloud(tmp_path, monkeypatch) -> Cloud:
    monkeypatch.setenv("SCS_TEST_STORE", str(tmp_path / "store.json"))
    return Cloud(tmp_path, LocalWorld())


def test_from_nothing_to_an_empty_plan(cloud: Cloud):
    plan = cloud.plan()
    assert plan.counts()["create"] == 30
    cloud.apply(plan)
    after = cloud.plan()
    assert after.empty, [(step.id, step.action, step.reasons, step.changes) for step in after.steps]
    assert not after.unknown
    text = cloud.nodes["n1"].host.path(APP_CONF).read_text()
    assert "mysql://app:S3CRET-database@" in text, "values enter on the node"
    assert "\ue000" not in text
    assert sorted(cloud.started()) == sorted(
        one.id for group in cloud.world.desired.instances.values() for one in group if one.kind == "container"
    )


def test_a_second_apply_restarts_nothing(cloud: Cloud):
    cloud.apply(cloud.plan())
    before = cloud.started()
    cloud.apply(cloud.plan())
    assert cloud.started() == before


def test_one_setting_is_one_file_and_one_restart_per_member(cloud: Cloud):
    cloud.apply(cloud.plan())
    before = cloud.started()
    cloud.changed(
        LocalWorld(text=cloud.world.text.replace("services: {}", "services: {app: {settings: {debug: true}}}"))
    )
    plan = cloud.plan()
    assert {(step.id, step.write, step.restart) for step in plan.steps} == {
        (f"{node}/app", (APP_CONF,), True) for node in ("n1", "n2", "n3")
    }
    cloud.apply(plan)
    assert {name for name, id_ in cloud.started().items() if id_ != before[name]} == {"n1/app", "n2/app", "n3/app"}
    assert cloud.plan().empty


def test_a_hand_edited_file_is_drift_shown_without_its_secret_and_repaired(cloud: Cloud):
    cloud.apply(cloud.plan())
    path = cloud.nodes["n2"].host.path(APP_CONF)
    path.write_text(path.read_text().replace("debug = false", "debug = true").replace("S3CRET-database", "S3CRET-typo"))
    plan = cloud.plan()
    (step,) = plan.steps
    assert (step.id, step.write) == ("n2/app", (APP_CONF,))
    assert "-debug = true" in step.changes[0].diff
    assert "S3CRET" not in json.dumps(plan.as_json())
    cloud.apply(plan)
    assert cloud.plan().empty


def test_a_changed_password_reaches_files_and_resources_and_that_of_a_job_the_job(cloud: Cloud):
    cloud.apply(cloud.plan())
    other = LocalWorld()
    other.secrets |= {"app-database": "S3CRET-second"}
    plan = cloud.changed(other).plan()
    found = {step.id: step for step in plan.steps}
    assert {op.name for op in found["n1/store resources of app"].operations} == {"app"}
    assert found["n1/app"].restart
    assert not {"n1/app-bootstrap", "n1/app-sync"} & set(found), "they log in with it, and hand on another one"
    assert "S3CRET" not in json.dumps(plan.as_json())
    cloud.apply(plan)
    assert cloud.plan().empty
    admin = LocalWorld()
    admin.secrets |= {"app-database": "S3CRET-second", "app-admin": "S3CRET-third"}
    assert "n1/app-bootstrap" in {step.id for step in cloud.changed(admin).plan().steps}


@pytest.mark.parametrize("after", [0, 3, 9, 14, 21, 30, 34, 38])
def test_a_controller_killed_after_any_step_loses_nothing(cloud: Cloud, after: int):
    cloud.apply(cloud.plan(), kill_after=after)
    cloud.apply(cloud.plan())
    rest = cloud.plan()
    assert rest.empty, [(step.id, step.reasons, step.changes) for step in rest.steps]


def test_a_service_that_is_switched_off_goes_and_its_data_stays_unless_purged(cloud: Cloud):
    cloud.apply(cloud.plan())
    off = cloud.world.text.replace("services: {}", "services: {app: {enabled: false}}")
    cloud.changed(LocalWorld(text=off))
    plan = cloud.plan()
    removed = {step.id for step in plan.steps if step.action == "remove"}
    assert removed == {"n1/app", "n2/app", "n3/app", "n1/app-worker"}
    deleted = [op.name for step in plan.steps for op in step.operations if op.op == "delete"]
    assert deleted == ["app", "app-one", "app-two"], "its users, not its database"
    cloud.apply(plan)
    assert cloud.plan().empty
    host = cloud.nodes["n1"].host
    assert not host.path("/etc/scs-deploy/app").exists()
    assert not host.path("/etc/containers/systemd/app.container").exists()
    assert "n1/app" not in cloud.started()


def test_destroy_leaves_only_data(cloud: Cloud):
    cloud.apply(cloud.plan())
    empty = LocalWorld()
    empty.__dict__["desired"] = Desired(dict.fromkeys(cloud.nodes, ()), (), (), {}, {}, ())
    cloud.changed(empty)
    plan = cloud.plan()
    assert {step.action for step in plan.steps} == {"remove"}
    cloud.apply(plan)
    assert cloud.plan().empty
    for node in cloud.nodes.values():
        assert not node.fake.managed()
        assert node.systemd.units["chrony.service"].active == "inactive"
    data = cloud.nodes["n1"].host.path("/var/lib/scs-deploy/data/store/db")
    assert data.is_dir()


def test_destroy_with_purge_takes_data_too(cloud: Cloud):
    cloud.apply(cloud.plan())
    empty = LocalWorld()
    empty.__dict__["desired"] = Desired(dict.fromkeys(cloud.nodes, ()), (), (), {}, {}, ())
    cloud.apply(cloud.changed(empty).plan(purge=True))
    assert not cloud.nodes["n1"].host.path("/var/lib/scs-deploy/data/store").exists()


def test_a_unit_is_written_after_what_it_starts():
    """Also where a role lists it first: a crash in between must not leave a unit without its files."""
    world = LocalWorld()
    app = world.instance("n1/app")
    turned = replace(app, files=tuple(reversed(app.files)))
    world.__dict__["desired"] = replace(world.desired, instances={**world.desired.instances, "n1": (turned,)})
    plan = world.plan({"n1": nothing("n1", world.sealed)})
    wrote = []
    for wave in plan.waves:
        work = messages.converge("run", wave, "n1", "podman", "me", world.sealed, world.resolve, False)
        instances = [step.instance for step in work.steps if isinstance(step, InstanceStep)]
        wrote += [file.path for one in instances if one.name == "app" for file in one.files]
    assert sorted(wrote) == sorted(file.path for file in app.files)
    assert wrote[-1] == "/etc/containers/systemd/app.container"


def test_files_are_there_before_the_job_and_nothing_runs_yet(cloud: Cloud):
    plan = cloud.plan()
    wave = next(wave for wave in plan.waves if any(step.id == "n1/app#files" for step in wave.steps))
    work = messages.converge("run", wave, "n1", "podman", "me", cloud.world.sealed, cloud.world.resolve, False)
    (step,) = [one for one in work.steps if one.id == "n1/app#files"]
    assert isinstance(step, InstanceStep)
    assert (step.action, step.restart, step.start_if_stopped) == ("prepare", False, False)
    converge(sent(Work, replace(work, steps=[step])), cloud.nodes["n1"])
    assert cloud.nodes["n1"].host.path(APP_CONF).is_file()
    unit = cloud.nodes["n1"].host.path("/etc/containers/systemd/app.container")
    assert not unit.exists(), "systemd must not start it anew before the job is done"
    assert "n1/app" not in cloud.started()
