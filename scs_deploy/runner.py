"""The only module that starts Ansible: one playbook over some nodes, payloads in, answers out, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner

from scs_deploy import paths
from scs_deploy.errors import DeployError, Interrupted
from scs_deploy.ssh import Connection

_PREFIX = "run-"
FORKS = 50

Answer = Mapping[str, Any]
OnNode = Callable[[str, str], None]
"""Called with node and one of ``ok``, ``failed``, ``unreachable`` as answers come in."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Node -> answer of the module; nodes that could not be reached, with the reason."""

    answers: Mapping[str, Answer]
    unreachable: Mapping[str, str]
    failed: Mapping[str, str]
    """Reached, but the module itself gave no answer: node -> why."""


def sweep() -> None:
    """Remove private folders of runs that were killed."""
    for folder in _root().glob(f"{_PREFIX}*"):
        owner = folder / "pid"
        try:
            pid = int(owner.read_text())
        except (OSError, ValueError):
            pid = 0
        if not pid or not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def run(
    playbook: str,
    connections: Mapping[str, Connection],
    payloads: Mapping[str, Mapping[str, Any]],
    on_node: OnNode | None = None,
) -> Answers:
    """Run ``playbooks/<playbook>`` against the nodes that have a payload.

    Raises ``Interrupted`` on Ctrl-C and ``DeployError`` when Ansible itself cannot work.
    """
    if not payloads:
        return Answers({}, {}, {})
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_root()))
    try:
        (folder / "pid").write_text(str(os.getpid()))
        return _run(folder, playbook, connections, payloads, on_node)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _root() -> Path:
    root = paths.state_dir() / "private"
    root.mkdir(mode=0o700, exist_ok=True)
    return root


def _run(
    folder: Path,
    playbook: str,
    connections: Mapping[str, Connection],
    payloads: Mapping[str, Mapping[str, Any]],
    on_node: OnNode | None,
) -> Answers:
    for name in ("in", "out", "inventory", "tmp"):
        (folder / name).mkdir(mode=0o700)
    hosts: dict[str, Any] = {}
    for name, payload in payloads.items():
        (folder / "in" / f"{name}.json").write_text(json.dumps(payload))
        hosts[name] = connections[name].ansible_vars()
    inventory = {
        "all": {"hosts": hosts, "vars": {"ansible_python_interpreter": "/usr/bin/python3", "scs_private": str(folder)}}
    }
    (folder / "inventory" / "hosts.json").write_text(json.dumps(inventory))
    collected = _Collected(on_node)
    interrupted = threading.Event()
    previous = _on_signal(interrupted)
    try:
        ansible_runner.interface.run(
            private_data_dir=str(folder),
            playbook=str(paths.share_dir() / "playbooks" / playbook),
            inventory=str(folder / "inventory" / "hosts.json"),
            envvars=_environment(folder, len(payloads)),
            event_handler=collected.event,
            cancel_callback=interrupted.is_set,
            quiet=True,
            suppress_env_files=True,
        )
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if interrupted.is_set():
        raise Interrupted(
            "interrupted",
            why="a module that is already running on a node finishes what it was given",
            fix="run the same command again: it goes on where this one stopped",
        )
    return collected.answers(folder, payloads)


def _on_signal(interrupted: threading.Event) -> dict[int, Any]:
    """Let Ctrl-C and SIGTERM end Ansible cleanly instead of tearing threads apart."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, lambda *_: interrupted.set()) for number in (signal.SIGINT, signal.SIGTERM)}


def _environment(folder: Path, count: int) -> dict[str, str]:
    return {
        "ANSIBLE_CONFIG": str(paths.share_dir() / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(Path(__file__).parent),
        "ANSIBLE_FORKS": str(min(FORKS, count)),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_HOST_KEY_CHECKING": "1",
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_TIMEOUT": "15",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "SCS_DEPLOY_PRIVATE": str(folder),
    }


class _Collected:
    """Reads the events of one run."""

    def __init__(self, on_node: OnNode | None) -> None:
        self._on_node = on_node or (lambda node, state: None)
        self._unreachable: dict[str, str] = {}
        self._failed: dict[str, str] = {}
        self._said: list[str] = []

    def event(self, event: Mapping[str, Any]) -> bool:
        data = event.get("event_data") or {}
        host, kind = data.get("host"), event.get("event")
        result = data.get("res") or {}
        if kind == "runner_on_unreachable" and host:
            self._unreachable[host] = str(result.get("msg", "unreachable")).strip()
            self._on_node(host, "unreachable")
        elif kind == "runner_on_failed" and host:
            self._failed[host] = _reason(result)
            self._on_node(host, "failed")
        elif kind == "runner_on_ok" and host:
            self._on_node(host, "ok")
        elif not host and event.get("stdout"):
            self._said.append(str(event["stdout"]))
        return False  # keep no event files

    def answers(self, folder: Path, payloads: Mapping[str, Any]) -> Answers:
        answers: dict[str, Answer] = {}
        failed: dict[str, str] = {}
        for name in payloads:
            path = folder / "out" / f"{name}.json"
            if path.exists():
                answers[name] = json.loads(path.read_text())
            elif name not in self._unreachable:
                failed[name] = self._failed.get(name, "Ansible ended without an answer of this node")
        if failed and not answers and not self._unreachable and not self._failed:
            raise DeployError(
                "Ansible did not run",
                why="\n".join(self._said[-5:]),
                fix="run again with -v; see docs/troubleshooting.md",
            )
        return Answers(answers, self._unreachable, failed)


def _reason(result: Mapping[str, Any]) -> str:
    parts = [str(result.get(key, "")).strip() for key in ("msg", "module_stderr", "module_stdout")]
    return "\n".join(part for part in parts if part)[-2000:] or "the task failed"
