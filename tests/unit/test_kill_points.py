"""Kill points are the same for the same seed, hold every kind of kill, and the table counts them."""

from __future__ import annotations

from collections import Counter

import pytest

from proofs.kills import __main__ as kills
from proofs.kills import moment, points, targets

FIFTY = list(points.points(1, 50, list(targets.CORE)))


def test_a_seed_gives_the_same_points_and_a_longer_walk_begins_like_a_shorter_one() -> None:
    assert list(points.points(1, 50, list(targets.CORE))) == FIFTY
    assert list(points.points(1, 7, list(targets.CORE))) == FIFTY[:7]
    assert list(points.points(2, 50, list(targets.CORE))) != FIFTY


def test_fifty_points_hold_every_kill_every_phase_and_every_target() -> None:
    assert Counter(one.kill for one in FIFTY) == Counter(points.BLOCK * 5)
    assert {one.phase for one in FIFTY} == set(points.PHASES)
    assert {one.target for one in FIFTY} == set(targets.CORE)


@pytest.mark.parametrize("seed", range(20))
def test_each_point_changes_something(seed: int) -> None:
    where = targets.PLAIN.name
    for point in points.points(seed, 50, list(targets.CORE)):
        assert point.target != where
        assert not (point.kill == points.RESET and point.target == targets.NOTHING.name)
        where = point.target


def test_a_step_is_known_by_its_identity() -> None:
    jobs = frozenset({"keystone-bootstrap"})
    assert moment.kind("n1/keystone-bootstrap", jobs) == moment.JOB
    assert moment.kind("n1/keystone", jobs) == moment.INSTANCE
    assert moment.kind("n1/mariadb resources of keystone", jobs) == moment.RESOURCES


def row(kill: str, phase: str, why: list[str]) -> dict[str, object]:
    return {"point": {"kill": kill, "target": "plain"}, "phase": phase, "why": why, "again": 1, "seconds": 20.0}


def test_the_table_counts_points_and_those_that_ended_alike() -> None:
    rows = [
        row(points.CONTROLLER, points.SENDING, []),
        row(points.CONTROLLER, moment.JOB, ["n1 > files"]),
        row(points.RESET, moment.JOB, []),
    ]
    lines = kills.table(rows)
    assert {len(line) for line in lines} == {len(kills.HEAD)}
    assert lines[0][0].startswith("controller: ")
    assert lines[0][1:] == ["", "1", "1", "", "", "2", "1", "2", "20"]
    assert lines[-1] == ["**all**", "", "1", "2", "", "", "3", "2", "3", "20"]
