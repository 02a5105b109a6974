"""ceph on a node: a cluster that is healthy and encrypted, made of declared disks, and a user that gets no more than it needs."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from engine import ENGINE, kill

CAPS = "mon 'profile rbd' osd 'profile rbd pool=molecule' mgr 'profile rbd pool=molecule'"


def ceph(host: Any, command: str) -> Any:
    return json.loads(host.check_output(f"{ENGINE} exec ceph-mon ceph --connect-timeout 20 {command} --format json"))


def wait_until_clean(host: Any) -> dict[str, Any]:
    """A placement group may be on its way for a moment."""
    found: dict[str, Any] = {}
    for _ in range(60):
        found = ceph(host, "status")
        states = {state["state_name"] for state in found["pgmap"].get("pgs_by_state", [])}
        if states == {"active+clean"}:
            return found
        time.sleep(1)
    raise AssertionError(f"not clean: {found}")


@pytest.fixture(autouse=True)
def _deployed(host: Any) -> None:
    if host.run(f"{ENGINE} inspect ceph-mon").rc:
        pytest.skip("this region does not deploy ceph")


@pytest.fixture
def pool(host: Any) -> Any:
    """A pool and a user of it, as a service would have them."""
    host.check_output(f"{ENGINE} exec ceph-mon ceph osd pool create molecule 4 4 --autoscale-mode=off")
    host.check_output(f"{ENGINE} exec ceph-mon ceph osd pool application enable molecule rbd")
    key = host.check_output(f"{ENGINE} exec ceph-mon ceph auth get-or-create-key client.molecule {CAPS}")
    yield key
    delete = "ceph config set mon mon_allow_pool_delete {} && "
    host.run(
        f"{ENGINE} exec ceph-mon sh -c %s",
        delete.format("true")
        + "ceph osd pool delete molecule molecule --yes-i-really-really-mean-it; ceph auth rm client.molecule; "
        + "ceph config rm mon mon_allow_pool_delete",
    )


def test_it_is_healthy(host: Any) -> None:
    """But for what is so on purpose, which the job ceph-release has muted: keys of the kind that clients of 18.2 know."""
    found = wait_until_clean(host)["health"]
    muted = {one["code"] for one in found["mutes"]}
    assert all(code.startswith("AUTH_INSECURE_") for code in muted), found
    assert not {name for name in found["checks"] if name not in muted and not name.startswith("RECENT_")}, found


def test_monitors_have_a_quorum_of_encrypted_addresses_only(host: Any) -> None:
    found = ceph(host, "mon dump")
    assert len(found["quorum"]) == len(found["mons"])
    assert {address["type"] for mon in found["mons"] for address in mon["public_addrs"]["addrvec"]} == {"v2"}


def test_connections_are_encrypted(host: Any) -> None:
    for option in ("ms_cluster_mode", "ms_service_mode", "ms_client_mode", "ms_mon_service_mode"):
        shown = host.check_output(f"{ENGINE} exec ceph-mon ceph config show mon.$(hostname -s) {option}")
        assert shown.strip() == "secure", option


def test_a_plain_connection_is_refused(host: Any) -> None:
    options = "--ms_client_mode=crc --ms_mon_client_mode=crc --connect-timeout 5"
    assert host.run(f"{ENGINE} exec ceph-mon timeout 20 ceph {options} status").rc != 0


def test_each_osd_is_of_the_disk_that_was_declared(host: Any) -> None:
    osds = ceph(host, "osd dump")["osds"]
    assert osds
    assert all(osd["up"] and osd["in"] for osd in osds)
    named = host.check_output(f"{ENGINE} ps --format '{{{{.Names}}}}' --filter name=ceph-osd").split()
    assert len(named) == len(osds)
    for name in named:
        devices = host.check_output(f"{ENGINE} inspect --format '{{{{json .HostConfig.Devices}}}}' {name}")
        assert [one["PathInContainer"] for one in json.loads(devices)] == ["/dev/osd"]


def test_daemons_are_the_user_ceph(host: Any) -> None:
    for name in ("ceph-mon", "ceph-mgr", "ceph-osd"):
        assert {process.uid for process in host.process.filter(comm=name)} == {64045}, name


def test_figures_for_prometheus(host: Any) -> None:
    (line,) = host.check_output("ss -Hltn sport = :9283").splitlines()
    text = host.check_output(f"curl -fsS http://{line.split()[3]}/metrics")
    assert "ceph_osd_up" in text


def test_modules_of_the_manager_work(host: Any) -> None:
    found = ceph(host, "mgr module ls")
    assert "prometheus" in found["enabled_modules"]
    broken = [module["name"] for module in found["disabled_modules"] if not module["can_run"]]
    assert not broken


def test_a_user_uses_its_pool_and_no_other(host: Any, pool: str) -> None:
    rbd = f"{ENGINE} exec -i ceph-mon sh -c 'printf \"[client.molecule]\\nkey = {pool}\\n\" >/tmp/k; rbd -n client.molecule -k /tmp/k %s'"
    assert host.run(rbd % "create --size 8M molecule/a").rc == 0
    assert host.check_output(rbd % "ls molecule").strip() == "a"
    assert host.run(rbd % "create --size 8M .mgr/a").rc != 0


def test_everything_comes_back_after_a_kill(host: Any) -> None:
    before = {osd["uuid"] for osd in ceph(host, "osd dump")["osds"]}
    names = host.check_output(f"{ENGINE} ps --format '{{{{.Names}}}}' --filter name=ceph-osd").split()
    for name in ("ceph-mon", "ceph-mgr", *names):
        kill(host, name)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        time.sleep(2)
        asked = host.run(f"{ENGINE} exec ceph-mon ceph --connect-timeout 5 osd dump --format json || exit 1")
        if not asked.rc and all(osd["up"] for osd in json.loads(asked.stdout)["osds"]):
            break
    assert {osd["uuid"] for osd in ceph(host, "osd dump")["osds"] if osd["up"]} == before
    wait_until_clean(host)
