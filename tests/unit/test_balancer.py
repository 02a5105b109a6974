"""What the load balancer passes on, as the real role renders it."""

from __future__ import annotations

import real


def test_where_a_request_came_from_is_what_the_balancer_saw_alone() -> None:
    """A client could otherwise choose the address that policies of buckets, and logs, see."""
    balancer = real.text(real.desired(real.region(real.data("core"))), "/haproxy.cfg")
    parts = [part.splitlines() for part in balancer.split("\n\n") if "option forwardfor" in part]
    assert parts
    for lines in parts:
        assert "    http-request del-header X-Forwarded-For" in lines
