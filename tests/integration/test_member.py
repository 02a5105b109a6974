"""A database member that takes no queries is taken away by the load balancer within seconds, and comes back by itself."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator

import pytest

from proofs.deployment import Cloud, until

STAT = """
import socket
with socket.socket(socket.AF_UNIX) as link:
    link.connect("/run/scs-deploy/haproxy/admin.sock")
    link.sendall(b"show stat\\n")
    print(b"".join(iter(lambda: link.recv(65536), b"")).decode())
"""


def server(cloud: Cloud) -> dict[str, str]:
    """What the load balancer says of the member."""
    rows = csv.DictReader(io.StringIO(cloud.on_node("python3 -", STAT).removeprefix("# ")))
    return next(row for row in rows if (row["pxname"], row["svname"]) == ("mariadb", cloud.node))


def is_state(cloud: Cloud, state: str) -> Callable[[], bool]:
    return lambda: server(cloud)["status"].split()[0] == state


@pytest.fixture
def member(settled: Cloud) -> Iterator[Cloud]:
    until(is_state(settled, "UP"), "the member is used")
    yield settled
    until(is_state(settled, "UP"), "the member is used again")
    until(lambda: settled.run("status").returncode == 0, "everything is healthy again")


def states(cloud: Cloud) -> str:
    return cloud.run("status", code=1).stdout


def test_one_that_rejects_queries(member: Cloud) -> None:
    member.sql("SET GLOBAL wsrep_reject_queries = ALL")
    try:
        until(is_state(member, "DOWN"), "it is taken away", 30)
        assert "rejects queries" in member.run("logs", "mariadb-check", "-n", "3", code=0).stdout
        assert "unhealthy" in states(member)
    finally:
        member.sql("SET GLOBAL wsrep_reject_queries = NONE")


def test_one_that_is_stopped(member: Cloud) -> None:
    """Its kernel goes on accepting connections for it."""
    member.on_node("pkill -STOP -x mariadbd")
    try:
        until(is_state(member, "DOWN"), "it is taken away", 60)
        assert "unhealthy" in states(member)
    finally:
        member.on_node("pkill -CONT -x mariadbd")


def test_a_restart_of_the_check_takes_nobody_away(member: Cloud) -> None:
    before = server(member)["chkdown"]
    member.on_node("systemctl restart mariadb-check")
    until(lambda: server(member)["check_status"] == "L7OK", "it is asked again")
    assert server(member)["chkdown"] == before


def test_the_account_of_the_check_may_do_nothing(member: Cloud) -> None:
    name = member.login_name("mariadb-check", "mariadb-check")
    grants = member.sql(f"SHOW GRANTS FOR '{name}'@'%'").splitlines()
    assert all("USAGE" in line or "scs_deploy" in line for line in grants), grants
    assert member.sql("SHOW GRANTS FOR scs_deploy") == "" or "USAGE" in member.sql("SHOW GRANTS FOR scs_deploy")
