"""Carry out the steps of one wave on this node, in order; a failed step stops exactly those that need it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from . import instances, jobs, owners, progress
from .engine import EngineError
from .failure import StepError, from_os_error
from .lock import Locked, node_lock
from .node import LocalNode, engine_failure
from .work import Failure, ImageStep, InstanceStep, JobStep, Outcome, RemoveStep, ResourcesStep, Result, Work, WorkStep

Finish = Callable[[], None]
"""What is left of a step once it has begun: waiting until the instance is healthy, the job has ended, or the owner has taken all."""


def converge(work: Work, node: LocalNode) -> Outcome:
    """Carry out work; what goes wrong on the node is data in its outcome."""
    try:
        with node_lock(node.host, work.holder, work.run), _Lanes() as lanes:
            run = _Run(node, progress.ProgressFile(node.host, work.progress), lanes)
            return Outcome(run.all(work.steps))
    except Locked as locked:
        return Outcome([Result(step.id, "skipped") for step in work.steps], locked.holder)
    except OSError as error:
        failure = from_os_error(error).told()
        return Outcome([Result(step.id, "failed", error=failure) for step in work.steps])


class _Lanes:
    """What owners of resources are told: one thing after the other each, the owners side by side."""

    def __init__(self) -> None:
        self._of: dict[str, ThreadPoolExecutor] = {}

    def __enter__(self) -> _Lanes:
        return self

    def __exit__(self, *_: object) -> None:
        for lane in self._of.values():
            lane.shutdown(cancel_futures=True)

    def begin(self, owner: str, action: Callable[[], None]) -> Finish:
        lane = self._of.setdefault(owner, ThreadPoolExecutor(1, owner))
        return lane.submit(action).result


class _Run:
    """The steps of one payload. Instances become healthy, jobs run and owners are told side by side; whoever needs one waits for it."""

    def __init__(self, node: LocalNode, told: progress.ProgressFile, lanes: _Lanes) -> None:
        self._node, self._told, self._lanes = node, told, lanes
        self._results: dict[str, Result] = {}
        self._waiting: dict[str, Callable[[], Result]] = {}

    def all(self, steps: Sequence[WorkStep]) -> list[Result]:
        for step in steps:
            for need in step.needs:
                self._settle(need)
            missing = [one for one in step.needs if one in self._results and self._results[one].status != "ok"]
            if missing:
                self._note(_blocked(step, missing))
            else:
                self._begin(step)
        for name in list(self._waiting):
            self._settle(name)
        return [self._results[step.id] for step in steps]

    def _begin(self, step: WorkStep) -> None:
        began, done, finish = self._node.host.now(), list[str](), list[Finish]()
        error = _attempt(lambda: finish.extend(_carry_out(self._node, step, done, self._lanes)))

        def end() -> Result:
            failure = error or next((found for one in finish if (found := _attempt(one))), None)
            seconds = round(self._node.host.now() - began, 3)
            return Result(step.id, "failed" if failure else "ok", done, seconds, failure)

        if error or not finish:
            self._note(end())
        else:
            self._waiting[step.id] = end

    def _settle(self, name: str) -> None:
        end = self._waiting.pop(name, None)
        if end:
            self._note(end())

    def _note(self, result: Result) -> None:
        self._results[result.id] = result
        self._told.tell(result)


def _attempt(action: Callable[[], None]) -> Failure | None:
    """Do something; return what went wrong as data."""
    try:
        action()
    except StepError as failure:
        return failure.told()
    except EngineError as failure:
        return engine_failure(failure).told()
    except OSError as failure:
        return from_os_error(failure).told()
    except Exception as failure:  # noqa: BLE001 - a bug in one step must neither hide its own result nor stop the others
        lines = traceback.format_exc().splitlines()[-15:]
        why, fix = (
            f"{type(failure).__name__}: {failure}",
            "this is a bug of scs-deploy: please report it with the lines below",
        )
        return StepError("the step broke off", why=why, fix=fix, log=lines).told()
    return None


def _carry_out(node: LocalNode, step: WorkStep, done: list[str], lanes: _Lanes) -> list[Finish]:
    """Make the changes of a step; return what is left to wait for."""
    match step:
        case InstanceStep():
            return [instances.converge_instance(node, step, done)]
        case RemoveStep():
            instances.remove_instance(node, step, done)
        case JobStep():
            return [jobs.start_job(node, step, done)]
        case ResourcesStep():
            return [lanes.begin(step.owner, lambda: owners.apply_changes(node.host, step, done))]
        case ImageStep():
            done += filter(None, [node.need_image(step.image, step.reference)])
    return []


def _blocked(step: WorkStep, needs: list[str]) -> Result:
    error = StepError("not tried", why=f"it needs {', '.join(needs)}", fix="see the error there").told()
    return Result(step.id, "blocked", error=error, by=needs)
