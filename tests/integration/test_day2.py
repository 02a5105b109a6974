"""Looking at a running region: status, logs, exec, preflight, prove."""

from __future__ import annotations

import json

from proofs.deployment import Cloud, until


def test_status_tells_every_instance(settled: Cloud) -> None:
    data = json.loads(settled.run("status", "--json", code=0).stdout)
    states = {row["instance"]: row["state"] for row in data["instances"]}
    assert {"memcached", "mariadb", "rabbitmq", "haproxy", "keepalived", "keystone", "node-time"} <= set(states)
    assert {states[name] for name in settled.state()["end"]["containers"]} == {"healthy"}
    assert "keystone" in settled.run("status", code=0).stdout
    settled.on_node("systemctl stop memcached")
    down = settled.run("status", "--json", code=1)
    row = next(row for row in json.loads(down.stdout)["instances"] if row["instance"] == "memcached")
    assert (row["state"], row["pending"]) == ("absent", "restart")
    settled.apply()


def test_logs_come_from_the_nodes_journal(settled: Cloud) -> None:
    assert "mariadb" in settled.run("logs", "mariadb", "--lines", "20", code=0).stdout
    assert len(settled.run("logs", "n1/mariadb", "-n", "2", code=0).stdout.splitlines()) <= 3
    assert "known: " in settled.run("logs", "nothing", code=2).stderr
    process = settled.start("logs", "memcached", "--follow", "-n", "0")
    try:
        assert process.stdout is not None
        until(lambda: settled.try_on_node("pgrep -f 'journalctl.*--follow'").stdout, "it follows", 30)
        settled.on_node("systemctl restart memcached")
        assert process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


def test_exec_runs_in_the_container_and_gives_its_exit_code(settled: Cloud) -> None:
    assert settled.run("exec", "memcached", "--", "cat", "/etc/hostname", code=0).stdout.strip()
    assert settled.run("exec", "mariadb", "mariadb", "--execute", "SELECT 40 + 2", code=0).stdout.split()[-1] == "42"
    settled.run("exec", "memcached", "--", "sh", "-c", "exit 7", code=7)
    assert "not a container" in settled.run("exec", "node-time", "true", code=2).stderr


def test_preflight_finds_what_is_wrong_with_a_node(settled: Cloud) -> None:
    assert "0 errors" in settled.run("preflight", code=0).stdout
    settled.on_node("systemctl stop chrony; ip link set tunnel mtu 1300")
    try:
        done = settled.run("preflight", "--json")
        findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
        assert [one for what, one in findings.items() if "chrony" in what or "clock" in what], findings
        (mtu,) = [one for what, one in findings.items() if "MTU" in what or "MTU" in one["why"]]
        assert mtu["severity"] == "error"
        assert mtu["fix"]
        assert done.returncode == 1
    finally:
        settled.on_node("systemctl start chrony; ip link set tunnel mtu 1500")


def test_prove_shows_a_token_over_tls(settled: Cloud) -> None:
    proof = json.loads(settled.run("prove", "--json", code=0).stdout)
    assert proof["tls"] == "TLSv1.3"
    assert ["identity", proof["url"]] in proof["services"] or "identity" in str(proof["services"])
    settled.on_node("systemctl stop keystone")
    assert "Traceback" not in settled.run("prove", code=1).stderr
    settled.apply()
