"""An API whose workers have no time still greets whoever connects; one whose router does not is taken out of service."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.deployment import Cloud, until

PORT = 5000
GREETED = """
import socket, ssl
context = ssl.create_default_context(cafile="/etc/scs-deploy/keystone/etc/scs-tls/ca.pem")
with socket.create_connection(("{address}", {port}), timeout=5) as link:
    print(context.wrap_socket(link, server_hostname="n1").version())
"""
OF_KIND = """
from pathlib import Path
for process in Path("/proc").glob("[0-9]*"):
    try:
        if (process / "cmdline").read_text().startswith("uWSGI {kind} ") and "keystone.service" in (process / "cgroup").read_text():
            print(process.name)
    except OSError:
        continue
"""


def processes(cloud: Cloud, kind: str) -> list[str]:
    """Ids of the API's processes: each worker, or http for the router."""
    return cloud.on_node("python3 -", OF_KIND.format(kind=kind)).split()


def greeted(cloud: Cloud) -> bool:
    address = cloud.session().nodes["n1"].addresses["api"].v4
    return cloud.try_on_node("python3 -", GREETED.format(address=address, port=PORT)).stdout.startswith("TLS")


@contextmanager
def stopped(cloud: Cloud, kind: str) -> Iterator[None]:
    ids = " ".join(processes(cloud, kind))
    assert ids, f"no {kind} runs"
    cloud.on_node(f"kill -STOP {ids}")
    try:
        yield
    finally:
        cloud.on_node(f"kill -CONT {ids}")


def said(cloud: Cloud, words: str, since: float) -> bool:
    return words in cloud.on_node(f"journalctl -u haproxy.service --output=cat --since=@{int(since)}")


def test_whoever_connects_is_greeted_while_no_worker_has_time(settled: Cloud) -> None:
    with stopped(settled, "worker"):
        assert greeted(settled)


def test_a_router_that_does_nothing_is_noticed_and_one_that_goes_on_is_back(settled: Cloud) -> None:
    began = time.time()
    with stopped(settled, "http"):
        until(lambda: said(settled, "keystone/n1 is DOWN", began), "the balancer takes the API out", pause=1)
    until(lambda: said(settled, "keystone/n1 is UP", began), "the balancer takes it back", pause=1)


def test_a_router_that_died_is_started_anew_and_the_api_goes_on(settled: Cloud) -> None:
    (router,) = processes(settled, "http")
    settled.on_node(f"kill -KILL {router}")
    until(lambda: processes(settled, "http") not in ([], [router]), "another router runs")
    until(lambda: greeted(settled), "it shakes hands")
