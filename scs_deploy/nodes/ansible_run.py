"""The only module that starts Ansible: a playbook over some nodes, wave by wave, payloads in, answers out, nothing left behind."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import Outcome, Work
from scs_deploy.errors import Interrupted
from scs_deploy.machine import paths
from scs_deploy.nodes import run_folder
from scs_deploy.nodes.answers import AT_A_TIME, Answers, OnNode
from scs_deploy.nodes.connection import Connection
from scs_deploy.secrets import password

_POLL_SECONDS = 0.1
_ENDS = {"runner_on_ok": "ok", "runner_on_failed": "failed", "runner_on_unreachable": "unreachable"}
"""Events with which a node's part of a wave ends."""

_HEADINGS = {"playbook_on_play_start", "playbook_on_task_start", "playbook_on_stats"}
_LAST_LINES = 10


class Waves:
    """One start of Ansible that carries out a playbook wave by wave, each on nodes of its own.

    The nodes of every wave are known from the outset, their payloads only when it is the wave's turn: so what failed before can
    be taken into account, and starting Ansible is paid for once. ``with`` starts it, and ends it when waves are left over.
    """

    def __init__(self, playbook: str, connections: Mapping[str, Connection], nodes: Sequence[Sequence[str]]) -> None:
        self._playbook, self._connections, self._nodes = playbook, connections, nodes
        self._number = 0
        self._events: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._stop, self._interrupted = threading.Event(), threading.Event()
        self._signals: dict[int, Any] = {}
        self._said: deque[str] = deque(maxlen=_LAST_LINES)
        self._thread = threading.Thread(target=self._ansible, name="ansible")

    def __enter__(self) -> Self:
        self._private = run_folder.RunFolder()
        self._folder = self._private.path
        for name in ("in", "out", "inventory", "tmp"):
            (self._folder / name).mkdir(mode=0o700)
        if threading.current_thread() is threading.main_thread():
            # Ctrl-C and SIGTERM end Ansible cleanly instead of tearing threads apart.
            for number in (signal.SIGINT, signal.SIGTERM):
                self._signals[number] = signal.signal(number, lambda *_: self._interrupted.set())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind or self._number < len(self._nodes):
            self._stop.set()
        try:
            if self._thread.ident:
                self._thread.join()
        finally:
            for number, handler in self._signals.items():
                signal.signal(number, handler)
            self._private.remove()

    def next(self, payloads: Mapping[str, Work], on_node: OnNode | None = None) -> Answers[Outcome]:
        """Carry out the next wave on those of its nodes that have a payload, and wait for all of them.

        Nodes are ``lost`` when Ansible itself cannot work, now or since an earlier wave. Raises ``Interrupted`` on Ctrl-C.
        """
        self._ask(payloads)
        if not self._thread.ident:
            self._prepare()
            self._thread.start()
        wave = _Collected(payloads, on_node)
        while not wave.complete:
            if self._interrupted.is_set():
                raise Interrupted(
                    "interrupted",
                    why="a module that is already running on a node finishes what it was given",
                    fix="run the same command again: it goes on where this one stopped",
                )
            ended = not self._thread.is_alive()
            try:
                event = self._events.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if ended:
                    break
            else:
                if (event.get("event_data") or {}).get("play_pattern", _wave(self._number)) == _wave(self._number):
                    wave.take(event)
        try:
            return wave.answers(self._folder / "out" / str(self._number), self._last_words())
        finally:
            self._forget(self._number)

    def skip(self) -> None:
        """Leave out the next wave."""
        self._ask({})

    def _ask(self, payloads: Mapping[str, Work]) -> None:
        self._number += 1
        new, ready = f"in/.{self._number}", f"in/{self._number}"
        (self._folder / new).mkdir(mode=0o700)
        for name, payload in payloads.items():
            (self._folder / new / name).write_text(wire.encode(payload))
        (self._folder / new).rename(self._folder / ready)

    def _forget(self, number: int) -> None:
        """Remove the payloads and answers of a wave that is over: secrets lie there no longer than they must."""
        # The empty folder stays: a node that was asked nothing may come to it late, and would wait for it for ever.
        for payload in (self._folder / "in" / str(number)).iterdir():
            payload.unlink()
        shutil.rmtree(self._folder / "out" / str(number), ignore_errors=True)

    def _last_words(self) -> str:
        return "\n".join(self._said) or "it said nothing: it may have been killed"

    def _prepare(self) -> None:
        """Inventory and playbook: the given play once for each wave, with that wave's nodes."""
        waves = dict(enumerate(self._nodes, 1))
        names = dict.fromkeys(name for nodes in self._nodes for name in nodes)
        everybody = {
            "hosts": {name: self._connections[name].ansible_vars() for name in names},
            "vars": {"ansible_python_interpreter": "/usr/bin/python3", "scs_private": str(self._folder)},
            "children": {_wave(number): {"hosts": dict.fromkeys(nodes)} for number, nodes in waves.items()},
        }
        self._write("inventory/hosts.json", {"all": everybody})
        (play,) = yaml.safe_load((paths.share_dir() / "playbooks" / self._playbook).read_text(encoding="utf-8"))
        # A node that fails in one wave stays in the next: which of its other steps are tried is not for Ansible to say.
        play |= {"ignore_errors": True, "ignore_unreachable": True}
        self._write("waves.yml", [{**play, "hosts": _wave(number), "vars": {"scs_wave": number}} for number in waves])

    def _ansible(self) -> None:
        def take(event: Mapping[str, Any]) -> bool:
            if not (event.get("event_data") or {}).get("host") and event.get("event") not in _HEADINGS:
                self._said.extend(line for line in str(event.get("stdout") or "").splitlines() if line.strip())
            self._events.put(event)
            return False  # keep no event files

        import ansible_runner  # only what changes nodes waits for it

        try:
            ansible_runner.interface.run(
                private_data_dir=str(self._folder),
                playbook=str(self._folder / "waves.yml"),
                inventory=str(self._folder / "inventory" / "hosts.json"),
                envvars=_environment(self._folder, max(map(len, self._nodes))),
                event_handler=take,
                cancel_callback=lambda: self._interrupted.is_set() or self._stop.is_set(),
                quiet=True,
                suppress_env_files=True,
            )
        except Exception as error:  # noqa: BLE001 - told to who waits for the answers
            self._said.append(str(error) or type(error).__name__)

    def _write(self, name: str, data: object) -> None:
        (self._folder / name).write_text(json.dumps(data))


