"""Full-size packets between nodes: who asks whom, and what the answers mean."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from real import data, region

from scs_deploy.preflight.between import Probe, judge, probes


def test_the_payload_leaves_room_for_the_headers() -> None:
    assert "-s 1472 10.0.0.2 " in Probe("api", "n2", IPv4Address("10.0.0.2"), 1500).command()
    assert "-s 8952 fd00::2 " in Probe("tunnel", "n2", IPv6Address("fd00::2"), 9000).command()


def test_each_packet_that_did_not_arrive_is_a_finding_of_the_node_that_sent_it() -> None:
    asked = [Probe("api", "n2", IPv4Address("10.0.0.2"), 1500), Probe("tunnel", "n2", IPv4Address("10.1.0.2"), 9000)]
    (finding,) = judge("n1", asked, [0, 1])
    assert finding.path == "n1"
    assert finding.severity == "error"
    assert "9000 bytes" in finding.what
    assert "tunnel" in finding.what


def test_a_node_without_ping_says_so_once() -> None:
    asked = [Probe("api", "n2", IPv4Address("10.0.0.2"), 1500)] * 2
    assert [finding.severity for finding in judge("n1", asked, [127, 127])] == ["info"]


def test_a_node_that_was_not_reached_is_told_elsewhere() -> None:
    assert not list(judge("n1", [Probe("api", "n2", IPv4Address("10.0.0.2"), 1500)], []))


def test_one_node_asks_the_gateway_of_each_family_which_may_keep_silent() -> None:
    asked = probes(region(data("half-rack")))
    found = {(name, str(one.address)) for name, all_ in asked.items() for one in all_ if one.to == "the gateway"}
    assert found == {("control1", gateway) for gateway in ("10.78.1.1", "198.51.100.1", "2001:db8:78:2::1")}
    silent = next(one for one in asked["control1"] if one.to == "the gateway")
    (finding,) = judge("control1", [silent], [1])
    assert (finding.severity, finding.what) == (
        "warning",
        "packets of 1500 bytes do not reach the gateway on network api",
    )
