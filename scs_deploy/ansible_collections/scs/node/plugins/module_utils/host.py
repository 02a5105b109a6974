"""The machine as the other modules see it: a root folder, commands and a clock, so that tests can give another one."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .paths import CONFIG_ROOT

_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_KEPT = ("HOME", "USER", "LOGNAME", "TMPDIR")
NOT_FOUND, TIMED_OUT = 127, 124


def settle() -> None:
    """Make this process independent of the node's /etc/environment and its shells: above all, no proxy stands before our own APIs."""
    kept = {name: os.environ[name] for name in _KEPT if os.environ.get(name)}
    os.environ.clear()
    # Docker's client puts the proxies of its user's configuration into containers; none lies in that folder.
    os.environ.update({"HOME": "/root", **kept, **_ENVIRONMENT, "DOCKER_CONFIG": CONFIG_ROOT})
    os.umask(0o022)


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended: exit code (127: not found, 124: timed out) and its output."""

    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        return self.code == 0

    def lines(self, count: int = 15) -> list[str]:
        """Return the last lines of what it said."""
        return [line for line in (self.out + "\n" + self.err).splitlines() if line.strip()][-count:]


class Host:
    """This machine, below ``root``."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def run(
        self, argv: Sequence[str], timeout: float = 60, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> Done:
        """Run a command; a missing program or a timeout is an exit code, never an exception."""
        environment = {**os.environ, **(env or {})}
        try:
            done = subprocess.run(
                argv,
                input=stdin,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=timeout,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Done(TIMED_OUT, "", f"{argv[0]} did not end within {timeout:.0f} s")
        except OSError as error:
            return Done(NOT_FOUND, "", f"{argv[0]}: {error.strerror}")
        return Done(done.returncode, done.stdout, done.stderr)

    def read(self, name: str) -> str:
        """Return the text of a small file, or nothing when it cannot be read."""
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def exists(self, name: str) -> bool:
        return self.path(name).exists()

    def block_devices(self) -> dict[str, str]:
        """Return name -> "major:minor" of the block devices that have a node of their own in /dev."""
        numbers = {}
        for path in self.path("/dev").glob("*"):
            if path.is_block_device() and not path.is_symlink():
                number = path.stat().st_rdev
                numbers[path.name] = f"{os.major(number)}:{os.minor(number)}"
        return numbers

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