def _wave(number: int) -> str:
    return f"wave_{number}"


def _environment(folder: Path, count: int) -> dict[str, str]:
    return {
        "ANSIBLE_CONFIG": str(paths.share_dir() / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "tmp"),
        "ANSIBLE_COLLECTIONS_PATH": str(paths.PACKAGE),
        "ANSIBLE_INVENTORY_ENABLED": "ansible.builtin.yaml",  # not that of regions, which imports half of this program
        "ANSIBLE_FORKS": str(min(AT_A_TIME, count)),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_HOST_KEY_CHECKING": "1",
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_TIMEOUT": "15",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "SCS_DEPLOY_PRIVATE": str(folder),
        password.VARIABLE: "",  # what Ansible starts has no use for it
    }


class _Collected:
    """Reads the events of one wave."""

    def __init__(self, payloads: Mapping[str, Any], on_node: OnNode | None) -> None:
        self._on_node = on_node or (lambda node, state: None)
        self._waiting = dict.fromkeys(payloads)
        self._asked = tuple(payloads)
        self._unreachable: dict[str, str] = {}
        self._failed: dict[str, str] = {}

    @property
    def complete(self) -> bool:
        return not self._waiting

    def take(self, event: Mapping[str, Any]) -> None:
        data = event.get("event_data") or {}
        host, kind = data.get("host"), event.get("event")
        result = data.get("res") or {}
        if host in self._waiting and kind in _ENDS:
            del self._waiting[host]
            if kind == "runner_on_unreachable":
                self._unreachable[host] = str(result.get("msg", "unreachable")).strip()
            elif kind == "runner_on_failed":
                self._failed[host] = _reason(result)
            self._on_node(host, _ENDS[kind])

    def answers(self, folder: Path, last_words: str) -> Answers[Outcome]:
        answers: dict[str, Outcome] = {}
        failed: dict[str, str] = {}
        lost: dict[str, str] = {}
        for name in self._asked:
            path = folder / name
            if path.exists():
                try:
                    answers[name] = wire.decode(Outcome, path.read_text())
                except wire.WireError as error:
                    failed[name] = f"sent nonsense: {error}"
            elif name in self._waiting:
                lost[name] = last_words
            elif name not in self._unreachable:
                failed[name] = self._failed.get(name, "the module left no answer")
        return Answers(answers, self._unreachable, failed, lost)


def _reason(result: Mapping[str, Any]) -> str:
    parts = [str(result.get(key, "")).strip() for key in ("msg", "module_stderr", "module_stdout")]
    return "\n".join(part for part in parts if part)[-2000:] or "the task failed"
