"""Waiting for what happens elsewhere. An own function, as a library (tenacity) would be a dependency in place of four lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], seconds: float, pause: float = 0.1) -> T | None:
    """The first answer that is neither None nor False, or the last one when time is up; it is asked at least once.

    ``seconds`` until no new answer is asked for, ``pause`` in seconds between two.
    """
    deadline = time.monotonic() + seconds
    while (answer := condition()) is None or answer is False:
        if time.monotonic() > deadline:
            break
        time.sleep(pause)
    return answer
