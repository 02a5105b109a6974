"""Killed at any moment, then run again: the same end state as without the kill; Ctrl-C ends cleanly. Many more: proofs/kills."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from proofs.deployment import Cloud, applied_after_all, until
from proofs.kills.moment import LOCK
from proofs.kills.points import CONTROLLER, MODULE, ORPHAN, POWER, RESET, Point, points
from proofs.kills.targets import PLAIN, SETTINGS
from proofs.kills.walk import Walk

SEED = 20260
KILLS = (CONTROLLER, ORPHAN, MODULE, POWER, RESET)
"""One point of each kind; a cable that is pulled takes a minute until ssh gives up, so it is left to proofs/kills."""

TARGETS = {one.name: one for one in (PLAIN, SETTINGS)}
POINTS = list(points(SEED, len(KILLS), list(TARGETS), KILLS))
FEW = {name: SETTINGS.services[name] for name in ("memcached", "mariadb", "haproxy")}


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


@pytest.fixture(scope="module")
def walk(cloud: Cloud) -> Iterator[Walk]:
    """The ends of undisturbed runs are known."""
    made = Walk(cloud, TARGETS, cloud.store.state / "kills", print)
    made.undisturbed()
    yield made
    made.go(PLAIN)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.number}-{point.kill}-{point.phase}")
def test_killed_at_any_moment_the_next_apply_ends_where_an_undisturbed_one_does(walk: Walk, point: Point) -> None:
    outcome = walk.visit(point)
    print(outcome)
    assert not outcome.why, str(outcome)
