"""Carry a payload from the private folder to the module on the node, and its answer back, without Ansible seeing either."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Any, TextIO

from ansible.errors import AnsibleActionFail

VARIABLE, ENVIRONMENT, WAVE = "scs_private", "SCS_DEPLOY_PRIVATE", "scs_wave"
ENDED = "scs-deploy, which started this run, has ended"
_POLL_SECONDS = 0.02


def private_folder(task_vars: dict[str, Any]) -> Path:
    """Return the run's private folder; raise AnsibleActionFail when nobody said where it is."""
    folder = str(task_vars.get(VARIABLE) or os.environ.get(ENVIRONMENT, ""))
    if not folder:
        raise AnsibleActionFail(
            f"set the variable {VARIABLE} or the environment variable {ENVIRONMENT} to the run's private folder"
        )
    return Path(folder)


def await_turn(folder: Path, wave: int) -> None:
    """Wait until the controller knows what this wave shall do; raise AnsibleActionFail when it is not there any more."""
    ready = folder / "in" / str(wave)
    try:
        with (folder / "lock").open() as lock:
            while not ready.exists():
                if not _held(lock):
                    raise AnsibleActionFail(ENDED)
                time.sleep(_POLL_SECONDS)
    except FileNotFoundError as error:  # swept already
        raise AnsibleActionFail(ENDED) from error


def _held(lock: TextIO) -> bool:
    """Whether the controller lives: it holds this lock for as long."""
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def read_payload(folder: Path, wave: int, host: str) -> str | None:
    """Return what this host should be given, None when this wave does not ask it anything."""
    try:
        return (folder / "in" / str(wave) / host).read_text(encoding="ascii")
    except FileNotFoundError:
        return None


def write_answer(folder: Path, wave: int, host: str, answer: str) -> None:
    """Put the answer into ``out/<wave>/<host>``, readable by its owner only and never half-written."""
    target = folder / "out" / str(wave) / host
    target.parent.mkdir(mode=0o700, exist_ok=True)  # without parents: a folder that was swept does not come back
    new = target.with_name(f".{target.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(answer)
    new.replace(target)


def exchange(action: Any, module: str, task_vars: dict[str, Any]) -> str | None:
    """Run ``module`` on the node with its payload; return its answer, after writing it down, or None when there is no payload.

    A module that broke is an AnsibleActionFail; an unreachable host is Ansible's own exception and passes through.
    """
    host = task_vars["inventory_hostname"]
    folder, wave = private_folder(task_vars), int(task_vars.get(WAVE, 1))
    await_turn(folder, wave)
    payload = read_payload(folder, wave, host)
    if payload is None:
        return None
    done = action._execute_module(module_name=module, module_args={"payload": payload}, task_vars=task_vars)
    if "result" not in done:
        said = done.get("module_stderr") or done.get("exception") or ""
        lines = [line for line in str(said).splitlines() if line.strip()][-5:]
        raise AnsibleActionFail("; ".join([str(done.get("msg", "the module gave no answer")), *lines]))
    answer = str(done["result"])
    write_answer(folder, wave, host, answer)
    return answer


NO_PAYLOAD = {"skipped": True, "changed": False, "msg": "nothing is asked of this host in this run"}
