"""Full-size packets between nodes: who asks whom, and what the answers mean."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from scs_deploy.preflight.between import Probe, judge


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
