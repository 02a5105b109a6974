"""What the load balancer passes on, as the real role renders it."""

from __future__ import annotations

import real


def test_where_a_request_came_from_is_what_the_balancer_saw_alone() -> None:
    """A client could otherwise choose the address that policies of buckets, and logs, see."""
    balancer = real.text(real.desired(real.region(real.data("core"))), "/haproxy.cfg")
    parts = [part.splitlines() for part in balancer.split("\n\n") if "option forwardfor" in part]
    assert parts
    for lines in parts:
        removed = lines.index("    http-request del-header X-Forwarded- -m beg")
        assert removed < lines.index("    http-request set-header X-Forwarded-Proto https")
        assert "    http-request del-header Forwarded" in lines
        assert {
            f"    http-response set-header {one}"
            for one in ("X-Content-Type-Options nosniff", "Referrer-Policy same-origin")
        } < set(lines)


def test_what_a_member_that_ends_took_with_it_is_asked_again_where_it_only_reads() -> None:
    """Its router takes requests until the last worker is done, and then ends without an answer."""
    balancer = real.text(real.desired(real.region(real.data("core"))), "/haproxy.cfg")
    (backend,) = [part for part in balancer.split("\n\n") if part.startswith("backend keystone\n")]
    lines = [line.strip() for line in backend.splitlines()]
    assert "retry-on conn-failure empty-response" in lines
    assert "http-request disable-l7-retry unless { method GET HEAD }" in lines
