"""One-shot containers: announced, run to the end, recorded as done; a killed run leaves nothing that a second one trips over."""

from __future__ import annotations

import re
from collections.abc import Callable

from . import records
from .engine import Ended, EngineError
from .failure import StepError
from .node import LocalNode, engine_failure
from .paths import LABEL_JOB
from .work import JobStep


def start_job(node: LocalNode, step: JobStep, done: list[str]) -> Callable[[], None]:
    """Begin a job step; return what waits for its end and records it, raising StepError with the job's last log lines."""
    name, container, timeout = step.name, step.container, step.timeout
    node.need_image(container.image, container.image)
    try:
        if not node.engine.await_gone(container.name, timeout):
            raise StepError(
                f"job {name} of an earlier run has not ended within {timeout:.0f} s",
                why=f"its container {container.name} still runs",
                fix="wait for it, or remove the container on the node, then apply again",
            )
        records.write_job(node.host, name, "started", step.digest, step.instance)
        end = node.engine.start_job(container, {LABEL_JOB: name}, timeout, pids_limit(node))
    except EngineError as error:
        raise engine_failure(error) from error

    def finish() -> None:
        try:
            ended = end()
        except EngineError as error:
            raise engine_failure(error) from error
        _check(name, timeout, ended)
        records.write_job(node.host, name, "done", step.digest, step.instance)
        done.append(f"ran job {name}")

    return finish


def _check(name: str, timeout: float, ended: Ended) -> None:
    if ended.code is None:
        raise StepError(
            f"job {name} did not end within {timeout:.0f} s",
            why="it was stopped at its time limit",
            fix="the log lines say where it stood; a slow machine needs a larger `patience` in region.yml",
            log=ended.log,
        )
    if ended.code:
        raise StepError(
            f"job {name} failed",
            why=": ".join((f"exit code {ended.code}", *_cause(ended.log))),
            fix="the log lines say why; then apply again",
            log=ended.log,
        )


def _cause(log: list[str]) -> list[str]:
    """The line of a Python traceback that says what happened, if there is one; the last counts."""
    found = (re.search(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception): \S.*", line) for line in reversed(log))
    return [match.group() for match in found if match][:1]


def pids_limit(node: LocalNode) -> int | None:
    """0 (no limit) where the node's cgroups have no pids controller: a limit would stop the container from starting."""
    controllers = node.host.read("/sys/fs/cgroup/cgroup.controllers").split()
    return None if "pids" in controllers else 0
