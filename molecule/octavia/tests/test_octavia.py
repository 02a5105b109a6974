"""Load balancers as a plain member makes them: OVN carries them out, and says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from engine import ENGINE

from proofs.deployment import until

PATIENCE = 120


def made(answer: Any, kind: str) -> dict[str, Any]:
    assert answer.status in {200, 201}, answer.body
    return dict(answer.json[kind])


def active(member: Any, balancer: str) -> dict[str, Any]:
    """Wait until the balancer takes the next order."""

    def settled() -> dict[str, Any] | None:
        found = made(member.ask("GET", "load-balancer", f"/v2/lbaas/loadbalancers/{balancer}"), "loadbalancer")
        return found if found["provisioning_status"] in {"ACTIVE", "ERROR"} else None

    found: dict[str, Any] = until(settled, "the balancer takes the next order", PATIENCE, 0.5)
    assert found["provisioning_status"] == "ACTIVE", found
    return found


@pytest.fixture(scope="module")
def subnet(member: Any) -> Iterator[str]:
    network = made(member.ask("POST", "network", "/v2.0/networks", {"network": {"name": "lb"}}), "network")["id"]
    wanted = {"network_id": network, "ip_version": 4, "cidr": "198.51.100.0/24"}
    yield made(member.ask("POST", "network", "/v2.0/subnets", {"subnet": wanted}), "subnet")["id"]
    assert member.ask("DELETE", "network", f"/v2.0/networks/{network}").status == 204


@pytest.fixture(scope="module")
def balancer(member: Any, subnet: str) -> Iterator[dict[str, Any]]:
    wanted = {"loadbalancer": {"name": "lb", "vip_subnet_id": subnet}}
    found = made(member.ask("POST", "load-balancer", "/v2/lbaas/loadbalancers", wanted), "loadbalancer")
    yield active(member, found["id"])
    path = f"/v2/lbaas/loadbalancers/{found['id']}?cascade=true"
    assert member.ask("DELETE", "load-balancer", path).status == 204
    until(lambda: member.ask("GET", "load-balancer", path).status == 404, "the balancer is gone", PATIENCE, 0.5)


def test_ovn_is_the_only_provider(member: Any) -> None:
    assert {one["name"] for one in member.ask("GET", "load-balancer", "/v2/lbaas/providers").json["providers"]} == {
        "ovn"
    }


def test_a_member_makes_a_balancer_with_pool_and_members(member: Any, balancer: dict[str, Any], host: Any) -> None:
    assert balancer["provider"] == "ovn"
    pool = {"name": "lb", "protocol": "TCP", "lb_algorithm": "SOURCE_IP_PORT", "loadbalancer_id": balancer["id"]}
    pool = made(member.ask("POST", "load-balancer", "/v2/lbaas/pools", {"pool": pool}), "pool")
    active(member, balancer["id"])
    listener = {"name": "lb", "protocol": "TCP", "protocol_port": 80, "loadbalancer_id": balancer["id"]}
    listener["default_pool_id"] = pool["id"]
    made(member.ask("POST", "load-balancer", "/v2/lbaas/listeners", {"listener": listener}), "listener")
    active(member, balancer["id"])
    for last in (101, 102):
        wanted = {"member": {"address": f"198.51.100.{last}", "protocol_port": 8080}}
        made(member.ask("POST", "load-balancer", f"/v2/lbaas/pools/{pool['id']}/members", wanted), "member")
        active(member, balancer["id"])
    rows = host.check_output(f"{ENGINE} exec ovn-nb ovn-nbctl --timeout=20 --db=unix:/run/ovn/ovn-nb.sock lb-list")
    assert f"{balancer['vip_address']}:80" in rows
    assert "198.51.100.101:8080,198.51.100.102:8080" in rows


def test_without_a_token_it_is_closed(cloud: Any) -> None:
    assert cloud.send("GET", cloud.urls["load-balancer", "public"] + "/v2/lbaas/loadbalancers").status == 401
