"""What is restarted under a running server: the server never stops, and its users hardly notice."""

from __future__ import annotations

from proofs import restarts
from proofs.deployment import Cloud


def test_no_restart_of_a_container_stops_a_server(cloud: Cloud, address: str) -> None:
    before = qemu(cloud)
    rows = {}
    print(f"\n{restarts.HEADER}")
    with cloud.reached() as fleet:
        for row in restarts.measure(cloud.site, fleet, address):
            print(restarts.show(row))
            rows[row.instance] = row
    assert qemu(cloud) == before
    vswitchd = rows["openvswitch-vswitchd"]
    # The flows are back with the switch, and not when somebody has computed them anew: what is watched afterwards is half over at most.
    assert vswitchd.ping_gap < vswitchd.healthy + restarts.AFTER / 2
    assert {name for name, row in rows.items() if row.broken} == set()


def qemu(cloud: Cloud) -> str:
    """Process IDs and start times of the servers."""
    return cloud.on_node("ps -C qemu-system-x86_64 -o pid=,lstart=")
