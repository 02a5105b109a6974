"""Processes of the program: a family of them, killed at once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path


def family(pid: int) -> list[int]:
    """A process and everything it started, however it grouped that."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        found.append(one := todo.pop())
        todo += children.get(one, [])
    return found


def kill(process: subprocess.Popen[str]) -> None:
    """Stop everything first, so that nobody sees another one die; then end it."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in family(process.pid) if process.poll() is None else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    process.communicate()
