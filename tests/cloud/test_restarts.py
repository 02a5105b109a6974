"""What a server stands on is restarted under it: it never stops, and its users hardly notice; of all containers: proofs.restarts."""

from __future__ import annotations

from proofs import restarts
from proofs.deployment import Cloud

UNDER_A_SERVER = (
    "openvswitch-db",
    "openvswitch-vswitchd",
    "ovn-nb",
    "ovn-northd",
    "ovn-sb",
    "ovn-controller",
    "ceph-mon",
    "ceph-osd.vdb",
    "libvirt",
    "nova-compute",
    "neutron-ovn-metadata-agent",
    "keepalived",
)
"""What carries its frames, its disk and its process; the others are APIs and what they need."""


def test_no_restart_of_a_container_stops_a_server(cloud: Cloud, address: str) -> None:
    before = qemu(cloud)
    rows = {}
    print(f"\n{restarts.HEADER}")
    with cloud.reached() as fleet:
        for row in restarts.measure(cloud.site, fleet, address, UNDER_A_SERVER):
            print(restarts.show(row))
            rows[row.instance] = row
    assert set(rows) == set(UNDER_A_SERVER)
    assert qemu(cloud) == before
    vswitchd = rows["openvswitch-vswitchd"]
    # The flows are back with the switch, and not when somebody has computed them anew: what is watched afterwards is half over at most.
    assert vswitchd.ping_gap < vswitchd.healthy + restarts.AFTER / 2
    assert {name for name, row in rows.items() if row.broken} == set()


def qemu(cloud: Cloud) -> str:
    """Process IDs and start times of the servers."""
    return cloud.on_node("ps -C qemu-system-x86_64 -o pid=,lstart=")
