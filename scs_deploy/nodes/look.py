"""Asks nodes how they differ from what is wanted, over the SSH connections that Ansible keeps; nothing is written anywhere.

Ansible costs the controller a second per start and 0.1 s per node, for a question that most commands begin with.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import threading
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Answer, Question
from scs_deploy.errors import DeployError, Interrupted
from scs_deploy.machine import paths
from scs_deploy.nodes import run_folder
from scs_deploy.nodes.answers import AT_A_TIME, Answers, OnNode
from scs_deploy.nodes.connection import Connection

_NODE_SIDE = paths.PACKAGE / "ansible_collections/scs/node/plugins/module_utils"
_PACKAGE = "scs_deploy_node"
_MARK = "scs-deploy-answer:"
"""Stands before the answer: a login shell may print things of its own."""

_LAST_LINES = 5

_PROGRAM = f"""
import gc, os, sys
gc.disable()
given = sys.stdin.buffer
code = os.memfd_create("{_PACKAGE}")
with open(code, "wb", closefd=False) as stream:
    stream.write(given.read(int(given.readline())))
sys.path.insert(0, f"/proc/self/fd/{{code}}")
from {_PACKAGE} import wire
from {_PACKAGE}.node import LocalNode
from {_PACKAGE}.observe import observe
from {_PACKAGE}.question import Question
asked = wire.decode(Question, given.read().decode())
print("{_MARK}" + wire.encode(observe(asked, LocalNode.local(asked.engine))))
"""


def ask(
    connections: Mapping[str, Connection], questions: Mapping[str, Question], on_node: OnNode | None = None
) -> Answers[Answer]:
    """Ask all nodes that there is a question for, side by side.

    Whatever ends it early, Ctrl-C too, ends the conversations as well.
    """
    answers: dict[str, Answer] = {}
    unreachable: dict[str, str] = {}
    failed: dict[str, str] = {}
    run_folder.sweep()  # what a killed run left may hold secrets
    if not questions:
        return Answers({}, {}, {})
    with _talks() as talk, ThreadPoolExecutor(min(AT_A_TIME, len(questions))) as pool:
        try:
            asked = {pool.submit(talk, connections[name], question): name for name, question in questions.items()}
            for done in as_completed(asked):
                name, state = asked[done], "ok"
                try:
                    answers[name] = done.result()
                except Interrupted:
                    raise
                except _NoAnswerError as error:
                    failed[name], state = str(error), "failed"
                except DeployError as error:
                    unreachable[name], state = f"{error.where}: {error.why}", "unreachable"
                if on_node:
                    on_node(name, state)
        except BaseException:
            talk.end()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Answers(answers, unreachable, failed)


class _NoAnswerError(Exception):
    """The node was reached and gave no answer; the text says why."""


class _Talks:
    """Conversations with nodes, each an ssh process."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock, self._ended = threading.Lock(), False

    def __call__(self, connection: Connection, question: Question) -> Answer:
        code = _code()
        given = b"%d\n%b%b" % (len(code), code, wire.encode(question).encode())
        done = connection.talk(["/usr/bin/python3", "-I", "-c", _PROGRAM], given, self._started)
        for line in reversed(done.out.splitlines()):
            if line.startswith(_MARK):
                try:
                    return wire.decode(Answer, line.removeprefix(_MARK))
                except wire.WireError as error:
                    raise _NoAnswerError(f"sent nonsense: {error}") from error
        said = [line.strip() for line in done.err.splitlines() if line.strip()][-_LAST_LINES:]
        raise _NoAnswerError("; ".join(said) or f"exit code {done.code}, and it said nothing")

    @contextlib.contextmanager
    def _started(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        with self._lock:
            self._running.add(process)
            if self._ended:
                process.kill()
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(process)

    def end(self) -> None:
        with self._lock:
            self._ended = True
            for process in self._running:
                process.kill()


@contextlib.contextmanager
def _talks() -> Iterator[_Talks]:
    talks = _Talks()
    try:
        yield talks
    finally:
        talks.end()


@cache
def _code() -> bytes:
    """The node's side as a zip that Python imports from."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        archive.writestr(f"{_PACKAGE}/__init__.py", "")
        for path in sorted(_NODE_SIDE.glob("*.py")):
            archive.writestr(f"{_PACKAGE}/{path.name}", path.read_bytes())
    return packed.getvalue()
