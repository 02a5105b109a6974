"""A region's folder, opened, and nodes that answer without being there."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from proofs.opened import Nodes, Opened
from proofs.world import BASE, ROLES
from scs_deploy.cli import certs
from scs_deploy.errors import DeployError
from scs_deploy.images.lock import LockedImage, write_lock
from scs_deploy.machine import paths
from scs_deploy.nodes import look
from scs_deploy.secrets import password


@pytest.fixture
def nodes(monkeypatch) -> Nodes:
    made = Nodes()
    monkeypatch.setattr(look, "ask", made.ask)
    return made


@pytest.fixture
def folder(tmp_path, monkeypatch):
    made = tmp_path / "world"
    made.mkdir()
    (made / "region.yml").write_text(BASE)
    names = ("store", "app", "front")
    write_lock(
        made, "2025.1", {name: LockedImage.of(f"{name}-id", f"localhost/{name}:1", {"p": "1"}) for name in names}
    )
    monkeypatch.setenv("SCS_DEPLOY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv(password.VARIABLE_FILE, raising=False)
    monkeypatch.setenv(password.VARIABLE, "a long enough password")
    monkeypatch.setattr(paths, "roles_search", lambda: (ROLES,))
    return made


@pytest.fixture
def opened(folder, nodes) -> Opened:
    return Opened.of(folder)


@pytest.fixture
def known(opened: Opened, nodes: Nodes) -> Opened:
    """A region whose nodes were looked at once, and that has its certificates."""
    opened.settle()
    return opened


@pytest.fixture
def call_certs(known: Opened):
    """``scs-deploy certs`` with these arguments; what it raises is raised here."""

    def run(*arguments: str):
        result = CliRunner().invoke(certs.app, [*arguments, "-r", str(known.site.folder)])
        if isinstance(result.exception, DeployError):
            raise result.exception
        return result

    return run
