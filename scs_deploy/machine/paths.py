"""Where the program keeps its state on the controller and finds what it ships: roles, playbooks, inventories."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from scs_deploy.errors import DeployError

PROGRAM = "scs-deploy"

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder ``scs_deploy`` itself, wherever it is installed."""


def state_dir() -> Path:
    """Runs, fact cache, engine settings, lab disks: ``$SCS_DEPLOY_STATE_DIR`` or the XDG state folder; created, 0700."""
    return _private(os.environ.get("SCS_DEPLOY_STATE_DIR") or platformdirs.user_state_dir(PROGRAM, appauthor=False))


def cache_dir() -> Path:
    """What may be deleted at any time: ``$SCS_DEPLOY_CACHE_DIR`` or the XDG cache folder; created, 0700."""
    return _private(os.environ.get("SCS_DEPLOY_CACHE_DIR") or platformdirs.user_cache_dir(PROGRAM, appauthor=False))


def share_dir() -> Path:
    """The folder that holds roles/, playbooks/, docs/ and inventories/: ``scs_deploy/share`` of a wheel, else the checkout."""
    return PACKAGE / "share" if _from_wheel() else PACKAGE.parent


def page(name: str) -> str:
    """Where a page of the documentation is, for messages: ``docs/<name>`` in a checkout, else its whole path."""
    return str(share_dir() / "docs" / name) if _from_wheel() else f"docs/{name}"


def roles_search() -> tuple[Path, ...]:
    """Folders of service folders: our own first, then ``$SCS_DEPLOY_ROLES`` (separated by colons)."""
    return (share_dir() / "roles", *_listed("SCS_DEPLOY_ROLES"))


def inventories_search() -> tuple[Path, ...]:
    """Folders of region folders: ``$SCS_DEPLOY_INVENTORIES``, then ``./inventories``, then a checkout's; no folder twice."""
    found = (*_listed("SCS_DEPLOY_INVENTORIES"), Path.cwd() / "inventories")
    # A wheel's regions are to be copied: what is generated for a region lies beside it, and would be lost with the next version.
    return tuple(dict.fromkeys(found if _from_wheel() else (*found, examples())))


def examples() -> Path:
    """Folder of regions to start from."""
    return share_dir() / "inventories"


def _from_wheel() -> bool:
    return (PACKAGE / "share").is_dir()


def _listed(variable: str) -> tuple[Path, ...]:
    return tuple(Path(entry).expanduser().absolute() for entry in os.environ.get(variable, "").split(":") if entry)


class OwnFolderError(DeployError):
    """A folder of the program's own cannot be made, or others may write to it."""


def _private(folder: str) -> Path:
    path = Path(folder).expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OwnFolderError(
            "cannot create the program's own folder",
            where=str(path),
            why=error.strerror or str(error),
            fix="set SCS_DEPLOY_STATE_DIR and SCS_DEPLOY_CACHE_DIR to folders you may write to",
        ) from error
    found = path.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise OwnFolderError(
            "the program's own folder can be written to by others",
            where=str(path),
            why=f"it is of user {found.st_uid} and has the mode {found.st_mode & 0o7777:04o}",
            fix="chmod go-w it, or set SCS_DEPLOY_STATE_DIR and SCS_DEPLOY_CACHE_DIR to folders of your own",
        )
    return path
