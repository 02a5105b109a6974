"""``scs-deploy image``: what the command prints and which exit it takes."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from scs_deploy.catalogue.service import ContainerComponent, Image, Service
from scs_deploy.catalogue.users import system_users
from scs_deploy.cli import image as cli
from scs_deploy.errors import DeployError
from scs_deploy.images import LockedImage, read_lock
from scs_deploy.images.schedule import BuildResult, Options

SERVICE = Service(
    format=1,
    name="memcached",
    summary="x",
    images={"memcached": Image(packages=("memcached",))},
    components={"memcached": ContainerComponent(group="all", image="memcached")},
)
LOCKED = LockedImage.of("aa" * 32, "localhost/scs-deploy/memcached:2025.1", {"memcached": "1.6"})


@pytest.fixture
def region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    loaded = SimpleNamespace(release="2025.1", nodes=(SimpleNamespace(mirror="http://region/debian"),))
    monkeypatch.setattr(
        cli, "load_catalogue", lambda search: SimpleNamespace(services={"memcached": SERVICE}, users=system_users())
    )
    monkeypatch.setattr(cli, "find_region", lambda name, search: tmp_path)
    monkeypatch.setattr(cli, "load_region", lambda folder, catalogue: loaded)
    monkeypatch.setattr(cli, "find_engine", lambda: SimpleNamespace(images=lambda label: ()))
    return tmp_path


def fake_build(seen: list[Options]):  # type: ignore[no-untyped-def]
    def build(names, catalogue, release, *, progress, options):  # type: ignore[no-untyped-def]
        seen.append(options)
        return {"memcached": BuildResult(LOCKED, True, 1.0)}

    return build


def test_build_uses_the_regions_mirror_and_writes_its_lock(region: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Options] = []
    monkeypatch.setattr(cli, "build", fake_build(seen))
    done = CliRunner().invoke(cli.app, ["build", "memcached"], catch_exceptions=False)
    assert "1 built, 0 up to date" in done.stdout
    assert "images.lock written" in done.stdout
    assert seen[0].mirror == "http://region/debian"
    assert read_lock(region).images == {"memcached": LOCKED}
    CliRunner().invoke(cli.app, ["build", "--mirror", "http://mine/debian"], catch_exceptions=False)
    assert seen[1].mirror == "http://mine/debian"


def test_build_for_a_release_needs_no_region(region: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "build", fake_build([]))
    assert CliRunner().invoke(cli.app, ["build", "--release", "2025.1"], catch_exceptions=False).exit_code == 0
    assert not (region / "images.lock").exists()


def test_a_failed_build_leaves_the_lock_alone(region: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise DeployError("image memcached failed")

    monkeypatch.setattr(cli, "build", fail)
    assert isinstance(CliRunner().invoke(cli.app, ["build"]).exception, DeployError)
    assert not (region / "images.lock").exists()


def test_list_tells_locked_images_that_the_store_lacks(region: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "build", fake_build([]))
    rows = json.loads(CliRunner().invoke(cli.app, ["list", "--json"], catch_exceptions=False).stdout)
    assert {row["name"]: row["state"] for row in rows}["memcached"] == "not built"
    CliRunner().invoke(cli.app, ["build"])
    rows = json.loads(CliRunner().invoke(cli.app, ["list", "--json"], catch_exceptions=False).stdout)
    assert {row["name"]: row["state"] for row in rows}["memcached"] == "missing"
