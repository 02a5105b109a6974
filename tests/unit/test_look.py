"""How nodes are asked: what goes over the wire comes back, whatever else is said on the way; the node's own code is played."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Answer, Question
from scs_deploy.errors import Interrupted
from scs_deploy.nodes import look
from scs_deploy.nodes.answers import Answers
from scs_deploy.nodes.connection import Connection

OBSERVE = """
import os, signal

from . import wire
from .question import Answer, EngineSeen, Live, Unexpected

def observe(asked, node):
    what, _, more = asked.facts_digest.partition(" ")
    if what == "fail":
        raise ValueError("the disk is on fire")
    if what == "hang":
        open(more, "w").close()
        signal.alarm(30)  # ends it where nobody does
        signal.pause()
    if what == "die":
        os._exit(3)
    if what == "old":
        wire.VERSION = 7
    left = sorted(os.listdir(asked.jobs["folder"]))
    return Answer(None, asked.facts_digest, Live(1, node, {}, []), None, EngineSeen("ok"), {}, Unexpected(), {}, {}, left)
"""
NODE = """
class LocalNode:
    @staticmethod
    def local(engine):
        return engine
"""


class Here(Connection):
    """A node that is this machine: the login shell greets, then runs what it is given."""

    def argv(self, command: Sequence[str], *, tty: bool = False, log: str = "") -> list[str]:
        if self.host == "gone":
            text = f"echo 'ssh: connect to host gone: No route to host' >{log}; exit 255"
        else:
            text = 'echo "Welcome to this machine"; exec "$@"'
        return ["/bin/sh", "-c", text, "sh", sys.executable, *command[1:]]


@pytest.fixture
def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's side that does as it is asked."""
    folder = tmp_path / "side"
    folder.mkdir()
    for name in ("wire.py", "question.py", "resource.py"):
        shutil.copy(look._NODE_SIDE / name, folder)
    (folder / "node.py").write_text(NODE)
    (folder / "observe.py").write_text(OBSERVE)
    monkeypatch.setattr(look, "_NODE_SIDE", folder)
    look._code.cache_clear()
    yield tmp_path
    look._code.cache_clear()


def ask(side: Path, told: dict[str, str] | None = None, **what: str) -> Answers[Answer]:
    empty = side / "empty"
    empty.mkdir(exist_ok=True)
    questions = {name: Question("podman", how, {}, {"folder": str(empty)}) for name, how in what.items()}
    connections = {name: Here(name, name, "/known") for name in what}
    return look.ask(connections, questions, (told if told is not None else {}).__setitem__)


def test_every_node_answers_what_it_was_asked_and_nothing_is_left(side: Path) -> None:
    told: dict[str, str] = {}
    got = ask(side, told, n1="é" * 70000, n2="2")
    assert {name: answer.facts_digest for name, answer in got.answers.items()} == {"n1": "é" * 70000, "n2": "2"}
    assert got.answers["n1"].live.boot_id == "podman"
    assert got.answers["n1"].images == ()
    assert told == {"n1": "ok", "n2": "ok"}
    assert (got.unreachable, got.failed) == ({}, {})


def test_nothing_asked_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    assert look.ask({}, {}) == Answers({}, {}, {})


def test_what_a_killed_run_left_is_swept(side: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCS_DEPLOY_STATE_DIR", str(side / "state"))
    left = side / "state/private/run-killed"
    left.mkdir(parents=True)
    ask(side, None, n1="")
    assert not left.exists()


def test_who_cannot_answer_says_why_and_the_others_are_heard(side: Path) -> None:
    told: dict[str, str] = {}
    got = ask(side, told, n1="fail", n2="", n3="die", gone="", n4="old")
    assert list(got.answers) == ["n2"]
    assert got.failed["n1"].endswith("ValueError: the disk is on fire")
    assert "exit code 3" in got.failed["n3"]
    assert "format version 7" in got.failed["n4"]
    assert got.unreachable == {"gone": "root@gone port 22: ssh: connect to host gone: No route to host"}
    assert told == {"n1": "failed", "n2": "ok", "n3": "failed", "gone": "unreachable", "n4": "failed"}


def test_an_interruption_ends_all_conversations(side: Path) -> None:
    begun = side / "begun"
    os.mkfifo(begun)

    def stop(*_: Any) -> None:
        raise Interrupted("interrupted")

    def interrupt() -> None:
        begun.read_bytes()  # until the node's side has opened and closed it
        signal.pthread_kill(
            threading.main_thread().ident or 0, signal.SIGUSR1
        )  # what the other threads wait in goes on

    before = signal.signal(signal.SIGUSR1, stop)
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen.__init__

    def noted(self: Any, *arguments: Any, **options: Any) -> None:
        popen(self, *arguments, **options)
        started.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", noted)
        threading.Thread(target=interrupt, daemon=True).start()
        try:
            with pytest.raises(Interrupted):
                ask(side, None, n1=f"hang {begun}", n2="")
        finally:
            signal.signal(signal.SIGUSR1, before)
    assert started
    assert None not in (ended := [process.returncode for process in started])
    assert -signal.SIGKILL in ended


def test_the_real_node_side_is_whole_and_can_be_imported_from_the_zip(tmp_path: Path) -> None:
    """Without what Ansible has and nodes need not have."""
    packed = tmp_path / "code.zip"
    packed.write_bytes(look._code())
    imports = f"import sys; sys.path = [{str(packed)!r}, *(p for p in sys.path if 'site-packages' not in p)]; "
    checked = f"from {look._PACKAGE} import observe, wire, node; print(observe.__file__)"
    done = subprocess.run([sys.executable, "-I", "-c", imports + checked], capture_output=True, text=True, check=False)
    assert done.stdout.startswith(str(packed)), done.stderr
