"""What operations read, ask and keep of a region; nodes and Ansible are replaced at the border."""

from __future__ import annotations

import pytest
import yaml

from proofs.opened import Nodes, Opened
from proofs.world import BASE, World, matching
from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.catalogue.service import Secret
from scs_deploy.errors import DeployError, InputError, UsageError
from scs_deploy.nodes import clocks, messages
from scs_deploy.operations.site import load_site
from scs_deploy.plan.plan import Step, Wave
from scs_deploy.secrets import Preview
from scs_deploy.secrets.generate import generate


def test_a_first_look_takes_two_rounds_and_the_second_one(opened: Opened, nodes: Nodes, folder):
    assert opened.plan().rounds == 2
    first, second = nodes.asked[0], nodes.asked[1]
    assert set(first) == set(second) == {"n1", "n2", "n3", "n4"}
    assert first["n1"].instances == {}, "nothing can be rendered without facts"
    assert "app" in second["n1"].instances
    nodes.asked.clear()
    assert Opened.of(folder).plan().rounds == 1, "facts are kept between runs"
    assert [set(one) for one in nodes.asked if one] == [{"n1", "n2", "n3", "n4"}]


def test_facts_that_changed_cost_one_more_look_at_that_node(opened: Opened, nodes: Nodes):
    opened.plan()
    nodes.memory = 8192
    nodes.asked.clear()
    planned = opened.plan()
    assert planned.rounds == 2
    text = next(f.text for one in planned.sealed.desired.on("n4") for f in one.files if f.path.endswith("chrony.conf"))
    assert "memory 8192" in text


def test_a_look_without_resources_asks_no_owner(opened: Opened, nodes: Nodes):
    opened.plan()
    assert any(asked.owners for one in nodes.asked for asked in one.values()), "owners are asked otherwise"
    nodes.asked.clear()
    opened.plan(resources=False)
    assert [asked.owners for one in nodes.asked for asked in one.values()] == [{}] * 4


def test_no_secret_is_asked_or_cached(opened: Opened, nodes: Nodes):
    opened.settle()
    opened.plan()
    value = opened.vault.get("app-database")
    assert value not in wire.dumps(nodes.asked)
    for path in opened.store.state.rglob("*"):
        assert not path.is_file() or value.encode() not in path.read_bytes()


def test_an_unreachable_node_leaves_the_others(opened: Opened, nodes: Nodes):
    nodes.unreachable = {"n2"}
    planned = opened.plan()
    assert set(planned.look.observed) == {"n1", "n3", "n4"}
    assert planned.look.unreachable == {"n2": "no route"}
    assert planned.plan.unknown == {"n2": "no route"}


def test_a_node_that_is_gone_between_two_looks_is_unreachable(opened: Opened, nodes: Nodes):
    opened.plan()
    nodes.memory = 8192
    nodes.leaving = {"n2"}
    planned = opened.plan()
    assert planned.plan.unknown == {"n2": "no route"}
    assert set(planned.look.observed) == {"n1", "n3", "n4"}


def test_limit_asks_only_those(opened: Opened, nodes: Nodes):
    opened.plan("n4")
    assert {name for one in nodes.asked for name in one} == {"n4"}
    nodes.asked.clear()
    opened.plan("r2", "n4")
    assert {name for one in nodes.asked for name in one} == {"n2", "n4"}
    with pytest.raises(UsageError, match=r"unknown n9(.|\n)*n1, n4, n2, n3"):
        opened.plan("n9")


def test_a_node_in_maintenance_is_not_asked(folder, nodes: Nodes):
    (folder / "region.yml").write_text(BASE.replace("{name: n4, groups", "{name: n4, state: maintenance, groups"))
    Opened.of(folder).plan()
    assert "n4" not in {name for one in nodes.asked for name in one}


def test_an_absent_node_that_does_not_answer_is_a_note(folder, nodes: Nodes):
    (folder / "region.yml").write_text(BASE.replace("{name: n4, groups", "{name: n4, state: absent, groups"))
    nodes.unreachable = {"n4"}
    planned = Opened.of(folder).plan()
    assert planned.plan.unknown == planned.look.unreachable == {}
    assert any("node n4 is absent and does not answer" in note for note in planned.plan.notes)


def test_placement_is_kept_and_used(opened: Opened, folder):
    opened.store.keep_placement(opened.site.placement)
    kept = yaml.safe_load((folder / "placement.lock").read_text())
    assert sorted(kept["store"]) == ["n1", "n2", "n3"]
    (folder / "placement.lock").write_text("store: [n3, n1, n2]\napp-worker: [n3]\n")
    again = Opened.of(folder)
    assert [one.node for one in again.site.placement.of("store")] == ["n3", "n1", "n2"]
    again.store.keep_placement(again.site.placement)
    before = (folder / "placement.lock").stat().st_mtime_ns
    again.store.keep_placement(again.site.placement)
    assert (folder / "placement.lock").stat().st_mtime_ns == before


@pytest.mark.parametrize("text", ["[", "- a\n", "store: n1\n"])
def test_a_damaged_placement_lock_is_an_error(folder, text: str):
    (folder / "placement.lock").write_text(text)
    with pytest.raises(InputError, match=r"placement\.lock") as error:
        load_site(folder)
    assert "restore it from git" in str(error.value)


