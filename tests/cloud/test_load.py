"""APIs that have more to do than they can: slow they may be, but nobody is sent away, and none is taken out of service."""

from __future__ import annotations

import signal
import sys
import time

from tests.deployment import REPOSITORY, Cloud, until

sys.path.insert(0, str(REPOSITORY / "bench"))

import load

CLIENTS = 4
SECONDS = 20.0
API = "neutron-api"


def test_a_busy_cloud_refuses_nobody_and_loses_no_api(cloud: Cloud) -> None:
    session = cloud.session()
    with load.crowd(session, print) as crowd, load.hogs(SECONDS + 300), load.watched(session) as result:
        found = load.summary(crowd.run(CLIENTS, SECONDS))
    print(load.shown("4 beside 2 hogs", {**found, **result}))
    assert found["failed"] == []
    assert result["down"] == []
    assert found["apis"].keys() >= {"identity", "compute", "network", "image", "block-storage"}


def test_an_api_that_hangs_is_still_noticed(cloud: Cloud) -> None:
    """Its router stops: handshakes end no more. It is taken out, and back once it goes on."""
    session, began = cloud.session(), time.time()
    cloud.on_node(told(signal.SIGSTOP))
    try:
        until(lambda: said(session, began, "neutron/n1 is DOWN"), "the API that hangs is taken out of service")
    finally:
        cloud.on_node(told(signal.SIGCONT))
    until(lambda: said(session, began, "neutron/n1 is UP"), "the API that goes on is back")


def told(number: signal.Signals) -> str:
    """The command that sends a signal to all processes of the API."""
    return f"systemctl kill --signal={number.name} {API}.service"


def said(session: load.Session, since: float, words: str) -> bool:
    return any(words in line for line in load.balancer_log(session, since))
