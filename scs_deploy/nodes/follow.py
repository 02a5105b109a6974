"""Watches a node's converge module while it runs: steps are told as they end, not all at the end of the wave."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from scs_deploy.nodes.connection import Connection

FOLDER = "/run/scs-deploy-progress"

_FAREWELL = 5
"""Seconds that the watcher gets to end by itself."""

Told = Callable[[dict[str, Any]], None]
"""Called, from another thread, with ``id``, ``status`` and ``seconds`` of a step that ended."""


class Watch:
    """A context manager. Seeing progress is a comfort: when it fails, the run goes on without it.

    ``name`` is of this one call of the module: who finds another one's file would tell its steps again.
    """

    def __init__(self, connection: Connection, name: str, told: Told) -> None:
        self.path = f"{FOLDER}/{name}"
        self._connection, self._told = connection, told
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
        for line in self._process.stdout:
            try:
                self._told(json.loads(line))
            except ValueError:
                return
