"""Watches a node's converge module while it runs: steps are told as they end, not all at the end of the wave."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import Told
from scs_deploy.nodes.connection import LINE, Connection

FOLDER = "/run/scs-deploy-progress"

_FAREWELL = 5
"""Seconds that the watcher gets to end by itself."""


class Watch:
    """A context manager. Seeing progress is a comfort: when it fails, the run goes on without it.

    ``name`` is of this one call of the module: who finds another one's file would tell its steps again. ``told`` is called from another
    thread, once for each of the ``steps``; what else the node says is left aside.
    """

    def __init__(self, connection: Connection, name: str, steps: Collection[str], told: Callable[[Told], None]) -> None:
        self.path = f"{FOLDER}/{name}"
        self._connection, self._waiting, self._told = connection, set(steps), told
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        path = shlex.quote(self.path)
        # Our end of its input keeps the watcher alive: however this process ends, nothing stays behind on either side.
        script = f"mkdir -p -m 0700 {FOLDER} && : >>{path} && {{ tail -n +1 -f {path} & cat >/dev/null; kill $!; }}"
        self._process = self._connection.popen(
            ["sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process and self._process.stdin:
            self._process.stdin.close()
            try:
                self._process.wait(timeout=_FAREWELL)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._thread.join(timeout=_FAREWELL)

    def _read(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        while line := self._process.stdout.readline(LINE):
            try:
                told = wire.load(Told, wire.loads(line))
            except (ValueError, RecursionError):
                continue
            if told.id in self._waiting:
                self._waiting.remove(told.id)
                self._told(told)
