"""Who forms a cluster: one member, and only when nobody can have data."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from node_fakes import FakeNode, Wanted, looked, wave

from scs_deploy.ansible_collections.scs.deploy.plugins.module_utils.converge import converge
from scs_deploy.ansible_collections.scs.deploy.plugins.module_utils.host import Done
from scs_deploy.ansible_collections.scs.deploy.plugins.module_utils.observe import observe
from scs_deploy.diff.clusters import forming
from scs_deploy.plan import Step

NODES = ("c2", "c1", "c3")
"""As the region lists them."""

PROBE = "/etc/scs-deploy/cache/hooks/probe"


def step(node: str, **values: Any) -> Step:
    return Step(f"{node}/db", "instance", node, "db", "db", "create", 1, **{"restart": True, **values})


def inputs(states: dict[str, str], unreachable: dict[str, str] | None = None) -> Any:
    instances = {
        node: (SimpleNamespace(id=f"{node}/db", node=node, name="db", component="db", hook=lambda _: "/hook"),)
        for node in NODES[: len(states)]
    }
    return SimpleNamespace(
        region=SimpleNamespace(nodes=[SimpleNamespace(name=name) for name in NODES]),
        sealed=SimpleNamespace(desired=SimpleNamespace(on=lambda node: instances.get(node, ()), unrendered={})),
        unreachable=unreachable or {},
        seen=lambda node, _: {"cluster": {"state": states[node]}} if states[node] else {},
    )


@pytest.mark.parametrize(
    ("states", "unreachable", "formed"),
    [
        ({"c2": "empty", "c1": "empty", "c3": "empty"}, {}, ["c2"]),
        ({"c2": "empty", "c1": "member", "c3": "empty"}, {}, []),
        ({"c2": "empty", "c1": "unknown", "c3": "empty"}, {}, []),
        ({"c2": "empty", "c1": "", "c3": "empty"}, {}, []),
        ({"c2": "empty", "c1": "empty"}, {"c3": "no route"}, []),
        ({"c2": "empty"}, {}, []),
    ],
)
def test_the_first_member_forms_it_when_all_are_empty(
    states: dict[str, str], unreachable: dict[str, str], formed: list[str]
) -> None:
    found = forming([step(node) for node in states], inputs(states, unreachable))
    assert [one.node for one in found if one.form] == formed
    assert all(("forms the cluster" in " ".join(one.reasons)) == one.form for one in found)


def test_a_member_whose_files_alone_are_written_forms_nothing() -> None:
    states = dict.fromkeys(NODES, "empty")
    prepared = [step(node, restart=False) for node in NODES]
    assert not any(one.form for one in forming(prepared, inputs(states)))


def test_a_node_tells_what_a_member_holds_only_while_it_is_not_healthy(tmp_path: Path) -> None:
    node, wanted = FakeNode(tmp_path), Wanted()

    def cluster() -> Any:
        asked = looked(wanted)
        asked["instances"][wanted.name]["probe"] = PROBE
        asked["instances"][wanted.name]["dirs"] = {"/var/lib/scs-deploy/data/cache/db": ["0750", 0, 0]}
        return observe(asked, node)["instances"][wanted.name].get("cluster")

    assert cluster() == {"state": "empty"}
    data = node.host.path("/var/lib/scs-deploy/data/cache/db")
    data.mkdir(parents=True)
    assert cluster() == {"state": "unknown"}, "data of somebody, and nobody to tell what it is"
    hook = node.host.path(PROBE)
    hook.parent.mkdir(parents=True)
    hook.touch()
    node.host.answers[str(hook)] = Done(0, json.dumps({"state": "member", "position": 7}), "")
    assert cluster() == {"state": "member", "position": 7}
    node.host.answers[str(hook)] = Done(1, "", "broken")
    assert cluster() == {"state": "unknown"}


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
