"""The engine of the controller: which one, its settings on this machine, and how it is spoken to."""

import tomllib
from pathlib import Path

import pytest

from scs_deploy.errors import DeployError
from scs_deploy.machine import engine
from scs_deploy.machine.engine import EngineProgram, MachineFacts

SERVER = MachineFacts(unified_cgroups=True, systemd=True, runc="", nofile=1048576, nproc=-1)
SMALL = MachineFacts(unified_cgroups=False, systemd=False, runc="/usr/sbin/runc", nofile=20000, nproc=-1)


def test_an_ordinary_server_needs_one_setting() -> None:
    assert tomllib.loads(engine.containers_conf(SERVER)) == {"containers": {"http_proxy": False}, "engine": {}}


def test_a_small_machine_gets_runc_its_limits_and_no_systemd() -> None:
    assert tomllib.loads(engine.containers_conf(SMALL)) == {
        "containers": {"http_proxy": False, "default_ulimits": ["nofile=20000:20000", "nproc=1048576:1048576"]},
        "engine": {"runtime": "runc", "cgroup_manager": "cgroupfs", "events_logger": "file"},
    }


def test_hybrid_cgroups_without_runc_say_what_to_install() -> None:
    facts = MachineFacts(unified_cgroups=False, systemd=True, runc="", nofile=-1, nproc=-1)
    with pytest.raises(DeployError, match="apt-get install runc"):
        engine.containers_conf(facts)


def test_the_environment_names_our_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCS_DEPLOY_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(engine, "machine_facts", lambda: SMALL)
    conf = Path(engine.podman_env()["CONTAINERS_CONF"])
    assert tmp_path in conf.parents
    assert conf.read_text(encoding="utf-8") == engine.containers_conf(SMALL)
    monkeypatch.setattr(engine, "machine_facts", lambda: SERVER)
    engine.podman_env()
    assert conf.read_text(encoding="utf-8") == engine.containers_conf(SERVER)


def test_a_failed_command_carries_the_engines_words(tmp_path: Path) -> None:
    fake = tmp_path / "docker"
    fake.write_text("#!/bin/sh\necho no such thing: $2 >&2\nexit 125\n")
    fake.chmod(0o755)
    with pytest.raises(DeployError) as caught:
        EngineProgram("docker", str(fake)).run(["inspect", "x1"])
    assert caught.value.what == "docker inspect failed with exit code 125"
    assert caught.value.why == "no such thing: x1"


def test_images_are_told_apart_by_id_without_prefix(tmp_path: Path) -> None:
    fake = tmp_path / "docker"
    fake.write_text(
        '#!/bin/sh\n[ "$2" = ls ] && { echo sha256:aa; echo sha256:aa; exit; }\n[ "$3 $4" = "aa " ] || exit 9\n'
        'echo \'[{"Id": "sha256:aa", "RepoTags": null, "Config": {"Labels": {"k": "v"}}, "Created": "now"}]\'\n'
    )
    fake.chmod(0o755)
    (image,) = EngineProgram("docker", str(fake)).images()
    assert (image.id, image.references, image.labels) == ("aa", (), {"k": "v"})


def test_an_unknown_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCS_DEPLOY_ENGINE", "crio")
    with pytest.raises(DeployError, match="podman or docker"):
        engine.find_engine()
