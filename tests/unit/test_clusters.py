"""Who forms a cluster: one member, and only when nobody can have data."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from node_fakes import FakeNode, Wanted, converge, looked, observe, wave

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.host import Done
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import ClusterSeen, Running, Seen, UnitSeen
from scs_deploy.plan.clusters import forming, unformed
from scs_deploy.plan.plan import Step

NODES = ("c2", "c1", "c3")
"""As the region lists them."""

PROBE = "/etc/scs-deploy/cache/hooks/probe"


def step(node: str, **values: Any) -> Step:
    return Step(f"{node}/db", "instance", node, "db", "db", "create", 1, **{"restart": True, **values})


def seen(state: str, runs: bool) -> Seen | None:
    """``state`` is that of its cluster, ``healthy`` (it was not asked), or nothing where nobody was heard."""
    process = Running("i", "", "s", "r", 1.0, 0) if runs else None
    cluster = wire.load(ClusterSeen, {"state": state}) if state not in ("", "healthy") else None
    known = Seen(UnitSeen(), process, state == "healthy", True, cluster=cluster)
    return known if state or runs else None


def inputs(
    states: dict[str, str],
    members: int = 0,
    running: tuple[str, ...] = (),
    limit: tuple[str, ...] = (),
    strange: tuple[str, ...] = (),
) -> Any:
    """``members`` may be more than those that are known; ``running`` are containers, whatever they do."""
    instances = {
        node: (
            SimpleNamespace(
                id=f"{node}/db", node=node, name="db", component="db", service="db", unfit=(), purpose="", one_way=None,
                members=members or len(states), kind="container", hook=lambda _: "/hook",
            ),
        )
        for node in NODES[: len(states)]
    }  # fmt: skip
    return SimpleNamespace(
        region=SimpleNamespace(nodes=[SimpleNamespace(name=name) for name in NODES]),
        sealed=SimpleNamespace(
            desired=SimpleNamespace(on=lambda node: instances.get(node, ()), unrendered=dict.fromkeys(strange, ("db",))),
            identity=lambda _: "i",
        ),
        order=SimpleNamespace(level={"component db": 1}),
        limit=limit,
        seen=lambda node, _: seen(states[node], node in running),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("states", "members", "formed"),
    [
        ({"c2": "empty", "c1": "empty", "c3": "empty"}, 3, ["c2"]),
        ({"c2": "empty", "c1": "member", "c3": "empty"}, 3, []),
        ({"c2": "empty", "c1": "unknown", "c3": "empty"}, 3, []),
        ({"c2": "empty", "c1": "", "c3": "empty"}, 3, []),
        ({"c2": "empty", "c1": "empty"}, 3, []),  # the third was never met, so it is not rendered
        ({"c2": "empty"}, 1, ["c2"]),
        ({"c2": "member"}, 1, []),
    ],
)
def test_the_first_member_forms_it_when_all_are_empty(states: dict[str, str], members: int, formed: list[str]) -> None:
    found = forming([step(node) for node in states], inputs(states, members))
    assert [one.node for one in found if one.form] == formed
    assert all(("forms the cluster" in " ".join(one.reasons)) == one.form for one in found)


def test_a_member_whose_files_alone_are_written_forms_nothing() -> None:
    states = dict.fromkeys(NODES, "empty")
    prepared = [step(node, restart=False) for node in NODES]
    assert not any(one.form for one in forming(prepared, inputs(states)))


@pytest.mark.parametrize(
    ("states", "strange", "named"),
    [
        ({"c2": "empty", "c1": "", "c3": "empty"}, (), "c1"),
        ({"c2": "empty", "c1": "empty"}, ("c3",), "c3"),
        ({"c2": "empty", "c1": "empty", "c3": "empty"}, (), ""),
        ({"c2": "empty", "c1": "", "c3": "member"}, (), ""),
        ({"c2": "", "c1": "", "c3": ""}, (), ""),
        ({"c2": "empty", "c1": "healthy", "c3": ""}, (), ""),
    ],
)
def test_the_plan_says_for_whom_a_cluster_waits(states: dict[str, str], strange: tuple[str, ...], named: str) -> None:
    notes = unformed(inputs(states, 3, strange=strange))
    assert [f"its member on {named} was not heard of" in note for note in notes] == [True] * bool(named)


EMPTY = dict.fromkeys(NODES, "empty")


def test_an_order_that_was_lost_is_given_again_to_one_that_waits() -> None:
    """The containers run with the right input, so that nothing differs; a reboot took the order away."""
    (again,) = forming([], inputs(EMPTY, running=NODES))
    assert (again.id, again.action, again.form, again.restart, again.interrupts) == (
        "c2/db",
        "restart",
        True,
        True,
        False,
    )
    (again,) = forming([], inputs(EMPTY, running=NODES, limit=("c3",)))
    assert again.id == "c3/db"
    assert forming([], inputs({**EMPTY, "c3": "member"}, running=NODES)) == []
    assert forming([], inputs(EMPTY)) == [], "what does not run has a step of its own, or cannot be started"


def test_a_member_that_starts_anyway_is_preferred_to_one_that_waits() -> None:
    (again,) = forming([step("c3")], inputs(EMPTY, running=("c2", "c1")))
    assert (again.id, again.form) == ("c3/db", True)


def test_what_else_is_due_for_one_that_waits_is_done_with_the_restart() -> None:
    job = Step("c2/db", "job", "c2", "db", "db", "run", 1)
    due = Step("c2/db", "instance", "c2", "db", "db", "reload", 1, reload=True, reasons=("new certificate",))
    same, again = forming([job, due], inputs(EMPTY, running=NODES))
    assert same is job
    assert (again.action, again.restart, again.reload, again.form) == ("restart", True, False, True)
    assert again.reasons[0] == "new certificate"


def test_a_node_tells_what_a_member_holds_only_while_it_is_not_healthy(tmp_path: Path) -> None:
    node, wanted = FakeNode(tmp_path), Wanted()

    def cluster() -> Any:
        asked = looked(wanted)
        asked["instances"][wanted.name]["probe"] = PROBE
        asked["instances"][wanted.name]["dirs"] = {
            f"/var/lib/scs-deploy/data/{name}": ["0750", 0, 0] for name in ("cache/db", "caches/crash")
        }
        return observe(asked, node)["instances"][wanted.name]["cluster"]

    assert cluster()["state"] == "empty"
    node.host.path("/var/lib/scs-deploy/data/caches/crash").mkdir(parents=True)
    assert cluster()["state"] == "empty", "a folder that it shares with others of its service tells nothing of it"
    data = node.host.path("/var/lib/scs-deploy/data/cache/db")
    data.mkdir(parents=True)
    assert cluster()["state"] == "unknown", "data of somebody, and nobody to tell what it is"
    hook = node.host.path(PROBE)
    hook.parent.mkdir(parents=True)
    hook.touch()
    node.host.answers[str(hook)] = Done(0, json.dumps({"state": "member", "position": 7}), "")
    assert cluster() == {"state": "member", "position": 7, "cluster": ""}
    node.host.answers[str(hook)] = Done(1, "", "broken")
    assert cluster()["state"] == "unknown"


def test_the_order_comes_before_the_start(tmp_path: Path) -> None:
    node, wanted = FakeNode(tmp_path), Wanted()
    node.host.answers["/hooks/form"] = Done(1, "", "it belongs to a cluster already")
    (failed,) = converge(wave({**wanted.step(restart=True), "form": "/hooks/form"}), node)["results"]
    assert failed["status"] == "failed"
    assert "it belongs to a cluster already" in failed["error"]["log"]
    assert not node.systemd.units.get("cache.service") or not node.systemd.units["cache.service"].running
    node.host.answers["/hooks/form"] = Done(0, "{}", "")
    node.again()
    (fine,) = converge(wave({**wanted.step(restart=True), "form": "/hooks/form"}), node)["results"]
    assert fine["status"] == "ok"
    assert "ordered it to form the cluster" in fine["done"]
