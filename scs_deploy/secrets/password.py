"""Where the vault's password comes from: a file, a command, the environment, or the file that ``secrets init`` made."""

from __future__ import annotations

import logging
import os
import secrets
import shlex
import string
import subprocess
import tempfile
from pathlib import Path

import platformdirs

from scs_deploy.errors import InputError
from scs_deploy.machine import environment
from scs_deploy.secrets.value import SecretValue

VARIABLE = "SCS_DEPLOY_VAULT_PASSWORD"
VARIABLE_FILE = "SCS_DEPLOY_VAULT_PASSWORD_FILE"
_LENGTH = 48
_LOG = logging.getLogger(__name__)


def default_file(folder: Path) -> Path:
    """The password file of a region folder: ``<XDG config>/scs-deploy/<name of the folder>.vault-password``."""
    return platformdirs.user_config_path("scs-deploy", appauthor=False) / f"{folder.resolve().name}.vault-password"


def read(folder: Path, source: Path | None = None) -> SecretValue:
    """Return the password: of ``source`` (a file; executed if it is executable), else of the environment, else of the default file.

    Raises ``InputError`` when there is none, or when the file or the command fails.
    """
    if source is None and os.environ.get(VARIABLE):
        return SecretValue(os.environ[VARIABLE])
    if source is None and os.environ.get(VARIABLE_FILE):
        source = Path(os.environ[VARIABLE_FILE])
    file = (source or default_file(folder)).expanduser()
    if not file.is_file():
        fix = f"restore the file from your backup, set {VARIABLE}, or give --vault-password-file"
        if not (folder / "secrets.yml").exists():
            fix = f"run 'scs-deploy secrets init', {fix}"
        raise InputError("the vault's password was not found", where=str(file), why="no such file", fix=fix)
    password = _run(file) if os.access(file, os.X_OK) else _read(file)
    if not password:
        raise InputError("the vault's password is empty", where=str(file), fix="put the password into its first line")
    return password


def create(folder: Path) -> Path | None:
    """Make the default password file unless it exists; return its path if it was made now."""
    file = default_file(folder)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    alphabet = string.ascii_letters + string.digits
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".vault-password.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write("".join(secrets.choice(alphabet) for _ in range(_LENGTH)) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(name, file)  # unlike a rename, never replaces the password that another run made meanwhile
    except FileExistsError:
        return None
    finally:
        Path(name).unlink()
    return file


def _read(file: Path) -> SecretValue:
    try:
        if file.stat().st_mode & 0o077:
            _LOG.warning("the vault's password can be read by others than you: chmod 600 %s", shlex.quote(str(file)))
        return SecretValue(file.read_text(encoding="utf-8").strip())
    except OSError as error:
        why = error.strerror or "unreadable"
    except UnicodeDecodeError:
        why = "it is not UTF-8 text"
    raise InputError("cannot read the vault's password", where=str(file), why=why, fix="give a text file you may read")


def _run(file: Path) -> SecretValue:
    """As Ansible does: the command's standard output is the password; it may ask on the terminal."""
    fix = "make the command print the password and nothing else; a plain file must not be executable"
    try:
        command = [str(file.absolute())]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False, env=environment.operators())
    except OSError as error:
        raise InputError(
            "cannot run the command that gives the vault's password",
            where=str(file),
            why=error.strerror or "not executable",
            fix=fix,
        ) from error
    if done.returncode:
        why = f"exit code {done.returncode}"
        raise InputError("the command that gives the vault's password failed", where=str(file), why=why, fix=fix)
    return SecretValue(done.stdout.decode("utf-8", errors="replace").strip("\r\n"))
