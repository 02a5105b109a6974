"""A node on Docker: images, restarts of dockerd and of the node, and the change of a live node's engine there and back.

On a small region of its own: what runs in containers is the concern of other tests.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from proofs.deployment import (
    CORE,
    KEEP,
    PENDING,
    Cloud,
    applied_after_all,
    core_only,
    deploy,
    remove,
    until,
    write_region,
)
from proofs.kills.process import kill
from scs_deploy.images.lock import read_lock
from scs_deploy.machine.paths import state_dir

SERVICES = {"node", "mariadb", "memcached"}
FILE = "/var/lib/scs-deploy/data/mariadb/test-of-engines"
DAMAGED = "/etc/scs-deploy/mariadb/etc/mysql/mariadb.cnf"
LEFT = "pgrep -ax 'dockerd|containerd.*' || true"
"""Processes of Docker."""


@pytest.fixture(scope="module")
def deployed() -> Iterator[Cloud]:
    if os.geteuid() != 0:
        pytest.skip("a lab needs root: not run as root")
    folder = state_dir().parent / f"{state_dir().name}-regions" / "docker"
    kept = bool(os.environ.get(KEEP)) and (folder / "images.lock").exists()
    cloud = Cloud(write_region(folder, "docker", 74))
    services = core_only(**{name: {"enabled": False} for name in CORE - SERVICES})
    cloud.edit(lambda data: data.update(engine="docker", services=services))
    if kept:
        cloud.apply()
    else:
        deploy(cloud)
    yield cloud
    if not os.environ.get(KEEP):
        remove(cloud)


@pytest.fixture
def docker(deployed: Cloud) -> Iterator[Cloud]:
    yield deployed
    deployed.assert_settled()


def data_of(cloud: Cloud) -> dict[str, Any]:
    """What must outlive everything: the databases with their users, a table, folders and files."""
    end = cloud.state()["end"]
    return {
        "data": end["data"],
        "mariadb": end["apis"]["mariadb"],
        "rows": cloud.sql("SELECT i FROM engines.t"),
        "file": cloud.on_node(f"cat {FILE}"),
    }


@pytest.fixture
def data(docker: Cloud) -> dict[str, Any]:
    docker.sql(
        "CREATE DATABASE IF NOT EXISTS engines; CREATE OR REPLACE TABLE engines.t (i INT); INSERT INTO engines.t VALUES (7)"
    )
    docker.sql("CREATE OR REPLACE USER engines@'%' IDENTIFIED BY 'a-word-of-the-test'")
    docker.on_node(f"echo kept >{FILE}")
    return data_of(docker)


def test_containers_are_those_of_the_lock_and_are_looked_after_as_ever(docker: Cloud) -> None:
    docker.assert_settled()
    before = docker.state()
    locked = read_lock(docker.folder).images
    assert {name: found[:2] for name, found in before["end"]["containers"].items()} == {
        name: [locked[name].id, "running"] for name in ("mariadb", "mariadb-check", "memcached")
    }
    assert "ready for connections" in docker.run("logs", "mariadb", code=0).stdout
    assert docker.run("exec", "memcached", "--", "id", "-un", code=0).stdout.strip() == "memcache"

    docker.on_node(f"echo '# mine' >>{DAMAGED}; docker rm --force memcached")
    steps = docker.steps()
    assert steps.keys() == {"n1/mariadb", "n1/memcached"}
    assert steps["n1/memcached"]["reasons"] == ["it does not run"]
    assert not steps["n1/mariadb"]["restart"]
    docker.apply()
    assert docker.state()["end"] == before["end"]
    assert docker.restarted(before["starts"]) == {"memcached", "memcached.service"}


def test_a_restart_of_docker_stops_no_container(docker: Cloud) -> None:
    ask = "docker inspect --format '{{.Id}} {{.State.Pid}} {{.State.StartedAt}}' mariadb memcached"
    before = docker.on_node(ask)
    for command in ("systemctl restart docker", "systemctl kill --signal KILL docker", "systemctl restart containerd"):
        old = docker.on_node("systemctl show --value -p MainPID docker")
        docker.on_node(command)
        until(lambda: docker.try_on_node("docker version").returncode == 0, "dockerd answers")
        assert "containerd" in command or docker.on_node("systemctl show --value -p MainPID docker") != old
        assert docker.on_node(ask) == before
    assert docker.on_node("sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding").split() == ["0", "0"], (
        "a router"
    )
    docker.sql("SELECT 1")


def test_a_process_that_dies_is_started_again(docker: Cloud) -> None:
    old = docker.on_node("pidof memcached")
    docker.on_node(f"kill -9 {old}")
    until(lambda: docker.try_on_node("pidof memcached").stdout.strip() not in ("", old), "memcached runs again")


@pytest.mark.parametrize("how", ["reboot", "power cut"])
def test_a_node_that_was_off_comes_back_by_itself(docker: Cloud, data: dict[str, Any], how: str) -> None:
    before = docker.state()
    if how == "reboot":
        docker.lab.reboot(docker.node)
    else:
        docker.cut_power()
        docker.run("lab", "up", code=0)
    until(lambda: docker.run("status", "--json").returncode == 0, "everything is healthy", 120)
    after = docker.state()
    assert after["end"] == before["end"]
    assert {"mariadb", "memcached"} <= docker.restarted(before["starts"])
    assert data_of(docker) == data
    assert docker.on_node("systemctl --failed --plain --no-legend") == ""


def test_a_live_node_changes_its_engine_and_back_and_keeps_all_data(docker: Cloud, data: dict[str, Any]) -> None:
    """The first way is cut off in the middle, and finished by the next apply."""
    with docker.edited(lambda region: region.update(engine="podman")):
        steps = docker.steps()
        for name in ("mariadb", "memcached"):
            step = steps[f"n1/{name}"]
            assert (step["reasons"], step["restart"]) == (["the engine becomes podman (docker before)"], True)
            assert step["pause"]
        assert (steps["n1/engine-podman"]["action"], steps["n1/engine-docker"]["action"]) == ("create", "remove")
        assert {"n1/mariadb", "n1/memcached"} <= set(steps["n1/engine-docker"]["needs"])

        process = docker.start("apply", "--yes")
        until(
            lambda: "mariadb" in docker.try_on_node("podman ps --format '{{.Names}}'").stdout,
            "Podman has one",
            120,
            0.1,
        )
        kill(process)
        applied_after_all(docker)
        docker.assert_settled()
        assert data_of(docker) == data
        assert docker.on_node(LEFT) == ""
        assert docker.on_node("podman ps --noheading | wc -l") == "3"
    shown = docker.run("plan", "--detailed-exitcode", code=PENDING).stdout
    assert "the engine becomes docker (podman before)" in shown
    docker.apply()
    assert data_of(docker) == data
    assert docker.on_node(
        "podman ps --all --quiet; systemctl is-active podman.socket podman.service || true"
    ).split() == [
        "inactive",
        "inactive",
    ]
    assert json.loads(docker.run("status", "--json", code=0).stdout)["instances"]
