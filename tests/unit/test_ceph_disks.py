"""Which disks an OSD is made of: the decision of its entry script, run as it is rendered; nothing of this cluster is ever wiped."""

from __future__ import annotations

import contextlib
import json
import os
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.errors import InputError
from scs_deploy.region.load import parse_region
from scs_deploy.region.placement import place
from scs_deploy.render import Given
from scs_deploy.render.context import Topology
from scs_deploy.render.templates import TemplateSet

ROOT = Path(__file__).parents[2]
FSID, OTHER = "5f0c1c0e-0000-4000-8000-000000000001", "5f0c1c0e-0000-4000-8000-000000000002"
BY_ID, BY_PART = "/dev/disk/by-id/wwn-0x5000c500a1b2c3d4", "/dev/disk/by-partuuid/0a1b-01"
DISKS = [
    {"path": "/dev/disk/by-id/ata-DISK_S1", "serial": "S1", "name": "sdb"},
    {"path": "/dev/sdc", "serial": "S2", "name": "sdc"},
]
"""The second has no name below /dev/disk/by-id."""


@cache
def catalogue():
    return load_catalogue([ROOT / "roles"])


def region(disk: str, wipe: str):
    text = (ROOT / "inventories/box/region.yml").read_text()
    for old, new in (
        ("{path: /dev/vdb, use: osd, size_gb: 20}", disk),
        ("services:\n", f"services:\n  ceph: {{settings: {{wipe: {wipe}}}}}\n"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    return parse_region(text, ROOT / "inventories/box", catalogue())


def scope(disk: str, wipe: str):
    """The world of the OSD of a disk; secrets are references, so there is no ceph.conf to render."""
    found = region(disk, wipe)
    placement = place(found, catalogue(), {})
    topology = Topology(found, catalogue(), placement)
    given = Given(topology, TemplateSet.load(catalogue()), {}, {}, {"n1": {"disks": DISKS, "memory_mib": 4096}})
    (placed,) = placement.of("ceph-osd")
    return given.scope(placed)


class Entry:
    """The script as it is rendered for a disk, on a node where /dev/osd is the block device 8:16."""

    def __init__(self, folder: Path, disk: str, wipe: str, serial: str = "") -> None:
        rendered = scope(disk, wipe)
        self.names: dict = {"__name__": "entry"}
        given = {key: rendered.string(value) for key, value in rendered.component.environment.items()}
        with patch.dict(os.environ, given):
            exec(compile(rendered.text("osd.py"), "osd.py", "exec"), self.names)  # noqa: S102
        self.identity = str(self.names["uuid"].uuid5(self.names["uuid"].UUID(FSID), self.names["PLACE"]))
        etc, block = folder / "etc", folder / "block"
        etc.mkdir(parents=True)
        (etc / "wipe").write_text(rendered.text("wipe.j2"))
        (etc / "ceph.conf").write_text(f"[global]\nfsid = {FSID.upper()}\n")
        for name, number, text in (("sda", "8:0", "OTHER"), ("sdb", "8:16", serial)):
            (block / name / "device").mkdir(parents=True)
            (block / name / "dev").write_text(f"{number}\n")
            (block / name / "device/vpd_pg80").write_bytes(b"\0\x80\0\x14" + text.rjust(20).encode())
        open_ = SimpleNamespace(st_rdev=os.makedev(8, 16))
        self.label: dict = {}
        self.signatures: list[dict] = []
        self.ran: list[str] = []
        self.code: int | None = None
        self.started: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.names |= {
            "os": SimpleNamespace(stat=lambda _: open_, major=os.major, minor=os.minor), "ETC": etc, "BLOCK": block,
            "become_ceph": lambda: None, "run": self._run, "say": self.said.append,
            "label": lambda: dict(self.label), "start": lambda *given: self.started.append(given), "make": self._make,
        }  # fmt: skip

    def _run(self, *command: str, **_: object) -> str:
        if command[:2] == ("wipefs", "--no-act"):
            return json.dumps({"signatures": self.signatures}) if self.signatures else ""
        self.ran.append(command[0])
        return ""

    def _exit(self, code: int) -> None:
        self.code = code
        raise InterruptedError

    def _make(self, identity: str) -> None:
        self.ran.append("make")
        self.label = {"osd_uuid": identity, "ceph_fsid": FSID, "ready": "ready", "whoami": "3"}

    def main(self) -> list[str]:
        """What it did; ``refused`` if it left the disk alone."""
        self.names["sys"] = SimpleNamespace(exit=self._exit)
        with contextlib.suppress(InterruptedError):
            self.names["main"]()
        if self.code is not None:
            assert self.code == 78
            assert (self.ran, self.started) == ([], []), "a refused disk is not touched"
            return ["refused"]
        assert self.started == [("3", self.identity)]
        return self.ran


@pytest.fixture
def entry(tmp_path):
    return lambda *args: Entry(tmp_path, *args)


def osd(identity: str, fsid: str = FSID, **more: str) -> dict[str, str]:
    return {"osd_uuid": identity, "ceph_fsid": fsid, "ready": "ready", "whoami": "3"} | more


XFS = [{"type": "xfs", "label": None, "uuid": "u-1"}]
WIPED = ["wipefs", "dd", "make"]
STRANGER = "11111111-0000-4000-8000-000000000000"


def test_an_empty_disk_becomes_an_osd(entry):
    assert entry("{serial: S1, use: osd}", "[]").main() == ["make"]


def test_its_own_osd_is_started_and_what_was_half_made_is_made_again(entry):
    made = entry("{serial: S1, use: osd}", "[]")
    made.label = osd(made.identity)
    assert made.main() == []
    made.started.clear()
    made.label = {"osd_uuid": made.identity}
    assert made.main() == WIPED


def test_a_start_asks_neither_the_setting_nor_the_kernel(entry):
    made = entry("{serial: S1, use: osd}", "[S1]")
    made.label = osd(made.identity)
    made.names["ETC"].joinpath("wipe").unlink()
    assert made.main() == []


@pytest.mark.parametrize(
    ("disk", "wipe", "serial", "done"),
    [
        ("{serial: S1, use: osd}", "[]", "S1", ["refused"]),
        ("{serial: S1, use: osd}", "[S2]", "S1", ["refused"]),
        ("{serial: S1, use: osd}", "[S1]", "S1", WIPED),
        (
            "{serial: S1, use: osd}",
            "[S1]",
            "",
            WIPED,
        ),  # by a path that was found by the serial and names this disk only
        ("{serial: S2, use: osd}", "[S2]", "", ["refused"]),  # by /dev/sdc, which may be another disk by now
        ("{serial: S2, use: osd}", "[S2]", "S2", WIPED),
        ("{path: /dev/sdb, use: osd}", "[S1]", "S1", WIPED),
        ("{path: /dev/sdb, use: osd}", "[S1]", "S2", ["refused"]),
        ("{path: /dev/sdb, serial: S1, use: osd}", "[S1]", "S2", ["refused"]),
        (f"{{path: {BY_ID}, use: osd}}", f"[{BY_ID}]", "", WIPED),
        (f"{{path: {BY_PART}, use: osd}}", f"[{BY_PART}]", "", WIPED),
        (f"{{path: {BY_PART}, use: osd}}", f"[{BY_ID}]", "", ["refused"]),
        ("{path: /dev/sdb, use: osd}", f"[{BY_ID}, sdb]", "", ["refused"]),
        ("{path: /dev/sdb, use: osd}", "[OTHER]", "", ["refused"]),  # the serial of the disk beside it
    ],
)
def test_foreign_data_goes_only_where_the_disk_itself_is_named(entry, disk, wipe, serial, done):
    made = entry(disk, wipe, serial)
    made.signatures = XFS
    assert made.main() == done
    if done == ["refused"]:
        assert "xfs u-1" in made.said[0]


def test_the_osd_of_another_cluster_is_foreign_data(entry, tmp_path):
    refused = entry("{serial: S1, use: osd}", "[]", "S1")
    refused.label = osd(STRANGER, OTHER)
    assert refused.main() == ["refused"]
    assert "services.ceph.settings.wipe: ['S1']" in refused.said[-1]
    told = Entry(tmp_path / "b", "{serial: S1, use: osd}", "[S1]", "S1")
    told.label = osd(STRANGER, OTHER)
    assert told.main() == WIPED


@pytest.mark.parametrize("label", [osd(STRANGER), osd(STRANGER, FSID.upper()), osd(STRANGER, ready="")])
@pytest.mark.parametrize("disk", ["{serial: S1, use: osd}", "{path: /dev/sdb, use: osd}"])
def test_another_osd_of_this_cluster_is_never_wiped(entry, disk, label):
    """/dev/sdb and /dev/sdc changed places at a reboot, or a disk was put into another node, and wipe names it still."""
    made = entry(disk, "[S1]", "S1")
    made.label = label
    assert made.main() == ["refused"]
    text = "\n".join(made.said)
    for part in (
        "OSD 3 of the Ceph cluster",
        "this very cluster",
        "never wiped",
        "/dev/sdb change at a reboot",
        "osd purge",
    ):
        assert part in text
    assert "settings.wipe:" not in text


def test_an_osd_whose_label_cannot_be_read_may_be_one_of_ours(entry):
    made = entry("{serial: S1, use: osd}", "[S1]", "S1")
    made.signatures = [{"type": "ceph_bluestore", "label": None, "uuid": None}]
    assert made.main() == ["refused"]
    assert "may be an OSD of this cluster" in "\n".join(made.said)


def test_a_disk_without_a_name_of_its_own_is_emptied_by_hand(entry):
    made = entry("{path: /dev/vdb, use: osd}", "[]")
    made.signatures = XFS
    assert made.main() == ["refused"]
    assert "no serial number" in made.said[-1]
    assert "wipefs --all" in made.said[-1]


def test_a_node_is_told_of_its_own_disks_only():
    assert json.loads(scope("{serial: S1, use: osd}", f"[S9, S1, {BY_ID}]").text("wipe.j2")) == ["S1"]
    assert json.loads(scope(f"{{path: {BY_ID}, use: osd}}", f"[{BY_ID}, {BY_ID}, S2]").text("wipe.j2")) == [BY_ID, "S2"]


@pytest.mark.parametrize(
    "path", ["/dev/sdb", "/dev/disk/by-path/pci-0000:00:1f.2-ata-1", "/dev/disk/by-id/", "/dev/vg/osd"]
)
def test_a_path_that_may_mean_another_disk_tomorrow_is_an_error_with_its_line(path):
    with pytest.raises(InputError, match=r"region.yml:\d+:\d+ services.ceph.settings.wipe\[?.?0") as raised:
        region("{path: /dev/sdb, use: osd}", f"[{path}]")
    assert "serial number" in str(raised.value)
