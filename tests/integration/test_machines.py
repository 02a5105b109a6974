"""What operators' machines and nodes are like: hostile shells, proxies, other names, many keys, rules that would shut us out."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proofs.deployment import Cloud, Done
from scs_deploy.lab import container

ANN: dict[str, Any] = {
    "name": "ann",
    "keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE4Tg7wKJPF1vKVTJbdnCuMzOo9cfWHyvdWxtAGWFBDe"],
}


@contextmanager
def on_the_node(cloud: Cloud, do: str, undo: str) -> Iterator[None]:
    cloud.on_node(do)
    try:
        yield
    finally:
        cloud.on_node(undo)


def anew(cloud: Cloud) -> None:
    """End the shared connection, so that the next command logs in."""
    with cloud.reached() as fleet:
        for connection in fleet.connections.values():
            command = ["ssh", "-o", f"ControlPath={connection.control_path}", "-O", "exit", connection.host]
            subprocess.run(command, check=False, capture_output=True)


def told(cloud: Cloud, *words: str, shell: dict[str, str], before: Callable[[], None] | None = None) -> Done:
    process = cloud.start(*words, env=shell, preexec_fn=before, stdin=None)
    out, err = process.communicate(timeout=600)
    return Done(list(words), process.returncode, out, err)


def test_a_hostile_shell_plans_and_applies_like_any_other(settled: Cloud, tmp_path: Path) -> None:
    shell = {
        "LC_ALL": "C", "LANG": "de_DE.UTF-8", "ANSIBLE_VAULT_PASSWORD_FILE": ".vault", "ANSIBLE_STRATEGY": "none",
        "ANSIBLE_LOG_PATH": str(tmp_path / "log"), "ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_PIPELINING": "0",
        "TMPDIR": "/gone",
    }  # fmt: skip
    with settled.services(memcached={"settings": {"memory_mb": 57}}):
        assert told(settled, "plan", "--detailed-exitcode", shell=shell).returncode == 4
        nobody = told(settled, "apply", shell=shell, before=lambda: os.close(0))
        assert (nobody.returncode, "no terminal to ask on" in nobody.stderr) == (2, True), nobody.stderr
        assert "--yes" in nobody.stderr
        done = told(settled, "apply", "--yes", shell=shell)
        assert done.returncode == 0, done.stderr
    settled.apply()
    assert list(tmp_path.iterdir()) == []
    assert settled.on_node("find /root/.ansible -type f 2>/dev/null || true") == ""


def test_a_proxy_for_everybody_on_the_node_is_not_for_us(settled: Cloud) -> None:
    lines = "\n".join(
        f"{name}=http://192.0.2.1:3128" for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy")
    )
    with on_the_node(
        settled,
        f"cp /etc/environment /root/was; printf '{lines}\n' >>/etc/environment",
        "mv /root/was /etc/environment",
    ):
        anew(settled)
        assert "192.0.2.1" in settled.on_node("env"), "the node gives it to who logs in"
        settled.assert_settled()
        with settled.services(keystone={"settings": {"notifications": True}}):
            settled.apply()
        settled.apply()
        assert (
            settled.on_node("for one in $(podman ps -q); do podman exec $one env; done | grep -ci 192.0.2.1 || true")
            == "0"
        )
    anew(settled)


def test_an_agent_with_many_keys_gets_in(settled: Cloud, tmp_path: Path) -> None:
    wrong = [tmp_path / f"key{number}" for number in range(9)]
    for key in wrong:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    keys = " ".join(map(str, [*wrong, settled.lab.files.private_key]))
    where = f"-o StrictHostKeyChecking=yes -o UserKnownHostsFile={settled.lab.files.known_hosts} root@{settled.lab.address('n1')}"
    script = f"ssh-add -q {keys} && ssh -F none -o BatchMode=yes {where} echo in"
    command = [*settled.lab.prefix(), "ssh-agent", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "in\n", done.stderr


def test_a_node_is_no_router(settled: Cloud) -> None:
    assert settled.on_node("sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding").split() == ["0", "0"]


def test_the_last_one_who_can_log_in_is_not_locked_out(settled: Cloud) -> None:
    rule = "/etc/ssh/sshd_config.d/50-others.conf"
    before = settled.on_node("sha256sum /etc/ssh/scs-authorized-keys /etc/sudoers.d/scs-deploy")
    with settled.services(node={"settings": {"users": [ANN]}}):
        with on_the_node(settled, f"echo 'AllowUsers eve' >{rule}", f"rm {rule}"):
            refused = settled.apply(code=1)
            assert "root from" in refused.stderr
            assert "would not get in again: allowusers is eve" in refused.stderr
            assert settled.on_node("sha256sum /etc/ssh/scs-authorized-keys /etc/sudoers.d/scs-deploy") == before
            anew(settled)
            settled.run("plan", code=0)
        settled.apply()
        settled.assert_settled()
    with no_key_of_root(settled):
        assert "no list has the key SHA256:" in settled.apply(code=1).stderr
    settled.apply()


@contextmanager
def no_key_of_root(cloud: Cloud) -> Iterator[None]:
    """From outside the node, since nobody can log in meanwhile; the connection that is open stays."""
    there = container.listed(cloud.lab.names)[cloud.node]
    inside = ["nsenter", "--mount", f"--target={there.pid}", "--", "mv"]
    subprocess.run([*inside, "/root/.ssh/authorized_keys", "/root/was"], check=True)
    try:
        yield
    finally:
        subprocess.run([*inside, "/root/was", "/root/.ssh/authorized_keys"], check=True)


def test_a_machine_is_called_like_its_node_and_never_renamed_under_services(settled: Cloud) -> None:
    names = "hostname; cat /etc/hostname"
    assert settled.on_node(names).split() == ["n1", "n1"]
    with on_the_node(settled, "hostname debian", "hostname n1"):
        assert "the machine is called debian" in settled.run("preflight", "--json").stdout
        assert "it is called debian" in settled.run("plan").stdout
        settled.apply()  # services know it by the right name
        assert settled.on_node(names).split() == ["n1", "n1"]
    others = """#!/bin/sh
[ "$1" != ps ] || echo one
[ "$1" != inspect ] || echo debian
"""
    with on_the_node(
        settled, "hostname debian; mkdir /root/others", "hostname n1; rm -r /root/others; echo n1 >/etc/hostname"
    ):
        settled.on_node("cat >/root/others/podman; chmod +x /root/others/podman", others)
        refused = settled.try_on_node("PATH=/root/others:$PATH /etc/scs-deploy/node-hostname/apply.sh n1 podman")
        assert refused.returncode == 1
        assert "this machine is called debian, and services that run here are known by that name" in refused.stderr
        assert settled.on_node(names).split() == ["debian", "debian"]


@pytest.mark.parametrize("file", ["/etc/cloud/cloud.cfg.d/99-scs-deploy.cfg"])
def test_cloud_init_leaves_our_files_alone(settled: Cloud, file: str) -> None:
    assert "manage_etc_hosts: false" in settled.on_node(f"cat {file}")
    assert (
        settled.on_node("tail -n +2 /etc/cloud/templates/hosts.debian.tmpl | cmp - /etc/hosts && echo same") == "same"
    )
