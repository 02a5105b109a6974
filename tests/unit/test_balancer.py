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


def test_logins_of_strangers_are_counted_and_limited() -> None:
    data = real.data("core")
    parts = real.text(real.desired(real.region(data)), "/haproxy.cfg").split("\n\n")
    (limited,) = [part.splitlines() for part in parts if "stick-table" in part]  # Horizon is not in the core
    assert limited[0] == "frontend keystone"
    (refused,) = [line.strip() for line in limited if "deny_status 429" in line]
    assert refused.endswith("if METH_POST login !node { sc_http_req_rate(0) gt 600 }")
    assert "    acl login path,url_dec -m sub auth/tokens" in limited
    data["services"]["haproxy"] = {"settings": {"logins_per_minute": 0}}
    assert "stick-table" not in real.text(real.desired(real.region(data)), "/haproxy.cfg")


def test_what_a_member_that_ends_took_with_it_is_asked_again_where_it_only_reads() -> None:
    """Its router takes requests until the last worker is done, and then ends without an answer."""
    balancer = real.text(real.desired(real.region(real.data("core"))), "/haproxy.cfg")
    (backend,) = [part for part in balancer.split("\n\n") if part.startswith("backend keystone\n")]
    lines = [line.strip() for line in backend.splitlines()]
    assert "retry-on conn-failure empty-response" in lines
    assert "http-request disable-l7-retry unless { method GET HEAD }" in lines
