"""After all others, for the OSD stays: a disk more. One with data of somebody else is refused, and adding an OSD restarts nothing."""

from __future__ import annotations

from typing import Any

from proofs.deployment import Cloud, until

DISK = "/dev/vdc"


def test_a_disk_with_data_is_refused_and_an_osd_more_restarts_nothing(cloud: Cloud) -> None:
    cloud.on_node(f"mkfs.ext4 -q -L precious {DISK}")
    before = cloud.starts()
    with cloud.edited(one_osd_more):
        done = cloud.apply(code=1)
        assert "failed: create n1/ceph-osd.vdc" in done.stderr
        assert "precious" in done.stderr
        assert others(cloud.restarted(before)) == set()
        assert "precious" in cloud.on_node(f"blkid {DISK}"), "its data is gone"

        cloud.on_node(f"wipefs --quiet --all {DISK}")
        cloud.apply()
        assert others(cloud.restarted(before)) == set()
        until(
            lambda: cloud.on_node("podman exec ceph-mon ceph osd stat").startswith("2 osds: 2 up"), "both OSDs are up"
        )
        cloud.assert_settled()


def one_osd_more(data: dict[str, Any]) -> None:
    (disk,) = (one for one in data["racks"][0]["nodes"][0]["disks"] if one["path"] == DISK)
    disk["use"] = "osd"


def others(names: set[str]) -> set[str]:
    return {name for name in names if "vdc" not in name}
