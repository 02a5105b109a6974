"""Carry out the steps of one wave on this node, in order; a failed step stops exactly those that need it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from . import instances, jobs, owners, progress, wire
from .engine import EngineError
from .failure import StepError, from_os_error
from .lock import Locked, node_lock
from .node import Node, engine_failure

Finish = Callable[[], None]
"""What is left of a step once it has brought its changes into force: waiting until the instance is healthy, or the job has ended."""


def converge(payload: dict[str, Any], node: Node) -> dict[str, Any]:
    """Return the answer to a converge payload (docs/contracts.md); what goes wrong on the node is data in it."""
    steps = payload["steps"]
    try:
        with node_lock(node.host, payload.get("holder", ""), payload.get("run", "")):
            run = _Run(node, progress.Progress(node.host, payload.get("progress", "")))
            return {"v": wire.VERSION, "results": run.all(steps), "lock": None}
    except Locked as locked:
        return {"v": wire.VERSION, "results": [_result(step, "skipped") for step in steps], "lock": locked.holder}
    except OSError as error:
        failure = from_os_error(error).as_data()
        return {"v": wire.VERSION, "results": [_result(step, "failed", error=failure) for step in steps], "lock": None}


class _Run:
    """The steps of one payload. Instances become healthy and jobs run side by side; whoever needs one waits for it."""

    def __init__(self, node: Node, told: progress.Progress) -> None:
        self._node, self._told = node, told
        self._results: dict[str, dict[str, Any]] = {}
        self._waiting: dict[str, Callable[[], dict[str, Any]]] = {}

    def all(self, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for step in steps:
            for need in step.get("needs", []):
                self._settle(need)
            missing = [
                one for one in step.get("needs", []) if self._results.get(one, {"status": "ok"})["status"] != "ok"
            ]
            if missing:
                self._note(_blocked(step, missing))
            else:
                self._begin(step)
        for name in list(self._waiting):
            self._settle(name)
        return [self._results[step["id"]] for step in steps]

    def _begin(self, step: dict[str, Any]) -> None:
        began, done, finish = self._node.host.now(), list[str](), list[Finish]()
        error = _attempt(lambda: finish.extend(_carry_out(self._node, step, done)))

        def end() -> dict[str, Any]:
            failure = error or next((found for one in finish if (found := _attempt(one))), None)
            seconds = round(self._node.host.now() - began, 3)
            return _result(step, "failed" if failure else "ok", done, seconds, failure)

        if error or not finish:
            self._note(end())
        else:
            self._waiting[step["id"]] = end

    def _settle(self, name: str) -> None:
        end = self._waiting.pop(name, None)
        if end:
            self._note(end())

    def _note(self, result: dict[str, Any]) -> None:
        self._results[result["id"]] = result
        self._told.tell(result)


def _attempt(action: Callable[[], None]) -> dict[str, Any] | None:
    """Do something; return what went wrong as data."""
    try:
        action()
    except StepError as failure:
        return failure.as_data()
    except EngineError as failure:
        return engine_failure(failure).as_data()
    except OSError as failure:
        return from_os_error(failure).as_data()
    except Exception as failure:  # noqa: BLE001 - a bug in one step must neither hide its own result nor stop the others
        lines = traceback.format_exc().splitlines()[-15:]
        why, fix = (
            f"{type(failure).__name__}: {failure}",
            "this is a bug of scs-deploy: please report it with the lines below",
        )
        return StepError("the step broke off", why=why, fix=fix, log=lines).as_data()
    return None


def _carry_out(node: Node, step: dict[str, Any], done: list[str]) -> list[Finish]:
    """Make the changes of a step; return what is left to wait for."""
    kind = step["kind"]
    if kind == "instance":
        if step["action"] == "remove":
            instances.remove_instance(node, step, done)
            return []
        return [instances.converge_instance(node, step, done)]
    if kind == "job":
        return [jobs.start_job(node, step, done)]
    if kind == "resources":
        owners.apply_changes(node.host, step, done)
    elif kind == "image":
        done += filter(None, [node.need_image(step["image"], step["reference"])])
    else:
        raise StepError(
            f"this node side knows no step of kind {kind!r}", fix="controller and collection differ in version"
        )
    return []


def _blocked(step: dict[str, Any], needs: list[str]) -> dict[str, Any]:
    error = StepError("not tried", why=f"it needs {', '.join(needs)}", fix="see the error there").as_data()
    return {**_result(step, "blocked", error=error), "by": needs}


def _result(
    step: dict[str, Any],
    status: str,
    done: list[str] | None = None,
    seconds: float = 0.0,
    error: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {"id": step["id"], "status": status, "done": done or [], "seconds": seconds, "error": error}
