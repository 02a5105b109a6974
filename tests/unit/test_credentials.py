"""clouds.yaml: one cloud that logs in as admin over the public endpoint; the files that hold it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from scs_deploy.credentials import Login, clouds_yaml, login, write
from scs_deploy.errors import InputError
from scs_deploy.secrets import SecretValue

LOGIN = Login("box", "api.box.example", "192.0.2.10", 5000, SecretValue("0: it's #1"), "CA\n")


def region(**networks: str) -> Any:
    made = {name: SimpleNamespace(name=name, vip=vip, vip6=None) for name, vip in networks.items()}
    return SimpleNamespace(name="box", domain="box.example", networks=made, folder=Path("/r"), public_tls=None)


def catalogue(resource_type: str = "identity") -> Any:
    frontend = SimpleNamespace(networks=("public", "api"), port=0)
    service = SimpleNamespace(
        name="who",
        resources=(SimpleNamespace(attrs={"type": resource_type}),),
        components={"who": SimpleNamespace(ports=(SimpleNamespace(port=5000, frontend=frontend),))},
    )
    return SimpleNamespace(services={"who": service})


class FakeVault:
    def get(self, name: str) -> str:
        return {"who-admin": "secret"}[name]

    def authority(self) -> Any:
        return SimpleNamespace(cert_pem="CA\n")


def test_cloud_is_named_as_the_region():
    cloud = yaml.safe_load(clouds_yaml(LOGIN, Path("/r/ca.pem")))["clouds"]["box"]
    assert cloud["auth"]["password"] == "0: it's #1"
    assert cloud["auth"]["auth_url"] == "https://api.box.example:5000/v3"
    assert (cloud["cacert"], cloud["region_name"], cloud["interface"]) == ("/r/ca.pem", "box", "public")


def test_users_come_from_the_public_network_where_there_is_one():
    found = login(region(api="10.0.0.10", public="192.0.2.10"), catalogue(), FakeVault())
    assert (found.host, found.address, found.port, found.password) == ("api.box.example", "192.0.2.10", 5000, "secret")
    assert login(region(api="10.0.0.10"), catalogue(), FakeVault()).host == "api-int.box.example"


def test_a_region_without_a_way_in_is_an_error():
    with pytest.raises(InputError, match="gives who an address"):
        login(region(storage="10.0.0.10"), catalogue(), FakeVault())
    with pytest.raises(InputError, match="no service of the catalogue"):
        login(region(api="10.0.0.10"), catalogue("image"), FakeVault())


def test_written_once_and_private(tmp_path: Path):
    clouds, changed = write(LOGIN, tmp_path)
    assert changed
    assert clouds.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(clouds.read_text())["clouds"]["box"]["cacert"] == str(tmp_path / "ca.pem")
    assert write(LOGIN, tmp_path) == (clouds, False)
    clouds.chmod(0o644)
    assert write(LOGIN, tmp_path)[1]
    assert clouds.stat().st_mode & 0o777 == 0o600


def test_the_password_is_not_in_the_repr():
    assert "it's" not in repr(LOGIN)
