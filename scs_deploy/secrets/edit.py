"""Lets a person change the clear text of the vault in an editor, on a file that no one else can read and that never stays."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from scs_deploy.catalogue.service import Secret
from scs_deploy.errors import DeployError, InputError, Interrupted
from scs_deploy.machine import environment
from scs_deploy.machine.locks import locked
from scs_deploy.secrets import form, value
from scs_deploy.secrets.encrypted import EncryptedFile

_PREFIX = f"scs-deploy-edit-{os.getuid()}-"
_HINT = (
    "# Names and values of the region's secrets. Removing a line makes that secret anew at the next plan or apply.\n"
)


def edit(file: EncryptedFile, again: Callable[[InputError], bool], wanted: Mapping[str, Secret]) -> bool:
    """Open the editor until what it leaves is valid, by what services want of it, or ``again`` says no; return whether the vault changed.

    Raises ``InputError`` for text that stayed invalid, ``DeployError`` when the editor fails or somebody else wrote meanwhile.
    """
    before, old = file.fingerprint(), file.read()
    with private_folder() as folder:
        clear = folder / file.path.name
        with os.fdopen(os.open(clear, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(_HINT + value.dump(old))
        new = _edited(clear, again, wanted)
    if new == old:
        return False
    with locked(file.path.parent):
        if file.fingerprint() != before:
            raise DeployError(
                "the vault was changed by somebody else while you edited it",
                where=str(file.path),
                why="saving would lose the other change",
                fix="run 'scs-deploy secrets edit' again",
            )
        file.write(new)
    return True


def _edited(clear: Path, again: Callable[[InputError], bool], wanted: Mapping[str, Secret]) -> dict[str, value.Value]:
    while True:
        _run_editor(clear)
        try:
            values = value.load(clear.read_text(encoding="utf-8"), clear.name)
            if findings := list(form.check(values, wanted, clear.name)):
                raise InputError(findings)
            return values
        except UnicodeDecodeError:
            error = InputError("is not UTF-8 text", where=clear.name, fix="save it as UTF-8")
        except InputError as invalid:
            error = invalid
        if not again(error):
            raise error


def _run_editor(clear: Path) -> None:
    shell = environment.operators()
    command = shell.get("VISUAL") or shell.get("EDITOR") or "vi"
    try:
        code = subprocess.run([*shlex.split(command), str(clear)], check=False, env=shell).returncode
    except (OSError, ValueError) as error:
        raise DeployError(
            f"cannot start the editor {command!r}", why=str(error), fix="set EDITOR to an editor that is installed"
        ) from error
    if code:
        raise DeployError(f"the editor ended with exit code {code}", fix="the vault is unchanged; edit again")


@contextmanager
def private_folder() -> Iterator[Path]:
    """A 0700 folder, in memory where possible, removed on every way out but SIGKILL; the next call removes that one."""
    places = (os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm", tempfile.gettempdir())  # noqa: S108 - made 0700 below
    place = next(Path(place) for place in places if place and os.access(place, os.W_OK))
    _sweep(place)
    with _signals_raise():
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove what a killed run of the same user left."""
    for folder in place.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).split("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists() and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP, which would end the program without cleaning up, into an exception."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, _: FrameType | None) -> None:
        raise Interrupted(f"stopped by {signal.Signals(number).name}", fix="nothing was changed")

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
