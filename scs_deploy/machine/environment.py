"""What of the operator's shell reaches this program and all that it starts: what is named here, and nothing else.

Ansible, OpenSSH, engines and libraries obey some hundred variables, each of which can break a plan or write where nobody asked.
Programs of the operator's own (an editor, a command that gives the vault's password, ``lab exec``) get the shell as it is.
"""

from __future__ import annotations

import locale
import os
import pwd
import sys
from pathlib import Path

KEPT = {
    "where programs and files are": (
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "TMPDIR", "TZ", "XDG_*", "DBUS_SESSION_BUS_ADDRESS", "SUDO_*",
    ),
    "the terminal": (
        "TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CI",
        "COMP_*", "_TYPER_*", "_SCS_DEPLOY_COMPLETE",
    ),
    "settings of this program": ("SCS_*",),
    "the SSH agent": ("SSH_AUTH_SOCK",),
    "the way to package mirrors": (
        "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR",
    ),
    "this machine's container engine": (
        "CONTAINERS_STORAGE_CONF", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY",
    ),
}  # fmt: skip
"""What for -> variables; ``*`` stands for any end of the name. docs/environment.md shows the same."""

_NAMES = {name for names in KEPT.values() for name in names if not name.endswith("*")}
_STARTS = tuple(name[:-1] for names in KEPT.values() for name in names if name.endswith("*"))
_HARMLESS = {
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
    "PYTHONHASHSEED",
    "PYTHONFAULTHANDLER",
    "PYTHONPYCACHEPREFIX",
}
_TMPDIR_LIMIT = 40
"""Characters: sockets lie below it, whose paths the kernel limits to 107 bytes."""
_UMASK = 0o022  # what is secret has a mode of its own

_operators: dict[str, str] = {}
_umask = -1


def settle() -> None:
    """Make this process independent of the shell that started it; to be called before other modules are imported.

    May start the program anew, with Python's own variables ignored and UTF-8 for all text.
    """
    _open_streams()
    _restart()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    global _umask
    previous = os.umask(_UMASK)
    _umask = previous if _umask < 0 else _umask
    adopt()


def adopt() -> None:
    """Leave in ``os.environ`` what ``KEPT`` names; libraries of this process and children see no more."""
    _operators.update({} if _operators else os.environ)
    kept = {name: value for name, value in os.environ.items() if name in _NAMES or name.startswith(_STARTS)}
    kept.setdefault("PATH", os.defpath)
    if not kept.get("HOME"):
        kept["HOME"] = _home()
    if not _usable(kept.get("TMPDIR", "/")):
        del kept["TMPDIR"]
    # Imported by name: paths are not known to be importable before the program has settled.
    from scs_deploy.machine import paths

    os.environ.clear()
    os.environ.update({**kept, "LC_ALL": "C.UTF-8", "ANSIBLE_CONFIG": str(paths.share_dir() / "ansible.cfg")})


def operators() -> dict[str, str]:
    """Return the shell's own environment, for programs that belong to the operator and not to us."""
    return _operators or dict(os.environ)


def operators_umask() -> int:
    """Return the shell's umask for such programs; -1 when it is the process's own."""
    return _umask


def _home() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # a user without an account, as in containers
        return "/"


def _usable(folder: str) -> bool:
    return len(folder) <= _TMPDIR_LIMIT and Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _open_streams() -> None:
    """Closed standard streams become /dev/null: else the next file that is opened takes their place, and gets what is printed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115


def _restart() -> None:
    ignored = sys.flags.ignore_environment
    python = {name for name in os.environ if name.startswith("PYTHON")} - _HARMLESS
    if ignored or not (python or locale.getpreferredencoding(False).lower() not in ("utf-8", "utf8")):
        return
    options = ["-E", "-X", "utf8", *(["-B"] if sys.dont_write_bytecode else [])]
    os.execv(sys.executable, [sys.executable, *options, *sys.orig_argv[1:]])  # noqa: S606 - this very program
