"""What a killed run left of a job does not keep the next one waiting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import engine_sdk


class NotFoundError(Exception):
    pass


@dataclass
class Container:
    """Passes through ``states``, one at each look, and stays in the last."""

    states: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)
    removed: bool = False

    def reload(self) -> None:
        self.attrs = {"State": {"Status": self.states[0], "ExitCode": 0}}
        self.states[:] = self.states[1:] or self.states

    def remove(self, *, force: bool, v: bool) -> None:
        self.removed = force and v


class Engine(engine_sdk.SdkEngine):
    not_found = (NotFoundError,)
    failures = (ConnectionError,)

    def __init__(self, container: Container | None) -> None:
        self.container = container

    def get(self, name: str) -> Any | None:
        return self.container


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Seconds that were waited."""
    waited: list[float] = []
    monkeypatch.setattr(engine_sdk.time, "sleep", waited.append)
    monkeypatch.setattr(engine_sdk.time, "monotonic", lambda: sum(waited))
    return waited


@pytest.mark.parametrize("state", ["created", "configured", "initialized", "exited", "dead"])
def test_a_job_that_does_not_run_is_removed_at_once(state: str, clock: list[float]) -> None:
    container = Container([state])
    assert Engine(container).await_gone("scs-job", 300)
    assert container.removed
    assert clock == []


def test_a_job_that_runs_is_awaited(clock: list[float]) -> None:
    container = Container(["running", "running", "exited"])
    assert Engine(container).await_gone("scs-job", 300)
    assert container.removed
    assert len(clock) == 2


def test_a_job_that_does_not_end_stays() -> None:
    container = Container(["running"])
    assert not Engine(container).await_gone("scs-job", 3)
    assert not container.removed


def test_no_job_is_gone() -> None:
    assert Engine(None).await_gone("scs-job", 300)
