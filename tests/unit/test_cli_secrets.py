"""``scs-deploy secrets``: what the commands write and print, on a region with one made-up service."""

from __future__ import annotations

import pytest
import yaml
from typer.testing import CliRunner

from scs_deploy.cli import secrets
from scs_deploy.errors import DeployError, InputError
from scs_deploy.machine import paths
from scs_deploy.secrets import Vault, password

REGION = {
    "format": 1,
    "name": "tiny",
    "release": "2025.1",
    "domain": "tiny.example",
    "networks": {"api": {"cidr": "10.77.1.0/24", "vip": "10.77.1.5"}},
    "racks": [{"name": "r1", "nodes": [{"name": "n1", "groups": ["control"], "addresses": {"api": "10.77.1.11"}}]}],
}
SERVICE = {
    "format": 1,
    "name": "toy",
    "summary": "A toy",
    "secrets": {"toy-password": {}, "toy-keys": {"type": "fernet"}},
    "components": {"toy": {"kind": "host", "group": "control", "when": ""}},
}


@pytest.fixture(autouse=True)
def _places(tmp_path, monkeypatch):
    for name, data in {"tiny/region": REGION, "share/roles/toy/service": SERVICE}.items():
        file = tmp_path / f"{name}.yml"
        file.parent.mkdir(parents=True)
        file.write_text(yaml.safe_dump(data))
    for variable in (password.VARIABLE, password.VARIABLE_FILE, "SCS_DEPLOY_ROLES", "SCS_DEPLOY_REGION"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("SCS_DEPLOY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(paths, "share_dir", lambda: tmp_path / "share")


@pytest.fixture
def call(tmp_path):
    def run(*arguments):
        result = CliRunner().invoke(secrets.app, [*arguments, "-r", str(tmp_path / "tiny")], catch_exceptions=True)
        if isinstance(result.exception, DeployError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    return run


def test_init_makes_everything_once(call, tmp_path):
    first = call("init")
    made = tmp_path / "config/scs-deploy/tiny.vault-password"
    assert made.read_text().strip() not in first.output
    assert str(made) in first.output.replace("\n", "")
    assert "Keep a copy" in first.output
    before = Vault.open(tmp_path / "tiny")
    assert before.names == ["ca-cert", "ca-key", "toy-keys", "toy-password"]
    again = call("init")
    assert "0 new" in again.output
    assert "Keep a copy" not in again.output
    assert Vault.open(tmp_path / "tiny").get("toy-password") == before.get("toy-password")


def test_init_with_a_given_password_makes_no_file(call, tmp_path, monkeypatch):
    monkeypatch.setenv(password.VARIABLE, "given")
    call("init")
    assert not (tmp_path / "config").exists()
    assert Vault.open(tmp_path / "tiny").names


def test_init_without_the_password_of_an_old_vault_makes_no_new_one(call, tmp_path):
    call("init")
    (tmp_path / "config/scs-deploy/tiny.vault-password").unlink()
    with pytest.raises(InputError, match="password was not found"):
        call("init")
    assert not (tmp_path / "config/scs-deploy/tiny.vault-password").exists()


def test_init_of_an_invalid_region_writes_nothing(call, tmp_path):
    (tmp_path / "tiny/region.yml").write_text("format: 1\n")
    with pytest.raises(InputError):
        call("init")
    assert not (tmp_path / "config").exists()
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == ["region.yml"]


def test_show_prints_the_value_and_nothing_else(call, tmp_path):
    call("init")
    opened = Vault.open(tmp_path / "tiny")
    assert call("show").output.split() == opened.names
    assert call("show", "toy-password").output == f"{opened.get('toy-password')}\n"
    assert call("show", "ca-cert").output.rstrip("\n") == opened.get("ca-cert").rstrip("\n")
    assert yaml.safe_load(call("show", "toy-keys").output) == opened.get("toy-keys")
    assert call("show", "toy-keys/0").output == f"{opened.get('toy-keys')['0']}\n"


@pytest.mark.parametrize("name", ["toy-pasword", "toy-keys/9", "toy-password/0"])
def test_show_of_what_is_not_there(call, name):
    call("init")
    with pytest.raises(InputError, match="fix:"):
        call("show", name)


def test_edit_saves(call, tmp_path, monkeypatch):
    call("init")
    monkeypatch.setenv("VISUAL", "sed -i s/^toy-password:.*/toy-password:\\ mine/")
    assert "saved" in call("edit").output
    assert Vault.open(tmp_path / "tiny").get("toy-password") == "mine"
    monkeypatch.setenv("VISUAL", "true")
    assert "nothing was changed" in call("edit").output
