"""Plain ansible-playbook gives the same end state as the program, is idempotent, and is never green after a failure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from proofs.deployment import REPOSITORY, Cloud, Done, core_only

CHANGES: dict[str, Any] = {
    "memcached": {"settings": {"memory_mb": 56}},
    "haproxy": {"settings": {"check_seconds": 5}},
    "keystone": {"settings": {"notifications": True}},
}


def playbook(cloud: Cloud) -> Done:
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), "-i", str(cloud.file), "playbooks/site.yml"]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def changed(done: Done) -> int:
    assert done.returncode == 0, done.stdout + done.stderr
    return int(re.findall(r"changed=(\d+)", done.stdout)[0])


def test_plain_ansible_ends_where_the_program_does(settled: Cloud) -> None:
    plain = settled.state()
    with settled.services(**CHANGES):
        settled.apply()
        by_program = settled.state()["end"]
    settled.apply()
    with settled.services(**CHANGES):
        assert changed(playbook(settled)) == 1
        by_ansible = settled.state()
        assert by_ansible["end"] == by_program
        assert changed(playbook(settled)) == 0
        assert settled.state() == by_ansible
        settled.assert_settled()
    assert changed(playbook(settled)) == 1
    assert settled.state()["end"] == plain["end"]


def test_plain_ansible_is_never_green_after_a_failure(settled: Cloud) -> None:
    before = settled.state()["end"]
    broken = {"config": {"/etc/mysql/mariadb.cnf": {"replace": "oops = 1\n"}}}
    with settled.edited(lambda data: data.update(patience=0.2, services=core_only(mariadb=broken))):
        done = playbook(settled)
        assert done.returncode != 0
        assert "without preceding group" in done.stdout
        assert "n1/mariadb" in done.stdout
    settled.apply()
    assert settled.state()["end"] == before
