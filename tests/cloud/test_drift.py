"""Pools that somebody changed by hand are drift, told by what differs, and put right; one that was deleted is not made anew silently."""

from __future__ import annotations

from pathlib import Path

from proofs.deployment import Cloud, until
from proofs.witness.damage import Damage, found, repaired

STEP = "n1/ceph resources of"
KEPT = ("images", "backups", "default.rgw.log", "default.rgw.buckets.non-ec")


def ceph(*words: str) -> str:
    return f"podman exec ceph-mon ceph {' '.join(words)}"


SURE, VERY_SURE = "--yes-i-really-mean-it", "--yes-i-really-really-mean-it"
ALLOW = ceph("config set mon mon_allow_pool_delete")
DAMAGES = (
    Damage("pool's size", "images", ceph("osd pool set images size 2"), f"{STEP} glance", "size: 2, wanted ", "api"),
    Damage(
        "pool's groups",
        "default.rgw.log",
        ceph("osd pool set default.rgw.log pg_num 8"),
        f"{STEP} radosgw",
        "pg_num: 8 becomes 4",
        "api",
    ),
    Damage(
        "pool's application",
        "backups",
        ceph("osd pool application disable backups rbd", SURE),
        f"{STEP} cinder",
        "pool backups', 'how': \"application: '' becomes 'rbd'",
        "api",
    ),
    Damage(
        "pool deleted",
        "default.rgw.buckets.non-ec, which is empty",
        f"{ALLOW} true; {ceph('osd pool delete', *['default.rgw.buckets.non-ec'] * 2, VERY_SURE)}; {ALLOW} false; "
        + ceph("config rm mon mon_allow_pool_delete"),
        f"{STEP} radosgw",
        "deleted by somebody, with its data",
        "api",
    ),
)


def pools(cloud: Cloud) -> dict[str, str]:
    """What is said of each pool that is meddled with."""
    keys = ("size", "min_size", "crush_rule", "pg_num")
    return {
        name: " ".join(cloud.on_node(ceph("osd pool get", name, key)) for key in keys)
        + cloud.on_node(ceph("osd pool application get", name))
        for name in KEPT
    }


def test_pools_that_were_changed_by_hand_are_found_and_put_right(cloud: Cloud, tmp_path: Path) -> None:
    cloud.assert_settled()
    before, starts = pools(cloud), cloud.starts()
    try:
        found(cloud, tmp_path, DAMAGES)
        repaired(cloud, DAMAGES)
    except BaseException:
        cloud.run("apply", "--yes")  # so that one failure does not become that of every later test
        raise
    cloud.assert_settled()
    until(lambda: pools(cloud) == before, "placement groups are merged again", 300)
    assert cloud.restarted(starts) == set()
