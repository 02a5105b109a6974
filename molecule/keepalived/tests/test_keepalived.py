"""Virtual addresses: held once, as host addresses, and given up with the balancer."""

from __future__ import annotations

import json
from typing import Any

from proofs.deployment import until


def _virtual(host: Any) -> list[str]:
    links = json.loads(host.check_output("ip -json address show"))
    return [
        address["local"]
        for link in links
        if link["ifname"] != "lo"
        for address in link["addr_info"]
        if (address["family"], address["prefixlen"]) in (("inet", 32), ("inet6", 128)) and address["scope"] == "global"
    ]


def test_runs_and_holds_an_address(host: Any) -> None:
    assert host.service("keepalived").is_running
    assert _virtual(host)


def test_gives_the_addresses_up_while_the_balancer_is_down(host: Any) -> None:
    before = set(_virtual(host))
    host.check_output("systemctl stop haproxy")
    try:
        until(lambda: not _virtual(host), "no client is sent to a node that cannot serve it", 30, 0.5)
    finally:
        host.check_output("systemctl start haproxy")
    until(lambda: set(_virtual(host)) == before, "the addresses are back", 30, 0.5)
