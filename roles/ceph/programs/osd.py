#!/usr/bin/python3 -I
"""Starts the OSD of one disk; makes it first where the disk is empty, half made by us, or foreign and may be wiped.

All that an OSD knows is on its disk: the data folder is in memory and filled from the disk's label at each start.
"""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any, NoReturn

DISK = os.environ["SCS_DISK"]
STABLE = set(json.loads(os.environ["SCS_STABLE"]))
"""Names of the disk that follow from how it was given to this container: they mean the same disk at every boot."""
PLACE = os.environ["SCS_PLACE"]
SOCKET = os.environ["SCS_SOCKET"]
DEVICE, ETC = "/dev/osd", pathlib.Path("/etc/ceph")
DATA = pathlib.Path("/tmp/osd")
BLOCK = pathlib.Path("/sys/class/block")
CRASHES = pathlib.Path("/var/lib/ceph/crash")
CEPH = int(os.environ["SCS_CEPH_UID"])
REFUSED = 78
"""Exit code (EX_CONFIG) after which systemd does not try again: a person has to decide."""


def say(text: str) -> None:
    print(f"entry: {text}", file=sys.stderr, flush=True)


def run(*command: str, given: str = "", check: bool = True) -> str:
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=False)
    if check and done.returncode:
        say(f"{' '.join(command[:3])} failed with exit code {done.returncode}")
        sys.exit(1)
    return done.stdout if not done.returncode else ""


def become_ceph() -> None:
    """The user ceph, and of the group that may use the disk."""
    os.setgroups([os.stat(DEVICE).st_gid])
    os.setgid(CEPH)
    os.setuid(CEPH)
    os.environ["HOME"] = "/tmp"


def label() -> dict[str, Any]:
    """What BlueStore wrote to the beginning of the disk; empty if it is not BlueStore's."""
    done = subprocess.run(
        ["ceph-bluestore-tool", "show-label", "--dev", DEVICE], capture_output=True, text=True, check=False
    )
    return next(iter(json.loads(done.stdout).values())) if not done.returncode else {}


def contents(found: dict[str, Any]) -> str:
    """Whatever a tool would know by its signature, in words."""
    if found:
        number = f" {found['whoami']}" if "whoami" in found else ""
        return f"OSD{number} of the Ceph cluster {found.get('ceph_fsid', 'unknown')} (OSD uuid {found.get('osd_uuid')})"
    signatures = json.loads(run("wipefs", "--no-act", "--json", DEVICE) or "{}").get("signatures", [])
    words = [" ".join(filter(None, (one["type"], one.get("label"), one.get("uuid")))) for one in signatures]
    return ", ".join(dict.fromkeys(words))


def serial() -> str:
    """The serial number of the very disk that is open here, by its device number; empty where the kernel knows none."""
    number = os.stat(DEVICE).st_rdev
    for folder in BLOCK.iterdir():
        if told(folder / "dev") == f"{os.major(number)}:{os.minor(number)}":
            names = ("serial", "device/serial", "device/vpd_pg80")  # of virtio, NVMe and SCSI; a partition has none
            return next(filter(None, (told(folder / name) for name in names)), "")
    return ""


def told(path: pathlib.Path) -> str:
    """What the kernel says; a page of SCSI's vital product data begins with four bytes about itself."""
    try:
        text = path.read_bytes()
    except OSError:
        return ""
    return text[4 if path.name == "vpd_pg80" else 0 :].decode("ascii", "ignore").strip(" \t\n\0")


def may_wipe() -> bool:
    """Whether services.ceph.settings.wipe names this disk by something that no other disk has."""
    allowed, names = json.loads((ETC / "wipe").read_text()), {*STABLE, serial()}
    return bool({"_".join(one.split()) for one in allowed} & {"_".join(one.split()) for one in names})


def verdict(found: dict[str, Any], holds: str, identity: str, fsid: str, wipe: Callable[[], bool]) -> str:
    """What to do with a disk: start, make, wipe and make, or leave alone because it is foreign, ours or unreadable.

    ``found`` is its label, ``holds`` tells in words what is on it, and ``wipe`` whether its data may be lost. It never may if
    it is that of another OSD of this cluster, or may be: disks that change names at a reboot would be taken for each other.
    """
    cluster = found.get("ceph_fsid", "").lower()
    if found.get("osd_uuid") == identity and cluster in ("", fsid):
        return "start" if found.get("ready") else "wipe"
    if not holds:
        return "make"
    if cluster == fsid:
        return "ours"
    if not found and "ceph_bluestore" in holds:
        return "unreadable"
    return "wipe" if wipe() else "foreign"


