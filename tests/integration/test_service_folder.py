"""A made-up service folder, dropped into a search path, deploys without any other file changing, and goes again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from proofs.deployment import REPOSITORY, Cloud

ROLES = REPOSITORY / "proofs" / "fixtures" / "roles"
DATA = "/var/lib/scs-deploy/data/echo/store"
OFF = {"enabled": False}


@pytest.fixture
def dropped(settled: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setenv("SCS_DEPLOY_ROLES", str(ROLES))
    yield settled
    with settled.services(echo=OFF):
        settled.run("apply", "--yes", "--purge")
    monkeypatch.delenv("SCS_DEPLOY_ROLES")


def answer(cloud: Cloud, folder: Path) -> str:
    """Ask as a user does: outside the node, by name, the certificate verified."""
    cloud.run("credentials", "--out", str(folder), code=0)
    region = cloud.site.region
    name, vip = f"api.{region.domain}", region.networks["public"].vip
    curl = [*cloud.lab.prefix(), "curl", "--silent", "--show-error", "--fail", "--cacert", str(folder / "ca.pem")]
    curl += ["--resolve", f"{name}:8099:{vip}", f"https://{name}:8099/"]
    return subprocess.run(curl, capture_output=True, text=True, check=True).stdout


def test_a_dropped_in_service_deploys_changes_and_goes(dropped: Cloud, tmp_path: Path) -> None:
    cloud = dropped
    before = cloud.state()

    # Its settings are checked like any other's.
    with cloud.services(echo={"settings": {"greting": "hi"}}):
        wrong = cloud.run("validate", code=3)
        assert "did you mean greeting" in wrong.stderr
        assert "region.yml:" in wrong.stderr

    cloud.run("image", "build", "echo", code=0)
    steps = cloud.steps()
    assert {"n1/echo", "n1/echo-init", "n1/echo resources of mariadb"} & set(steps)
    assert {key for key, step in steps.items() if step["restart"] and step["action"] != "create"} == set()
    cloud.apply()
    cloud.assert_settled()
    assert answer(cloud, tmp_path) == "hello 42"
    assert cloud.restarted(before["starts"]) == {"echo", "echo.service"}

    with cloud.services(echo={"settings": {"greeting": "bye"}}):
        (step,) = cloud.steps().values()
        assert (step["id"], step["restart"]) == ("n1/echo", True)
        cloud.apply()
        assert answer(cloud, tmp_path) == "bye 42"

    with cloud.services(echo=OFF):
        gone = cloud.steps()["n1/echo"]
        assert gone["action"] == "remove"
        assert "its data is kept" in str(gone["reasons"])
        cloud.apply()
        cloud.assert_settled()
        after = cloud.state()
        assert "echo" not in after["end"]["containers"]
        assert not [path for path in after["end"]["files"] if "echo" in path]
        assert cloud.on_node(f"cat {DATA}/started") == "once\nonce"
        assert "echo" in after["end"]["apis"]["mariadb"]["databases"]
        assert "echo\t" not in str(after["end"]["apis"]["mariadb"]["users"])

    cloud.apply()
    cloud.assert_settled()
    assert answer(cloud, tmp_path) == "hello 42"
    assert cloud.on_node(f"cat {DATA}/started") == "once\nonce\nonce"

    with cloud.services(echo=OFF):
        assert "its data is deleted too" in str(cloud.steps("--purge")["n1/echo"]["reasons"])
        cloud.apply("--purge")
        cloud.assert_settled()
        after = cloud.state()
        assert cloud.try_on_node(f"ls {DATA}").returncode != 0
        assert after["end"] == before["end"]
        assert cloud.restarted(before["starts"]) == set()
