"""A session: what is read, asked and kept; nodes and Ansible are replaced at the border."""

from __future__ import annotations

import time

import pytest
import yaml

from proofs.world import BASE, ROLES, World, answers, facts, matching, said
from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.errors import DeployError, InputError, UsageError
from scs_deploy.images.lock import LockedImage, write_lock
from scs_deploy.machine import paths
from scs_deploy.nodes import clocks, look
from scs_deploy.nodes.answers import Answers
from scs_deploy.operations.session import Session
from scs_deploy.secrets import password


class Nodes:
    """Answers of all nodes: as wanted, with facts that can change between two looks."""

    def __init__(self) -> None:
        self.asked: list[dict[str, dict]] = []
        self.unreachable: set[str] = set()
        self.memory = 4096
        self.clock = 0.0
        """Seconds by which the clock of n2 is ahead."""

    def ask(self, connections, payloads, on_node=None):
        self.asked.append(dict(payloads))
        told = {}
        for name, payload in payloads.items():
            if name in self.unreachable:
                continue
            digest = f"facts-{self.memory}"
            known = payload.facts_digest == digest
            told[name] = said(
                facts=None if known else facts(f"10.60.1.1{name[1]}", self.memory),
                facts_digest=digest,
                live={
                    "time": time.time() + (self.clock if name == "n2" else 0),
                    "boot_id": "b", "free_bytes": {}, "listening": [],
                },
            )  # fmt: skip
        return Answers(answers(told), {name: "no route" for name in payloads if name in self.unreachable}, {})


@pytest.fixture
def nodes(monkeypatch) -> Nodes:
    made = Nodes()
    monkeypatch.setattr(look, "ask", made.ask)
    return made


