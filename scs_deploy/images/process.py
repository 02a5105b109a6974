"""Child processes of a build: their output as steps and a tail of lines, and an end to all of them on Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from scs_deploy.images.script import PACKAGES, STEP

TAIL_LINES = 20
GRACE_SECONDS = 5


@dataclass(slots=True)
class Output:
    """What a process said so far."""

    step: str = "start"
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    packages: list[str] = field(default_factory=list)
    code: int = -1


class Children:
    """The running processes of all builds; once stopped, no new one starts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self.stopped = False

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], stdin: str, on_step: Callable[[str], None]) -> Output:
        """Run to the end, stdout and stderr as one stream. The exit code is in the result (-1: never started)."""
        output = Output()
        with self._lock:
            if self.stopped:
                return output
            # A session of its own: the terminal's Ctrl-C reaches us alone, and we end it in order.
            process = subprocess.Popen(
                argv,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running.add(process)
        try:
            if process.stdin is None or process.stdout is None:  # pragma: no cover - both are pipes
                raise RuntimeError("a child without pipes")
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(stdin)
                process.stdin.close()
            for line in process.stdout:
                _take(output, line.rstrip(), on_step)
            output.code = process.wait()
        finally:
            with self._lock:
                self._running.discard(process)
        return output

    def stop(self, first: Callable[[], None]) -> None:
        """Start nothing more, do ``first`` (such as removing containers), then end what still runs."""
        with self._lock:
            self.stopped = True
            running = list(self._running)
        first()
        for process in running:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=GRACE_SECONDS if number == signal.SIGKILL else 1)
                if process.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, number)


def _take(output: Output, line: str, on_step: Callable[[str], None]) -> None:
    if line.startswith(STEP):
        output.step = line.removeprefix(STEP)
        on_step(output.step)
    elif line == PACKAGES or output.packages:
        output.packages.append(line)
    elif line:
        output.tail.append(line)
