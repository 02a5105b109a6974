"""APIs that have more to do than they can: slow they may be, but nobody is sent away, and none is taken out of service."""

from __future__ import annotations

from bench import load
from proofs.deployment import Cloud

CLIENTS = 4
SECONDS = 20.0


def test_a_busy_cloud_refuses_nobody_and_loses_no_api(cloud: Cloud) -> None:
    site = cloud.site
    with (
        cloud.reached() as fleet,
        load.crowd(site, print) as crowd,
        load.hogs(SECONDS + 300),
        load.watched(site, fleet) as result,
    ):
        found = load.summary(crowd.run(CLIENTS, SECONDS))
    print(load.shown("4 beside 2 hogs", {**found, **result}))
    assert found["failed"] == []
    assert result["down"] == []
    assert found["apis"].keys() >= {"identity", "compute", "network", "image", "block-storage"}
