"""clouds.yaml: one cloud that logs in as admin over the public endpoint; the files that hold it; the program's own account."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from scs_deploy.cloud.credentials import OWN, Login, clouds_yaml, login, write
from scs_deploy.errors import InputError
from scs_deploy.secrets import SecretValue
from scs_deploy.secrets.account_names import Standing

LOGIN = Login("RegionOne", "box", "api.box.example", "192.0.2.10", 5000, SecretValue("0: it's #1"), "CA\n")


def region(region_id: str = "", **networks: str) -> Any:
    made = {name: SimpleNamespace(name=name, vip=vip, vip6=None) for name, vip in networks.items()}
    services = {"who": SimpleNamespace(settings={"region_id": region_id})}
    return SimpleNamespace(
        name="box", domain="box.example", networks=made, services=services, folder=Path("/r"), public_tls=None
    )


def catalogue(resource_type: str = "identity") -> Any:
    frontend = SimpleNamespace(networks=("public", "api"), port=0)
    service = SimpleNamespace(
        name="who",
        resources=(SimpleNamespace(attrs={"type": resource_type}),),
        components={"who": SimpleNamespace(ports=(SimpleNamespace(port=5000, frontend=frontend),))},
    )
    return SimpleNamespace(services={"who": service})


class FakeVault:
    def __init__(self, **more: str) -> None:
        self._values = {"who-admin": "secret"} | {name.replace("_", "-"): value for name, value in more.items()}
        self.standings: dict[str, Standing] = {}

    def get(self, name: str) -> str:
        return self._values[name]

    def values(self) -> dict[str, str]:
        return self._values

    def authority(self) -> Any:
        return SimpleNamespace(cert_pem="CA\n")


def test_cloud_is_named_as_the_region():
    cloud = yaml.safe_load(clouds_yaml(LOGIN, Path("/r/ca.pem")))["clouds"]["box"]
    assert cloud["auth"]["password"] == "0: it's #1"
    assert cloud["auth"]["auth_url"] == "https://api.box.example:5000/v3"
    assert (cloud["cacert"], cloud["region_name"], cloud["interface"]) == ("/r/ca.pem", "RegionOne", "public")


def test_users_come_from_the_public_network_where_there_is_one():
    found = login(region(api="10.0.0.10", public="192.0.2.10"), catalogue(), FakeVault())
    assert (found.host, found.address, found.port, found.password) == ("api.box.example", "192.0.2.10", 5000, "secret")
    assert login(region(api="10.0.0.10"), catalogue(), FakeVault()).host == "api-int.box.example"


@pytest.mark.parametrize(("region_id", "name"), [("", "box"), ("RegionOne", "RegionOne")])
def test_endpoints_are_looked_for_in_the_region_that_the_catalogue_names(region_id: str, name: str):
    found = login(region(region_id, api="10.0.0.10"), catalogue(), FakeVault())
    assert (found.region, found.cloud) == (name, "box")
    assert list(yaml.safe_load(clouds_yaml(found, Path("/r/ca.pem")))["clouds"]) == ["box"]


def test_the_program_has_an_account_of_its_own_under_its_present_name():
    there = region(api="10.0.0.10")
    vault = FakeVault(who_scs_deploy="own")
    assert login(there, catalogue(), vault).user == "admin"
    found = login(there, catalogue(), vault, OWN)
    assert (found.user, found.password, found.project) == ("scs-deploy", "own", "admin")
    vault.standings["who-scs-deploy"] = Standing(second=True)
    assert login(there, catalogue(), vault, OWN).user == "scs-deploy~b"
    with pytest.raises(InputError, match="does not have the account scs-deploy yet") as caught:
        login(there, catalogue(), FakeVault(), OWN)
    assert "apply" in caught.value.findings[0].fix


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
