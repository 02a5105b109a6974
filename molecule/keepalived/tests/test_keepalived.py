"""Virtual addresses: held once, as host addresses, and given up with the balancer."""

from __future__ import annotations

import json
import time
from typing import Any


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
        assert _eventually(lambda: not _virtual(host)), "clients would be sent to a node that cannot serve them"
    finally:
        host.check_output("systemctl start haproxy")
    assert _eventually(lambda: set(_virtual(host)) == before)


def _eventually(condition: Any, seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.5)
    return False
