"""Debian packages of the node: which are missing, asked once for all, and one installation."""

from __future__ import annotations

from collections.abc import Iterable

from .failure import StepError
from .host import TIMED_OUT, Host

_LOCK_WAIT = 120
_INSTALL_TIMEOUT = 1800.0


_STALE_LISTS = ("Unable to locate", "no installation candidate", "404  Not Found")
"""What apt says when its lists are missing or older than the mirror."""


def versions(host: Host, packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed, with one question."""
    wanted = sorted(set(packages))
    if not wanted:
        return {}
    done = host.run(["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package} ${Version}\n", *wanted])
    rows = (line.split(" ", 2) for line in done.out.splitlines())
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}


def install(host: Host, packages: Iterable[str]) -> list[str]:
    """Install what is missing and return it; raise StepError with apt's words."""
    wanted = sorted(set(packages))
    missing = [name for name in wanted if name not in versions(host, wanted)]
    if not missing:
        return []
    command = [
        "apt-get", "install", "--yes", "--no-install-recommends", "-o", f"DPkg::Lock::Timeout={_LOCK_WAIT}",
        "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", *missing,
    ]  # fmt: skip
    environment = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none"}
    done = host.run(command, timeout=_INSTALL_TIMEOUT, env=environment)
    if not done.ok and any(sign in done.err for sign in _STALE_LISTS):
        host.run(["apt-get", "update", "-o", f"DPkg::Lock::Timeout={_LOCK_WAIT}"], timeout=300, env=environment)
        done = host.run(command, timeout=_INSTALL_TIMEOUT, env=environment)
    if not done.ok:
        why = "apt did not end in time" if done.code == TIMED_OUT else next(
            (line for line in done.err.splitlines() if line.startswith("E:")), f"apt-get exit code {done.code}"
        )  # fmt: skip
        fix = "check `mirror`, `proxy` and `dns` of the region file, and `apt-get install` by hand on the node"
        raise StepError(f"cannot install {' '.join(missing)}", why=why, fix=fix, log=done.lines())
    still = [name for name in missing if name not in versions(host, missing)]
    if still:
        raise StepError(
            f"apt installed something else instead of {' '.join(still)}",
            why="the name is a virtual package",
            fix="name the real package in service.yml",
        )
    return missing
