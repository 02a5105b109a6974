"""systemd units: what Podman's generator and dockerd are told, compared as whole texts where order matters."""

from __future__ import annotations

import dataclasses

import pytest

from proofs.world import World
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import Container, Mount
from scs_deploy.render.desired import Folder
from scs_deploy.render.systemd_units import UNITS, quote

FULL = Container(
    name="app.3",
    image="abc",
    command=("run", "a b", "50%", "$HOME"),
    user="42401:42402",
    environment={"B": "x y", "A": "1"},
    mounts=(Mount("/etc/scs-deploy/app/x", "/x"), Mount("/srv", "/srv", "rw", "rshared")),
    capabilities=("NET_ADMIN",),
    devices=("/dev/kvm",),
    security=("seccomp=unconfined",),
    tmpfs=("/tmp", "/run"),
    limits={"nofile": "1024", "memory": "512m", "shm": "64m"},
    pid="host",
    cgroupns="host",
)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("plain", "plain"),
        ("a b", '"a b"'),
        ('say "x"', '"say \\"x\\""'),
        ("50%", "50%%"),
        ("$x", "$$x"),
        ("", '""'),
        ("a;b", '"a;b"'),
    ],
)
def test_quote(given: str, wanted: str):
    assert quote(given) == wanted


def test_podman():
    path, text = UNITS["podman"](FULL, [Folder("/run/scs-deploy/app", "0755", 7, 8)], 20, "SIGUSR1")
    assert path == "/etc/containers/systemd/app.3.container"
    lines = text.splitlines()
    container = lines[lines.index("[Container]") : lines.index("[Service]")]
    for line in (
        "ContainerName=app.3", "Image=abc", "Pull=never", "Network=host", "User=42401", "Group=42402", "DropCapability=all",
        "NoNewPrivileges=true", "ReadOnly=true", "RunInit=true", "AddCapability=NET_ADMIN", "AddDevice=/dev/kvm",
        "Tmpfs=/tmp", "Volume=/etc/scs-deploy/app/x:/x:ro", "Volume=/srv:/srv:rw,rshared", "Environment=A=1",
        'Environment="B=x y"', "Ulimit=nofile=1024:1024", 'Exec=run "a b" 50%% $$HOME', "StopTimeout=20",
        "PodmanArgs=--security-opt=seccomp=unconfined", "PodmanArgs=--pid=host", "PodmanArgs=--cgroupns=host",
        "PodmanArgs=--memory=512m", "PodmanArgs=--shm-size=64m", "PodmanArgs=--stop-signal=SIGUSR1",
    ):  # fmt: skip
        assert line in container, line
    assert any(line.startswith("PodmanArgs=--label-file=") for line in container)
    service = lines[lines.index("[Service]") :]
    assert "ExecStartPre=/usr/bin/install -d -m 0755 -o 7 -g 8 /run/scs-deploy/app" in service
    assert "Restart=always" in service
    assert "WantedBy=multi-user.target" in service


def test_docker():
    path, text = UNITS["docker"](FULL, [], 20, "SIGUSR1")
    assert path == "/etc/systemd/system/app.3.service"
    (start,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    for flag in (
        "--name=app.3", "--pull=never", "--network=host", "--restart=always", "--user=42401:42402", "--cap-drop=ALL",
        "--security-opt=no-new-privileges", "--read-only", "--init", "--cap-add=NET_ADMIN", "--device=/dev/kvm",
        "--mount=type=bind,source=/etc/scs-deploy/app/x,target=/x,readonly", "--tmpfs=/tmp:mode=1777",
        "--mount=type=bind,source=/srv,target=/srv,bind-propagation=rshared", "--tmpfs=/run:mode=0755,uid=42401,gid=42402",
        "--ulimit=nofile=1024:1024", '"--env=B=x y"', "--stop-signal=SIGUSR1", "--label=object.systemd.unit=app.3.service",
    ):  # fmt: skip
        assert f" {flag}" in start, flag
    assert start.endswith(' abc run "a b" 50%% $$HOME')
    assert "After=network-online.target docker.service" in text
    assert "Environment=DOCKER_CONFIG=/etc/scs-deploy" in text.splitlines()


@pytest.mark.parametrize("engine", ["podman", "docker"])
@pytest.mark.parametrize(
    "change",
    [
        {"image": "other"}, {"command": ("other",)}, {"user": "1:1"}, {"environment": {"A": "2"}}, {"mounts": ()},
        {"capabilities": ()}, {"devices": ()}, {"security": ()}, {"tmpfs": ()}, {"limits": {}}, {"init": False},
        {"read_only": False}, {"pid": ""}, {"ipc": "host"}, {"cgroupns": ""},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_every_property_of_a_container_is_in_its_unit(engine: str, change: dict):
    """So that a change of any restarts it: the unit is part of the start digest."""
    before, after = (UNITS[engine](one, [], 20, "SIGTERM")[1] for one in (FULL, dataclasses.replace(FULL, **change)))
    assert before != after


def test_the_region_chooses_the_engine():
    world = World.changed(("engine: podman", "engine: docker"))
    assert world.file("n1/app", "/app.service").path == "/etc/systemd/system/app.service"
