"""A node's container and files: isolation that must not get lost, keys that are verified, state that is seen through."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from scs_deploy.errors import DeployError, LockedError
from scs_deploy.lab import lab as lab_module
from scs_deploy.lab import preflight
from scs_deploy.lab.container import NodeContainer, check_owner, run_arguments
from scs_deploy.lab.disks import all_disks
from scs_deploy.lab.identity import LabFiles, LabNames, find_record
from scs_deploy.lab.keys import known_hosts, ssh_command
from scs_deploy.lab.lab import Lab
from scs_deploy.lab.nodefiles import contents, resolv_conf
from scs_deploy.lab.spec import DiskSpec, LabSpec

NAMES = LabNames("1a2b")
SPEC = LabSpec.of("t", "/x", {"api": "10.1.0.1/24"}, {"n1": {"api": "10.1.0.11/24"}})
NODE = SPEC.nodes[0]


def arguments(**changes: int) -> list[str]:
    node = replace(NODE, **changes)  # type: ignore[arg-type]
    return run_arguments(
        NAMES, node, LabFiles(Path("/s/labs/t-1")).config("n1"), "image", Path("/store"), Path("/layout")
    )


def test_the_image_store_is_read_only_and_without_the_mounts_below_it() -> None:
    mount = next(a for a in arguments() if "src=/store" in a)
    assert {"ro", "bind-nonrecursive"} <= set(mount.split(","))


def test_exported_images_are_read_only() -> None:
    assert "/layout:/var/lib/scs-lab/layout:ro" in arguments()


def test_a_node_comes_back_after_a_reboot_in_the_same_namespace() -> None:
    made = arguments()
    assert made[made.index("--restart") + 1] == "always"
    assert f"ns:{NAMES.namespace('n1')}" in made


def test_memory_is_limited_only_when_asked_and_a_bounded_disk_replaces_the_volumes() -> None:
    assert "--memory" not in arguments()
    assert "512m" in arguments(memory_mb=512)
    assert "/var/lib/containers" in arguments()
    assert "/var/lib/containers" not in arguments(disk_mb=100)
    node = replace(NODE, disk_mb=100, disks=(DiskSpec("/dev/scs-disk0", 5),))
    assert [d.size_mb for d in all_disks(node)] == [100, 5]


def test_a_zombie_is_not_a_running_node() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    box = NodeContainer("i", "c", "n1", "running", child.pid)
    deadline = time.monotonic() + 10
    while box.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Path(f"/proc/{child.pid}").exists()
    assert not box.alive
    child.wait()
    assert NodeContainer("i", "c", "n1", "running", os.getpid()).alive
    assert not NodeContainer("i", "c", "n1", "exited", 0).alive


def test_a_lab_of_another_state_folder_is_refused_and_the_folder_named() -> None:
    label = next(
        a
        for a in run_arguments(NAMES, NODE, LabFiles(Path("/s/labs/t-1")).config("n1"), "i", Path("/store"), Path("/l"))
        if "/s/" in a
    )
    box = NodeContainer("i", "c", "n1", "running", 1, label.partition("=")[2])
    check_owner([box, replace(box, folder="")], Path("/s/labs/t-1"))
    with pytest.raises(DeployError) as caught:
        check_owner([box], Path("/other/labs/t-1"))
    assert "SCS_DEPLOY_STATE_DIR=/s," in caught.value.fix


def test_files_of_a_node_hold_its_identity_and_every_key() -> None:
    spec = replace(SPEC, authorized_key="ssh-ed25519 CCCC me\n", mirror="http://m.test/debian")
    made = contents(spec, NODE, NAMES, "ssh-ed25519 AAAA lab", "/dev/x 7 1\n", "nameserver 192.0.2.53\n")
    assert made["authorized_keys"] == "ssh-ed25519 AAAA lab\nssh-ed25519 CCCC me\n"
    assert made["hostname"] == "n1\n"
    assert made["nics"] == "api\n"
    assert len(made["machine-id"]) == 33
    assert all(line.startswith("deb http://m.test/debian") for line in made["sources.list"].splitlines())
    assert made["entry"].startswith("#!/bin/sh")
    again = contents(replace(spec, name="u"), NODE, LabNames("ffff"), "k", "", "")
    assert again["machine-id"] != made["machine-id"]


def test_loopback_resolvers_are_useless_to_a_node() -> None:
    stub, real = "nameserver 127.0.0.53\nsearch x.test\n", "# c\nnameserver 192.0.2.53\noptions edns0\n"
    assert resolv_conf([stub, real]) == "nameserver 192.0.2.53\n"
    assert resolv_conf([stub]) == ""


def test_ssh_believes_nothing_but_the_labs_known_hosts() -> None:
    line = known_hosts({("n1", "10.1.0.11", "fd01::11"): "ssh-ed25519 AAAA a comment"})
    assert line == "n1,10.1.0.11,fd01::11 ssh-ed25519 AAAA\n"
    command = ssh_command(Path("/k"), Path("/h"), "10.1.0.11")
    assert "StrictHostKeyChecking=yes" in command
    assert "UserKnownHostsFile=/h" in command
    assert command[-1] == "root@10.1.0.11"


@pytest.mark.parametrize("there", [True, False])
def test_a_lab_is_entered_for_a_body_and_left_however_that_ends(tmp_path: Path, monkeypatch, there: bool) -> None:
    namespace = tmp_path / "namespace"
    namespace.touch()
    monkeypatch.setattr(Lab, "namespace", property(lambda self: namespace if there else None))
    moves: list[str] = []
    monkeypatch.setattr(lab_module, "_enter", lambda stream: moves.append(stream.name))

    def body() -> None:
        with Lab(SPEC).entered():
            assert moves == [str(namespace)] * there
            raise DeployError("it broke")

    with pytest.raises(DeployError, match="it broke"):
        body()
    assert moves == [str(namespace), str(lab_module.OWN_NAMESPACE)] * there


def test_the_second_change_of_a_lab_is_refused_until_the_first_ends(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SCS_DEPLOY_STATE_DIR", str(tmp_path))
    lab = Lab(SPEC)
    with lab._changing(), pytest.raises(LockedError, match="changing this lab"), lab._changing():
        pass
    with lab._changing(last=True):
        pass
    assert not lab.files.lock.exists()


def test_a_lab_is_found_by_its_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCS_DEPLOY_STATE_DIR", str(tmp_path / "state"))
    folder = tmp_path / "box"
    assert find_record(folder) is None
    LabFiles.of("box", str(folder)).write_record("box", str(folder))
    LabFiles.of("box", "/elsewhere").write_record("box", "/elsewhere")
    assert find_record(folder) == {"region": "box", "source": str(folder)}


def test_too_little_memory_is_said_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.host, "free_memory_mb", lambda: 500)
    preflight.check_memory(SPEC, ["n1"])
    preflight.check_memory(replace(SPEC, nodes=(replace(NODE, memory_mb=900),)), [])
    with pytest.raises(DeployError, match="900 MiB of memory, 500 MiB are free"):
        preflight.check_memory(replace(SPEC, nodes=(replace(NODE, memory_mb=900),)), ["n1"])


def test_missing_root_and_missing_programs_are_clear_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(DeployError, match="needs root"):
        preflight.check_machine()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(preflight.host, "PROGRAMS", {"no-such-program": "podman"})
    with pytest.raises(DeployError) as caught:
        preflight.check_machine()
    assert "apt-get install podman" in caught.value.fix
