"""ceph on a node: a cluster that is healthy and encrypted, and gives its users no more than they need."""

from __future__ import annotations

import json
from typing import Any

import pytest


def ceph(host: Any, command: str) -> Any:
    return json.loads(host.check_output(f"podman exec ceph-mon ceph --connect-timeout 20 {command} --format json"))


@pytest.fixture(autouse=True)
def _deployed(host: Any) -> None:
    if host.run("podman container exists ceph-mon").rc:
        pytest.skip("this region does not deploy ceph")


def test_monitors_have_a_quorum_of_encrypted_addresses_only(host: Any) -> None:
    found = ceph(host, "mon dump")
    assert len(found["quorum"]) == len(found["mons"])
    kinds = {address["type"] for mon in found["mons"] for address in mon["public_addrs"]["addrvec"]}
    assert kinds == {"v2"}
