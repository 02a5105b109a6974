"""Wall time and controller CPU of a command, with everything it starts: also the SSH connections that it leaves open behind itself."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SUBREAPER = 36
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds; ``node``: CPU that the simulated nodes spent meanwhile on the same machine."""

    wall: float
    cpu: float
    node: float


class CommandError(Exception):
    """A measured command did something else than it should."""


class Meter:
    """``nodes``: process and CPU seconds of what does not count as controller."""

    def __init__(self, pid: int, node_cpu: Callable[[], float], environment: Mapping[str, str], folder: Path) -> None:
        self._pid, self._node_cpu = pid, node_cpu
        self._environment, self._folder = {**os.environ, **environment}, folder
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody's Python compiles its modules at every start
        # Connections go on in the background when their command has ended: they come to us, not to the machine's first process.
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)

    def run(self, argv: Sequence[str], seconds: float, codes: Sequence[int] = (0,)) -> tuple[Cost, str]:
        """Run a command to its end; raises ``CommandError`` for another exit code or after ``seconds``."""
        cpu, node, began = self._cpu(), self._node_cpu(), time.monotonic()
        command = subprocess.Popen(
            argv, cwd=self._folder, env=self._environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            said, _ = command.communicate(timeout=seconds)
        except BaseException as error:
            self.close()
            command.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise CommandError(f"{' '.join(argv)}: not done after {seconds:.0f} s") from None
            raise
        wall = time.monotonic() - began
        cost = Cost(wall, self._cpu() - cpu, self._node_cpu() - node)
        if command.returncode not in codes:
            raise CommandError(f"{' '.join(argv)}: exit code {command.returncode}\n{said[-4000:]}")
        return cost, said

    def close(self) -> None:
        """End whatever commands left running, such as open connections, and what comes to us when its parent ends."""
        until = time.monotonic() + 5
        while (left := self._children()) and time.monotonic() < until:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.02)

    def _cpu(self) -> float:
        """Of all children that have ended, and of those that go on."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ended.ru_utime + ended.ru_stime + sum(map(self._spent, self._children()))

    def _children(self) -> list[int]:
        tasks = Path("/proc/self/task").glob("*/children")
        return [pid for task in tasks for pid in map(int, task.read_text().split()) if pid != self._pid]

    @staticmethod
    def _spent(pid: int) -> float:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return 0.0
        return sum(map(int, fields[11:15])) / _TICKS
