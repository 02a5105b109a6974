"""Carry out the steps of one wave on this node, in order; a failed step stops exactly those that need it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from . import instances, jobs, owners, wire
from .engine import EngineError
from .failure import StepError, from_os_error
from .lock import Locked, node_lock
from .node import Node, engine_failure


def converge(payload: dict[str, Any], node: Node) -> dict[str, Any]:
    """Return the answer to a converge payload (docs/contracts.md); what goes wrong on the node is data in it."""
    steps = payload["steps"]
    try:
        with node_lock(node.host, payload.get("holder", ""), payload.get("run", "")):
            return {"v": wire.VERSION, "results": _run_all(node, steps), "lock": None}
    except Locked as locked:
        return {"v": wire.VERSION, "results": [_result(step, "skipped") for step in steps], "lock": locked.holder}
    except OSError as error:
        failure = from_os_error(error).as_data()
        return {"v": wire.VERSION, "results": [_result(step, "failed", error=failure) for step in steps], "lock": None}


def _run_all(node: Node, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    results: dict[str, dict[str, Any]] = {}
    for step in steps:
        missing = [need for need in step.get("needs", []) if need in results and results[need]["status"] != "ok"]
        results[step["id"]] = _blocked(step, missing) if missing else _run(node, step)
    return list(results.values())


def _run(node: Node, step: dict[str, Any]) -> dict[str, Any]:
    began, done = node.host.now(), list[str]()
    error = None
    try:
        _carry_out(node, step, done)
    except StepError as failure:
        error = failure.as_data()
    except EngineError as failure:
        error = engine_failure(failure).as_data()
    except OSError as failure:
        error = from_os_error(failure).as_data()
    except Exception as failure:  # noqa: BLE001 - a bug in one step must neither hide its own result nor stop the others
        lines = traceback.format_exc().splitlines()[-15:]
        why, fix = (
            f"{type(failure).__name__}: {failure}",
            "this is a bug of scs-deploy: please report it with the lines below",
        )
        error = StepError("the step broke off", why=why, fix=fix, log=lines).as_data()
    status = "ok" if error is None else "failed"
    return _result(step, status, done, round(node.host.now() - began, 3), error)


def _carry_out(node: Node, step: dict[str, Any], done: list[str]) -> None:
    kinds: dict[str, Callable[[], None]] = {
        "instance": lambda: _instance(node, step, done),
        "job": lambda: jobs.run_job(node, step, done),
        "resources": lambda: owners.apply_changes(node.host, step, done),
        "image": lambda: node.need_image(step["image"], step["reference"]),
    }
    if step["kind"] not in kinds:
        raise StepError(
            f"this node side knows no step of kind {step['kind']!r}", fix="controller and collection differ in version"
        )
    kinds[step["kind"]]()


def _instance(node: Node, step: dict[str, Any], done: list[str]) -> None:
    carry_out = instances.remove_instance if step["action"] == "remove" else instances.converge_instance
    carry_out(node, step, done)


def _blocked(step: dict[str, Any], needs: list[str]) -> dict[str, Any]:
    error = StepError("not tried", why=f"it needs {', '.join(needs)}", fix="see the error there").as_data()
    return _result(step, "blocked", error=error)


def _result(
    step: dict[str, Any],
    status: str,
    done: list[str] | None = None,
    seconds: float = 0.0,
    error: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {"id": step["id"], "status": status, "done": done or [], "seconds": seconds, "error": error}
