"""The smoke test's guest in a plain QEMU without hardware virtualization: it boots, sees disks come and go, answers TCP."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.catalogue.release import load_release
from scs_deploy.images import guest
from scs_deploy.images.schedule import Options, build
from scs_deploy.machine.engine import find_engine
from scs_deploy.machine.paths import roles_search

QEMU = "qemu-system-x86"
SCRIPT = """\
cd /guest
(
    for number in $(seq 60); do
        sleep 1
        grep -q GUEST-READY console && break
    done
    sleep 2; echo drive_add 0 if=none,file=disk.raw,format=raw,id=second; echo device_add virtio-blk-pci,drive=second,id=come
    sleep 6; exec 3<>/dev/tcp/127.0.0.1/18007; echo echoed >&3; head -n 1 <&3 > echo
    exec 4<>/dev/tcp/127.0.0.1/18080; printf 'GET /cgi-bin/disk HTTP/1.0\r\n\r\n' >&4; timeout 20 cat <&4 > written
    echo device_del come
    sleep 6; echo system_powerdown
    sleep 8; echo quit
) | timeout 120 qemu-system-x86_64 -machine pc,accel=tcg -m 256 -display none -serial file:console -monitor stdio $DISK \\
    -netdev user,id=net,hostfwd=tcp:127.0.0.1:18007-:7,hostfwd=tcp:127.0.0.1:18080-:80 -device virtio-net-pci,netdev=net > monitor 2>&1
"""
DISKS = {
    "virtio-blk": "-drive if=virtio,file=guest.raw,format=raw",
    "virtio-scsi": "-device virtio-scsi-pci -drive if=none,id=root,file=guest.raw,format=raw -device scsi-hd,drive=root",
}


@pytest.mark.parametrize("bus", DISKS)
def test_the_guest_boots_and_says_what_it_sees(bus: str, tmp_path: Path) -> None:
    release = load_release("2025.1")
    catalogue = load_catalogue(roles_search())
    images = {name: one for service in catalogue.services.values() for name, one in service.images.items()}
    name = next(name for name, one in images.items() if QEMU in one.packages)
    qemu = build([name], catalogue, release, options=Options())[name].image.id
    shutil.copy(guest.ensure(release).path, tmp_path / "guest.raw")
    with (tmp_path / "disk.raw").open("wb") as disk:
        disk.truncate(1 << 30)
    (tmp_path / "console").touch()
    run = [
        "run",
        "--rm",
        "--interactive",
        "--network",
        "none",
        "--volume",
        f"{tmp_path}:/guest",
        "--env",
        f"DISK={DISKS[bus]}",
    ]
    find_engine().run([*run, qemu, "bash", "-s"], stdin=SCRIPT, timeout=180)
    console = (tmp_path / "console").read_text(errors="replace")
    assert re.search(r"GUEST-READY up=[\d.]+", console), console
    assert (
        re.search(r"GUEST-DISK [vs]db bytes=1073741824 wrote=\w+", console)
        or "GUEST-DISK vda bytes=1073741824 wrote" in console
    )
    assert "GUEST-DISK-GONE" in console
    assert "GUEST-POWEROFF" in console
    assert (tmp_path / "echo").read_text() == "echoed\n"
    assert (tmp_path / "written").read_text().endswith("\n\nwritten\n")
    with (tmp_path / "guest.raw").open("rb") as disk:
        disk.seek(-512, 2)
        assert any(disk.read()), "nothing is written to the end of the root disk"
    assert b"SCS-MARK " in (tmp_path / "disk.raw").open("rb").read(16)