@pytest.fixture
def folder(tmp_path, monkeypatch):
    made = tmp_path / "world"
    made.mkdir()
    (made / "region.yml").write_text(BASE)
    names = ("store", "app", "front")
    write_lock(
        made, "2025.1", {name: LockedImage.of(f"{name}-id", f"localhost/{name}:1", {"p": "1"}) for name in names}
    )
    monkeypatch.setenv("SCS_DEPLOY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv(password.VARIABLE_FILE, raising=False)
    monkeypatch.setenv(password.VARIABLE, "a long enough password")
    monkeypatch.setattr(paths, "roles_search", lambda: (ROLES,))
    return made


@pytest.fixture
def session(folder, nodes) -> Session:
    return Session(folder)


def test_a_first_look_takes_two_rounds_and_the_second_one(session: Session, nodes: Nodes, folder):
    assert session.observe().rounds == 2
    first, second = nodes.asked[0], nodes.asked[1]
    assert set(first) == set(second) == {"n1", "n2", "n3", "n4"}
    assert first["n1"].instances == {}, "nothing can be rendered without facts"
    assert "app" in second["n1"].instances
    nodes.asked.clear()
    assert Session(folder).observe().rounds == 1, "facts are kept between runs"
    assert [set(one) for one in nodes.asked if one] == [{"n1", "n2", "n3", "n4"}]


def test_facts_that_changed_cost_one_more_look_at_that_node(session: Session, nodes: Nodes):
    session.observe()
    nodes.memory = 8192
    nodes.asked.clear()
    observation = session.observe()
    assert observation.rounds == 2
    text = next(
        f.text for one in observation.sealed.desired.on("n4") for f in one.files if f.path.endswith("chrony.conf")
    )
    assert "memory 8192" in text


def test_a_look_without_resources_asks_no_owner(session: Session, nodes: Nodes):
    session.observe()
    assert any(asked.owners for one in nodes.asked for asked in one.values()), "owners are asked otherwise"
    nodes.asked.clear()
    session.observe(resources=False)
    assert [asked.owners for one in nodes.asked for asked in one.values()] == [{}] * 4


def test_no_secret_is_asked_or_cached(session: Session, nodes: Nodes):
    session.observe()
    value = session.vault.get("app-database")
    assert value not in wire.dumps(nodes.asked)
    for path in session.state.rglob("*"):
        assert not path.is_file() or value.encode() not in path.read_bytes()


def test_an_unreachable_node_leaves_the_others(session: Session, nodes: Nodes):
    nodes.unreachable = {"n2"}
    observation = session.observe()
    assert set(observation.observed) == {"n1", "n3", "n4"}
    assert observation.unreachable == {"n2": "no route"}
    assert session.plan(observation).unknown == {"n2": "no route"}


def test_limit_asks_only_those(session: Session, nodes: Nodes):
    session.observe(["n4"])
    assert {name for one in nodes.asked for name in one} == {"n4"}
    nodes.asked.clear()
    session.observe(["r2", "n4"])
    assert {name for one in nodes.asked for name in one} == {"n2", "n4"}
    with pytest.raises(UsageError, match=r"unknown n9(.|\n)*n1, n4, n2, n3"):
        session.observe(["n9"])


def test_a_node_in_maintenance_is_not_asked(folder, nodes: Nodes):
    (folder / "region.yml").write_text(BASE.replace("{name: n4, groups", "{name: n4, state: maintenance, groups"))
    Session(folder).observe()
    assert "n4" not in {name for one in nodes.asked for name in one}


def test_placement_is_kept_and_used(session: Session, folder):
    session.keep()
    kept = yaml.safe_load((folder / "placement.lock").read_text())
    assert sorted(kept["store"]) == ["n1", "n2", "n3"]
    (folder / "placement.lock").write_text("store: [n3, n1, n2]\napp-worker: [n3]\n")
    assert [one.node for one in Session(folder).placement.of("store")] == ["n3", "n1", "n2"]
    before = (folder / "placement.lock").stat().st_mtime_ns
    assert before


@pytest.mark.parametrize("text", ["[", "- a\n", "store: n1\n"])
def test_a_damaged_placement_lock_is_an_error(folder, text: str):
    (folder / "placement.lock").write_text(text)
    with pytest.raises(InputError, match=r"placement\.lock") as error:
        _ = Session(folder).placement
    assert "restore it from git" in str(error.value)


def test_damaged_facts_are_asked_for_anew(session: Session, nodes: Nodes, folder):
    session.observe()
    (session.state / "facts/n1.json").write_text("{")
    nodes.asked.clear()
    Session(folder).observe()
    assert set(nodes.asked[0]) == {"n1"}


def test_certificates_are_made_once(session: Session, folder):
    session.observe()
    first = session.resolver(session.render().desired)("cert:n1:app")
    session.keep()
    again = Session(folder)
    assert again.resolver(again.render().desired)("cert:n1:app") == first
    assert set(first) == {"cert", "key", "ca", "bundle"}


def test_a_session_without_nodes_that_answer_plans_nothing_but_unknown(session: Session, nodes: Nodes):
    nodes.unreachable = {"n1", "n2", "n3", "n4"}
    plan = session.plan(session.observe())
    assert plan.empty
    assert set(plan.unknown) == nodes.unreachable


def test_unknown_services_and_nodes_are_usage_errors(session: Session):
    observation = session.observe()
    with pytest.raises(UsageError, match=r"no service nope(.|\n)*app, front, ground, store"):
        session.plan(observation, services=["nope"])
    with pytest.raises(UsageError, match="no node n9"):
        session.node("n9")


def test_the_world_helper_is_true_to_the_session():
    """What tests elsewhere take for a settled node is one in the eyes of the plan."""
    world = World()
    assert world.plan({node: matching(node, world.sealed) for node in world.desired.instances}).empty


@pytest.mark.parametrize(("told", "seconds"), [(100.0, 0), (999.0, -1), (1000.5, 0), (1003.0, 2)])
def test_a_slow_answer_is_no_wrong_clock(told: float, seconds: float):
    assert clocks.ahead(told, (0.0 if told == 100 else 1000.0, 1001.0)) == seconds


def test_a_clock_that_is_hours_off_is_told_and_its_certificates_are_good(session: Session, nodes: Nodes):
    nodes.clock = -2 * 3600.0
    plan = session.plan(session.observe())
    assert "the clock of n2 is 2 h behind the controller's: correct the one that is wrong" in plan.notes
    assert session.vault.unsaved


@pytest.mark.parametrize("days", [-2, 2])
def test_no_certificate_is_made_by_a_clock_that_is_days_off(session: Session, nodes: Nodes, folder, days: int):
    nodes.clock = days * 86400.0
    observation = session.observe()
    with pytest.raises(DeployError, match=r"clocks disagree(.|\n)*n2 is 48 h (ahead of|behind)"):
        session.may_certify(observation)
    assert session.plan(observation).notes, "who only looks is told"
    assert not (folder / "certs").exists()
    nodes.clock = 0.0
    session.may_certify(session.observe())
    session.keep()
    nodes.clock = days * 86400.0
    again = Session(folder)
    again.may_certify(again.observe())  # without new certificates, work goes on