def test_damaged_facts_are_asked_for_anew(opened: Opened, nodes: Nodes, folder):
    opened.plan()
    (opened.store.state / "facts/n1.json").write_text("{")
    nodes.asked.clear()
    Opened.of(folder).plan()
    assert set(nodes.asked[0]) == {"n1"}


def test_certificates_are_made_once(opened: Opened, folder):
    opened.settle()
    first = opened.resolver()("cert:n1:app")
    again = Opened.of(folder)
    again.settle()
    assert again.resolver()("cert:n1:app") == first
    assert set(first) == {"cert", "key", "ca", "bundle"}


def test_nodes_that_do_not_answer_have_no_plan_and_are_unknown(opened: Opened, nodes: Nodes):
    nodes.unreachable = {"n1", "n2", "n3", "n4"}
    plan = opened.plan().plan
    assert plan.empty
    assert set(plan.unknown) == nodes.unreachable


def test_unknown_services_are_usage_errors(opened: Opened):
    with pytest.raises(UsageError, match=r"no service nope(.|\n)*app, front, ground, store"):
        opened.plan(services=("nope",))


def test_a_damaged_record_of_what_was_applied_is_none(opened: Opened):
    opened.store.keep_applied({"n1/app": "digest"})
    assert opened.store.applied() == {"n1/app": "digest"}
    (opened.store.state / "applied.json").write_text("{broken")
    assert opened.store.applied() == {}


# -- a service that is new: its secrets and certificates do not exist yet ---------------------------------------------------


def test_a_plan_before_and_after_its_secrets_are_made_is_the_same_but_for_digests(opened: Opened):
    planned = opened.plan()
    assert planned.preview.missing == tuple(sorted(opened.site.secrets))
    ready = opened.settle(planned)
    assert [shape(step) for step in ready.planned.plan.steps] == [shape(step) for step in planned.plan.steps]
    assert ready.planned.plan.digest != planned.plan.digest
    assert opened.plan().sealed == ready.planned.sealed, "what is planned next is what was applied"
    assert opened.settle(ready.planned).planned.sealed == ready.planned.sealed


def test_stand_ins_are_the_same_in_every_run_and_never_get_onto_a_node(opened: Opened, folder):
    planned = opened.plan()
    assert Opened.of(folder).plan().plan.digest == planned.plan.digest, "a saved plan is not stale"
    ready = opened.settle(planned)
    for name in (*opened.site.secrets, "cert:n1:app"):
        assert "stand-in" not in str(ready.resolver(name))
    payload = messages.converge(
        "r", Wave(1, ready.planned.plan.steps), "n1", "podman", "me", ready.planned.sealed, ready.resolver, False
    )
    assert "stand-in" not in wire.dumps(payload)


def test_what_somebody_else_made_since_the_look_is_not_taken_for_a_stand_in(opened: Opened, folder):
    planned = opened.plan()
    Opened.of(folder).settle()
    ready = Opened.of(folder).settle(planned)
    assert ready.planned.sealed == Opened.of(folder).plan().sealed
    assert ready.planned.plan.digest != planned.plan.digest


def test_names_that_change_before_a_certificate_exists_make_a_saved_plan_stale(opened: Opened, folder):
    before = opened.plan().plan.digest
    (folder / "region.yml").write_text(BASE.replace("domain: world.test", "domain: other.test"))
    assert Opened.of(folder).plan().plan.digest != before


def test_a_stand_in_has_the_keys_of_what_is_generated(opened: Opened):
    specs = {one: Secret(type=one) for one in ("fernet", "ssh-key")}
    preview = Preview(opened.vault, specs)
    assert preview.keys == {name: tuple(generate(name, spec)) for name, spec in specs.items()}


def shape(step: Step) -> tuple:
    return step.id, step.action, step.write, step.reasons, step.needs, step.restart, len(step.operations)


def test_the_world_helper_is_true_to_the_plan():
    """What tests elsewhere take for a settled node is one in the eyes of the plan."""
    world = World()
    assert world.plan({node: matching(node, world.sealed) for node in world.desired.instances}).empty


@pytest.mark.parametrize(("told", "seconds"), [(100.0, 0), (999.0, -1), (1000.5, 0), (1003.0, 2)])
def test_a_slow_answer_is_no_wrong_clock(told: float, seconds: float):
    assert clocks.ahead(told, (0.0 if told == 100 else 1000.0, 1001.0)) == seconds


def test_a_clock_that_is_hours_off_is_told_and_its_certificates_are_good(opened: Opened, nodes: Nodes):
    nodes.clock = -2 * 3600.0
    planned = opened.plan()
    assert "the clock of n2 is 2 h behind the controller's: correct the one that is wrong" in planned.plan.notes
    opened.settle(planned)


@pytest.mark.parametrize("days", [-2, 2])
def test_no_certificate_is_made_by_a_clock_that_is_days_off(opened: Opened, nodes: Nodes, folder, days: int):
    nodes.clock = days * 86400.0
    planned = opened.plan()
    with pytest.raises(DeployError, match=r"clocks disagree(.|\n)*n2 is 48 h (ahead of|behind)"):
        opened.settle(planned)
    assert planned.plan.notes, "who only looks is told"
    assert sorted(path.name for path in folder.iterdir()) == ["images.lock", "region.yml"]
    nodes.clock = 0.0
    opened.settle()
    nodes.clock = days * 86400.0
    Opened.of(folder).settle()  # without new certificates, work goes on
