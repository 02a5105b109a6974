"""The load measurement's own parts that need no cloud: what it counts as failed, and the page that it makes of its figures."""

from __future__ import annotations

import random

from bench import load
from bench.clients import Call


def calls() -> list[Call]:
    good = [Call("network", "list", 200, float(second), 0.1) for second in range(100)]
    return [
        *good,
        Call("network", "port made", 503, 100.0, 2.0, "no server"),
        Call("compute", "list", 0, 50.0, 9.0, "gone"),
    ]


def test_whatever_is_no_success_is_told_with_how_often_it_happened() -> None:
    found = load.summary([*calls(), Call("network", "port made", 503, 101.0, 1.0, "no server")])
    assert found["failed"] == ["2 × network port made: 503 no server", "1 × compute list: 0 gone"]


def test_figures_are_those_of_each_api() -> None:
    found = load.summary(calls())
    assert found["apis"]["network"] == {"calls": 101, "per_second": 0.99, "p50": 0.1, "p99": 0.1}
    assert (found["calls"], found["seconds"]) == (102, 102.0)


def test_pauses_have_every_length_up_to_the_longest() -> None:
    chance = random.Random(1)  # noqa: S311 - lengths of pauses
    lengths = [length for length in (load.pause(chance) for _ in range(20000)) if length]
    assert 200 < len(lengths) < 600
    assert min(lengths) < 5
    assert 270 < max(lengths) <= load.LONGEST
    assert any(270 < length < 290 for length in lengths)
