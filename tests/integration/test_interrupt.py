"""Killed at any moment, then run again: the same end state as without the kill; Ctrl-C ends cleanly."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.deployment import Cloud, until

CHANGES: dict[str, Any] = {
    "memcached": {"settings": {"memory_mb": 72}},
    "rabbitmq": {"settings": {"log_level": "warning"}},
    "haproxy": {"settings": {"check_seconds": 3}},
    "mariadb": {"settings": {"max_connections": 500}},
    "keystone": {"settings": {"token_minutes": 45, "notifications": True}},
}
FEW = {name: CHANGES[name] for name in ("memcached", "mariadb", "haproxy")}
SEED, KILLS = 20260, 3
LOCK = "/var/lib/scs-deploy/state/lock"


def family(pid: int) -> list[int]:
    """A process and everything it started, however it grouped that."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        found.append(one := todo.pop())
        todo += children.get(one, [])
    return found


def kill(process: subprocess.Popen[str]) -> None:
    for pid in family(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def applied_after_all(cloud: Cloud) -> None:
    """Apply again; as long as the module of the killed run is still at work on the node, that is refused by name."""

    def again() -> bool:
        done = cloud.run("apply", "--yes")
        if done.returncode:
            assert "another run is changing this node" in done.stderr, done.stdout + done.stderr
            assert "held by" in done.stderr
        return done.returncode == 0

    until(again, "an apply after the kill went through", 180)


def test_killed_at_any_moment_the_next_apply_ends_where_an_undisturbed_one_does(settled: Cloud) -> None:
    plain = settled.state()["end"]
    with settled.services(**CHANGES):
        began = time.monotonic()
        settled.apply()
        whole = time.monotonic() - began
        changed = settled.state()["end"]
    assert changed != plain

    moments = random.Random(SEED)  # noqa: S311 - reproducible, not secret
    for number in range(KILLS):
        there = number % 2 == 1  # the region is as changed before the first kill
        with settled.services(**(CHANGES if there else {})):
            process = settled.start("apply", "--yes")
            moment = moments.uniform(0.25, 0.95) * whole
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=moment)
            kill(process)
            applied_after_all(settled)
            assert settled.state()["end"] == (changed if there else plain), f"killed after {moment:.1f} s"
            settled.assert_settled()
    assert settled.private_folders() == []


def test_the_module_killed_on_the_node_is_a_failure_that_the_next_apply_repairs(settled: Cloud) -> None:
    plain = settled.state()["end"]
    with settled.services(**FEW):
        settled.on_node(f"rm -f {LOCK}")
        process = settled.start("apply", "--yes")
        work = "import json; print(json.load(open('" + LOCK + "'))['pid'])"
        pid = until(lambda: settled.try_on_node(f'python3 -c "{work}"').stdout.strip(), "the module works", 60, 0.05)
        settled.on_node(f"kill -9 {pid}")
        out, err = process.communicate(timeout=120)
        assert process.returncode == 1, out + err
        assert "Traceback" not in out + err
        settled.apply()
        settled.assert_settled()
    settled.apply()
    assert settled.state()["end"] == plain


def test_ctrl_c_says_what_is_so_and_leaves_nothing_behind(settled: Cloud) -> None:
    with settled.services(**FEW):
        process = settled.start("apply", "--yes")
        until(settled.private_folders, "Ansible was started")
        until(lambda: settled.try_on_node(f"flock --nonblock {LOCK} true").returncode, "the node is at work", 60, 0.1)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, out + err
        assert "interrupted" in err
        assert "run the same command again" in err
        assert "Traceback" not in out + err
        assert settled.private_folders() == []
        applied_after_all(settled)
        settled.assert_settled()
    settled.apply()