def refuse(why: str, holds: str) -> NoReturn:
    say(f"refusing the disk {DISK}: it holds {holds}")
    by_hand = (
        "empty the disk by hand on the node: wipefs --all DISK && dd if=/dev/zero of=DISK bs=1M count=16 conv=fsync"
    )
    if why == "ours":
        say(
            "it belongs to this very cluster, as the OSD of another disk or node, and is never wiped, whatever the setting wipe says"
        )
        say(
            "fix: names such as /dev/sdb change at a reboot: if this was another disk before, give it back its name, or reboot"
        )
        say(f"fix: if it is no longer needed, `ceph osd purge` it, {by_hand}, and apply")
    elif why == "unreadable":
        say(
            "its label cannot be read, so it may be an OSD of this cluster, and is not wiped, whatever the setting wipe says"
        )
        say(
            f"fix: look for errors of the disk in the node's kernel log and apply again; if its data may be lost, {by_hand}"
        )
    elif names := sorted(one for one in {*STABLE, serial()} if one):
        say(
            f"fix: choose another disk, or let it be wiped by services.ceph.settings.wipe: {names[-1:]} and apply; its data is lost then"
        )
    else:
        say(
            f"fix: choose another disk; it has no serial number to be named by in the setting wipe, so if its data may be lost, {by_hand}"
        )
    sys.exit(REFUSED)


def key(identity: str) -> str:
    """The OSD's own key, derived, so that it is the same however often the OSD is made."""
    seed = (ETC / "osd-seed").read_text().strip()
    secret = hmac.digest(seed.encode(), identity.encode(), hashlib.sha256)[:16]
    return base64.b64encode(struct.pack("<HIIH", 1, 0, 0, len(secret)) + secret).decode()


def make(identity: str) -> None:
    say(f"making an OSD of the disk {DISK}")
    secret = key(identity)
    bootstrap = ("ceph", "--name", "client.bootstrap-osd", "--keyring", str(ETC / "bootstrap-osd.keyring"))
    given = json.dumps({"cephx_secret": secret})
    number = run(*bootstrap, "osd", "new", identity, "-i", "-", given=given).strip()
    fill(number, secret)
    run("ceph-osd", "--mkfs", "-i", number, "--osd-uuid", identity)


def fill(number: str, secret: str) -> None:
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir(mode=0o700)
    (DATA / "keyring").write_text(f"[osd.{number}]\nkey = {secret}\n")


def start(number: str, identity: str) -> None:
    fill(number, key(identity))
    run("ceph-bluestore-tool", "prime-osd-dir", "--dev", DEVICE, "--path", str(DATA))
    if not (DATA / "block").is_symlink():
        (DATA / "block").symlink_to(DEVICE)
    if any(CRASHES.glob("*/meta")):
        (CRASHES / "posted").mkdir(exist_ok=True)
        subprocess.Popen(["sh", "-c", "sleep 20; exec ceph-crash --delay 0 --name client.crash"])
    memory = (ETC / "live/memory").read_text().strip()
    os.execvp("ceph-osd", ["ceph-osd", "-f", "-i", number, f"--osd-memory-target={memory}"])


def main() -> None:
    become_ceph()
    (said,) = re.findall(r"^fsid = (.*)$", (ETC / "ceph.conf").read_text(), re.M)
    fsid = str(uuid.UUID(said))
    identity = str(uuid.uuid5(uuid.UUID(fsid), PLACE))
    found = label()
    holds = contents(found)
    do = verdict(found, holds, identity, fsid, may_wipe)
    if do in ("foreign", "ours", "unreadable"):
        refuse(do, holds)
    if do == "wipe":
        say(
            f"wiping the disk {DISK}, which holds {holds}{'' if found.get('ready') else ' (not finished)' if found else ''}"
        )
        run("wipefs", "--all", "--quiet", DEVICE)
        run("dd", "if=/dev/zero", f"of={DEVICE}", "bs=1M", "count=16", "conv=fsync", "status=none")
    if do != "start":
        make(identity)
        found = label()
    start(str(found["whoami"]), identity)


def reload() -> None:
    """Give the running OSD its new share of memory."""
    become_ceph()
    memory = (ETC / "live/memory").read_text().strip()
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(SOCKET)
        link.sendall(json.dumps({"prefix": "config set", "var": "osd_memory_target", "val": [memory]}).encode() + b"\0")
        size = struct.unpack(">I", link.recv(4, socket.MSG_WAITALL))[0]
        answer = link.recv(size, socket.MSG_WAITALL).decode()
    if "success" not in answer:
        sys.exit(f"osd_memory_target was not taken: {answer}")


if __name__ == "__main__":
    reload() if sys.argv[1:] == ["reload"] else main()
