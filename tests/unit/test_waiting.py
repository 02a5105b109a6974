"""Waiting ends with the first answer that counts, or with the last one when time is up."""

from __future__ import annotations

import pytest

from scs_deploy.machine import waiting
from scs_deploy.machine.waiting import wait_for


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses so far; time passes in them alone."""
    pauses: list[float] = []
    monkeypatch.setattr(waiting.time, "sleep", pauses.append)
    monkeypatch.setattr(waiting.time, "monotonic", lambda: sum(pauses))
    return pauses


@pytest.mark.parametrize("answer", ["here", 0, "", {}])
def test_the_first_answer_that_is_there_ends_it_even_an_empty_one(clock: list[float], answer: object) -> None:
    answers = iter([None, False, answer, "later"])
    assert wait_for(lambda: next(answers), 60, pause=2) == answer
    assert clock == [2, 2]


def test_time_is_up_after_a_last_answer(clock: list[float]) -> None:
    assert wait_for(lambda: None, 3, pause=2) is None
    assert clock == [2, 2]


def test_it_is_asked_at_least_once(clock: list[float]) -> None:
    assert wait_for(lambda: "here", -1) == "here"
    assert clock == []
