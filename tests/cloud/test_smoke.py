"""The main job: a cloud in which a person gets a virtual machine that others can reach."""

from __future__ import annotations

import json
from typing import Any

from proofs.deployment import Cloud
from scs_deploy.smoke import reach


def test_every_step_of_the_smoke_test_passes(smoke: dict[str, Any]) -> None:
    states = {step["name"]: step["status"] for step in smoke["steps"]}
    assert set(states.values()) == {"passed"}, states


def test_the_server_answers_from_outside_the_node(address: str) -> None:
    assert reach.ping(address) is not None
    assert reach.get(address).startswith("guest ")


def test_its_qemu_runs_inside_the_node(cloud: Cloud, smoke: dict[str, Any]) -> None:
    assert smoke["address"]
    assert cloud.on_node("pgrep -c qemu-system").strip() == "1"


def test_nothing_is_left_to_do_afterwards(cloud: Cloud, smoke: dict[str, Any]) -> None:
    assert smoke["green"]
    cloud.assert_settled()
    done = cloud.run("cloud", "setup", "--detailed-exitcode")
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_passes_a_second_time_and_leaves_nothing(cloud: Cloud, smoke: dict[str, Any]) -> None:
    again = json.loads(cloud.run("smoke", "--json", code=0, timeout=1800).stdout)
    assert again["green"]
    assert again["address"] == ""
    assert reach.ping(smoke["address"]) is not None, "the server of the first one is gone"
