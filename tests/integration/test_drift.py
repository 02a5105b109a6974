"""Whatever somebody changes on a node by hand is shown as drift and repaired, and nothing else is touched."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from proofs.deployment import PENDING, PROGRAM, REPOSITORY, Cloud
from proofs.witness import damage
from proofs.witness.damage import Damage, found, repaired
from proofs.witness.look import between, look, unchanged
from scs_deploy.errors import LockedError
from scs_deploy.machine.locks import RegionLock

STATE = damage.STATE


def test_files_are_put_right_without_a_restart(settled: Cloud, tmp_path: Path) -> None:
    before = settled.state()
    steps = found(settled, tmp_path, damage.FILES)
    assert not [step for step in steps.values() if step["restart"]]
    repaired(settled, damage.FILES)
    assert settled.state() == before


def test_drift_is_told_apart_from_what_the_region_asks_for(settled: Cloud, tmp_path: Path) -> None:
    assert settled.run("drift", code=0).stdout.strip() == "Drift: none."
    conf = "/etc/scs-deploy/mariadb/etc/mysql/mariadb.cnf"
    settled.on_node(f"echo '# by hand' >> {conf}")
    with settled.services(memcached={"settings": {"memory_mb": 96}}):
        before = settled.state()
        metrics = tmp_path / "drift.prom"
        found = json.loads(settled.run("drift", "--json", "--textfile", str(metrics), code=PENDING).stdout)
        assert [step["id"] for step in found["drift"]] == ["n1/mariadb"]
        assert [step["id"] for step in found["pending"]] == ["n1/memcached"]
        assert f'scs_deploy_drift_steps{{region="{settled.folder.name}"}} 1' in metrics.read_text()
        assert settled.state() == before, "drift changed something"
    settled.apply()
    settled.run("drift", code=0)


def from_cron(cloud: Cloud, textfile: Path) -> subprocess.CompletedProcess[str]:
    """Run drift as cron does: no terminal, another folder, hardly any environment."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("HOME", "SCS_DEPLOY_"))}
    environment = {**kept, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)}
    command = [*PROGRAM, "drift", "-r", str(cloud.folder), "--textfile", str(textfile)]
    return subprocess.run(
        command, cwd="/", env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_drift_from_cron_changes_nothing_and_says_nothing_while_an_apply_runs(settled: Cloud, tmp_path: Path) -> None:
    folder = {path: path.stat() for path in settled.folder.rglob("*")}
    metrics = tmp_path / "drift.prom"
    settled.on_node(damage.FILES[0].command)
    before = look(settled.lab, settled.node)
    done = from_cron(settled, metrics)
    assert (done.returncode, done.stderr) == (PENDING, "")
    assert "n1/mariadb" in done.stdout
    changed = between(before, look(settled.lab, settled.node, before))
    assert unchanged(changed), changed
    assert {path: path.stat().st_mtime_ns for path in settled.folder.rglob("*")} == {
        path: found.st_mtime_ns for path, found in folder.items()
    }
    assert [path.name for path in tmp_path.iterdir()] == ["drift.prom"]
    assert stat.S_IMODE(metrics.stat().st_mode) == 0o644
    text = metrics.read_text()
    with RegionLock(settled.store.state, "apply of somebody"):
        done = from_cron(settled, metrics)
    assert done.returncode == LockedError.exit_code
    assert "apply of somebody" in done.stderr
    assert metrics.read_text() == text
    settled.apply()
    assert from_cron(settled, metrics).returncode == 0
    assert "drift_steps" in metrics.read_text() != text


def restarts(settled: Cloud, folder: Path, damages: tuple[Damage, ...], *instances: str) -> None:
    """Found and repaired by a restart of these and nothing else; the end is what it was."""
    before = settled.state()
    found(settled, folder, damages)
    repaired(settled, damages)
    assert settled.state()["end"] == before["end"]
    units = {name if name.endswith(".service") else f"{name}.service" for name in instances}
    assert settled.restarted(before["starts"]) == {*instances, *units}


def test_what_was_stopped_or_removed_runs_again(settled: Cloud, tmp_path: Path) -> None:
    restarts(settled, tmp_path, damage.PROCESSES, "memcached", "chrony.service", "keepalived", "rabbitmq")
    settled.run("prove", code=0)


@pytest.mark.parametrize("one", damage.REPLACED, ids=lambda one: one.what)
def test_a_container_that_somebody_put_in_its_place_is_replaced(settled: Cloud, tmp_path: Path, one: Damage) -> None:
    restarts(settled, tmp_path, (one,), "memcached")
    assert settled.on_node("podman exec memcached cat /proc/1/cmdline").strip("\0")


def test_a_process_of_another_image_is_restarted_although_its_unit_is_right(settled: Cloud, tmp_path: Path) -> None:
    restarts(settled, tmp_path, damage.IMAGE, "memcached")


def test_a_process_that_was_started_from_an_edited_file_is_restarted(settled: Cloud, tmp_path: Path) -> None:
    """And one whose folder was deleted: it has that mounted, and would never see the files that are put back."""
    restarts(settled, tmp_path, damage.EDITED, "mariadb", "haproxy")
    assert settled.sql("SELECT @@max_connections") == "2000"
    assert "haproxy.cfg" in settled.on_node("podman exec haproxy ls /etc/haproxy").split()


def test_what_a_one_shot_part_brought_into_force_is_looked_at(settled: Cloud, tmp_path: Path) -> None:
    """Its files are right and its unit is active, and yet the kernel, or a link, says something else."""
    before = settled.state()
    found(settled, tmp_path, damage.LOADED)
    unhealthy = settled.run("status", code=1).stdout
    assert unhealthy.count("unhealthy") == len(damage.LOADED)
    repaired(settled, damage.LOADED)
    assert settled.state()["end"] == before["end"]
    assert settled.restarted(before["starts"]) == {"scs-sysctl.service"}
    assert "policy drop" in settled.on_node("nft list table inet scs_deploy")
    assert settled.on_node("sysctl -n net.ipv4.tcp_syn_retries; readlink /etc/localtime").split() == [
        "2",
        "/usr/share/zoneinfo/Etc/UTC",
    ]


def test_a_job_whose_record_is_lost_runs_again(settled: Cloud) -> None:
    before = settled.state()
    settled.on_node(f"rm {STATE}/jobs/keystone-bootstrap.json")
    (step,) = settled.steps().values()
    assert (step["id"], step["reasons"]) == ("n1/keystone-bootstrap", ["it never ran"])
    settled.apply()
    assert settled.state() == before


def test_a_lost_manifest_is_written_anew(settled: Cloud) -> None:
    before = settled.state()
    settled.on_node(f"rm {STATE}/manifest.json")
    steps = settled.steps()
    assert steps
    assert not [step for step in steps.values() if step["restart"] or step["action"] == "remove"]
    settled.apply()
    assert settled.state() == before


def test_resources_behind_apis_are_put_right(settled: Cloud) -> None:
    before = settled.state()
    user = settled.login_name("keystone", "keystone-database")
    settled.sql(f"SET PASSWORD FOR '{user}' = PASSWORD('somebody else''s'); DELETE FROM keystone.endpoint LIMIT 1")  # noqa: S608 - our own name
    settled.sql("UPDATE keystone.service SET enabled = 0 WHERE type = 'identity'")
    steps = [step for wave in settled.plan(code=None)["waves"] for step in wave["steps"]]
    (step,) = (step for step in steps if step["service"] == "keystone" and "mariadb" in step["id"])
    assert "user keystone" in str(step["changes"])
    # Where Keystone needs a new connection it cannot be asked before its account is right.
    settled.run("apply", "--yes")
    settled.apply()
    settled.assert_settled()
    assert settled.state()["end"] == before["end"]
    settled.run("prove", code=0)


def test_grants_endpoints_and_queue_users_are_put_right(settled: Cloud, tmp_path: Path) -> None:
    """Whatever was changed behind an API is told by its name, and nothing is restarted for it."""
    with settled.services(keystone={"settings": {"notifications": True}}):
        settled.apply()
        before = settled.state()
        for damages in ((*damage.DATABASE, *damage.CATALOGUE, *damage.QUEUE[:2]), damage.QUEUE[2:]):
            found(settled, tmp_path, damages)
            repaired(settled, damages)
            assert settled.state() == before
    settled.apply()
    assert "keystone" not in str(settled.state()["end"]["apis"]["rabbitmq"]["users"])
