"""Whatever somebody changes on a node by hand is shown as drift and repaired, and nothing else is touched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deployment import PENDING, Cloud

MARIADB = "/etc/scs-deploy/mariadb"
RABBITMQ = "/etc/scs-deploy/rabbitmq"
KEYSTONE = "/etc/scs-deploy/keystone"
DATA = "/var/lib/scs-deploy/data"
STATE = "/var/lib/scs-deploy/state"


@dataclass(frozen=True)
class Damage:
    """A command that does damage; the step of the plan that is to repair it, and what that step says."""

    command: str
    step: str
    says: str


FILES = (
    Damage(f"echo '# mine' >> {MARIADB}/etc/mysql/mariadb.cnf", "n1/mariadb", "-# mine"),
    Damage(f"echo x >> {MARIADB}/etc/scs-tls/key.pem", "n1/mariadb", "content is secret"),
    Damage(f"echo 1 > {MARIADB}/etc/mysql/mine.cnf", "n1/mariadb", "mine.cnf', 'how': 'delete"),
    Damage("echo '10.9.9.9 rogue' >> /etc/hosts", "n1/node-hosts", "-10.9.9.9 rogue"),
    Damage(f"rm {RABBITMQ}/etc/rabbitmq/rabbitmq.conf", "n1/rabbitmq", "rabbitmq.conf', 'how': 'created"),
    Damage(
        f"cd {RABBITMQ}/etc/rabbitmq; mv enabled_plugins /root/moved; ln -s /root/moved enabled_plugins",
        "n1/rabbitmq",
        "enabled_plugins', 'how': 'changed",
    ),
    Damage(f"chmod 0777 {DATA}/rabbitmq/rabbitmq", "n1/rabbitmq", "mode and owner corrected"),
    Damage(f"chmod 0666 {KEYSTONE}/etc/keystone/keystone.conf", "n1/keystone", "0666"),
    Damage(f"chown 12:13 {KEYSTONE}/etc/keystone/uwsgi.ini", "n1/keystone", "12:13 becomes"),
    Damage("mkdir /etc/scs-deploy/nobody; echo 1 > /etc/scs-deploy/nobody/x", "n1/nobody", "nobody/x"),
    Damage(
        "rm /etc/containers/systemd/memcached.container; systemctl daemon-reload",
        "n1/memcached",
        "memcached.container', 'how': 'created",
    ),
    Damage("systemctl disable chrony", "n1/node-time", "disabled"),
    Damage(
        "podman run -d --name stray --label scs-deploy.instance=stray --network host --pids-limit 0 "
        "$(podman images --format '{{.ID}}' | head -1) sleep 600",
        "n1/stray",
        "nothing declares",
    ),
)

PROCESSES = (
    Damage("systemctl stop memcached", "n1/memcached", "it does not run"),
    Damage("systemctl stop chrony", "n1/node-time", "it does not run"),
    Damage(
        "podman rm -f -t 2 keepalived; systemctl stop keepalived; systemctl reset-failed keepalived || true",
        "n1/keepalived",
        "it does not run",
    ),
    Damage(f"rm {STATE}/jobs/keystone-bootstrap.json", "n1/keystone-bootstrap", "it never ran"),
)


def damaged(cloud: Cloud, damages: tuple[Damage, ...]) -> Mapping[str, Any]:
    """Do all the damage, and check that the plan tells of each, and of nothing else but APIs that cannot tell meanwhile."""
    for damage in damages:
        cloud.on_node(damage.command)
    steps = cloud.steps()
    for damage in damages:
        assert damage.step in steps, f"not in the plan: {damage.command}"
        assert damage.says in str(steps[damage.step]), damage.command
    others = {step["id"] for step in steps.values() if step["kind"] != "resources"} - {one.step for one in damages}
    assert not others
    return steps


def test_files_are_put_right_without_a_restart(settled: Cloud) -> None:
    before = settled.state()
    steps = damaged(settled, FILES)
    assert not [step for step in steps.values() if step["restart"] or step["reload"]]
    settled.apply()
    after = settled.state()
    assert after["end"] == before["end"]
    changed = {name for name in before["starts"] if after["starts"].get(name) != before["starts"][name]}
    assert not changed


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
        assert 'scs_deploy_drift_steps{region="itest"} 1' in metrics.read_text()
        assert settled.state() == before, "drift changed something"
    settled.apply()
    settled.run("drift", code=0)


def test_what_was_stopped_or_removed_runs_again(settled: Cloud) -> None:
    before = settled.state()
    damaged(settled, PROCESSES)
    settled.apply()
    after = settled.state()
    assert after["end"] == before["end"]
    changed = {name for name in before["starts"] if after["starts"].get(name) != before["starts"][name]}
    assert changed == {"memcached", "memcached.service", "chrony.service", "keepalived", "keepalived.service"}
    settled.run("prove", code=0)


def test_a_process_that_was_started_from_an_edited_file_is_restarted(settled: Cloud) -> None:
    target = f"{MARIADB}/etc/mysql/mariadb.cnf"
    settled.on_node(f"printf '[mariadbd]\\nmax_connections = 99\\n' >> {target}; systemctl restart mariadb")
    (step,) = settled.steps().values()
    assert (step["id"], step["restart"]) == ("n1/mariadb", True)
    assert "edited by hand" in step["reasons"][0]
    settled.apply()
    assert settled.sql("SELECT @@max_connections") == "2000"


def test_a_folder_deleted_under_a_running_container_takes_a_restart(settled: Cloud) -> None:
    """The container has the deleted folder mounted, and would never see the files that are put back."""
    before = settled.state()
    settled.on_node("rm -r /etc/scs-deploy/haproxy/etc/haproxy")
    (step,) = settled.steps().values()
    assert (step["id"], step["restart"]) == ("n1/haproxy", True)
    assert "deleted folder" in str(step["reasons"])
    settled.apply()
    assert settled.state()["end"] == before["end"]
    assert settled.on_node("podman exec haproxy ls /etc/haproxy") == "haproxy.cfg"


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
    (step,) = (step for step in settled.steps().values() if step["service"] == "keystone" and "mariadb" in step["id"])
    assert "user keystone" in str(step["changes"])
    settled.apply()
    settled.assert_settled()
    assert settled.state()["end"] == before["end"]
    settled.run("prove", code=0)


def test_a_deleted_queue_user_comes_back(settled: Cloud) -> None:
    with settled.services(keystone={"settings": {"notifications": True}}):
        settled.apply()
        before = settled.state()["end"]["rabbitmq"]
        assert "keystone" in str(before["users"])
        user = settled.login_name("keystone", "keystone-rabbitmq")
        settled.on_node(f"podman exec rabbitmq /usr/lib/rabbitmq/bin/rabbitmqctl delete_user {user}")
        (step,) = settled.steps().values()
        assert "user keystone" in str(step["changes"])
        settled.apply()
        settled.assert_settled()
        assert settled.state()["end"]["rabbitmq"] == before
    settled.apply()
    assert "keystone" not in str(settled.state()["end"]["rabbitmq"]["users"])
