"""The last one, as it takes everything down: a rebooted node brings cloud and servers back without the controller."""

from __future__ import annotations

import contextlib

from proofs.deployment import Cloud, until
from scs_deploy.smoke import reach


def test_cloud_and_server_come_back_by_themselves(cloud: Cloud, address: str) -> None:
    cloud.lab.reboot(cloud.node)
    said = cloud.on_node("journalctl -b -1 -u scs-servers -o cat --no-pager")
    assert "servers shut down: 1" in said
    assert "are switched off" not in said, "the server was not given the time to shut down"
    until(lambda: answers(address), "the server answers again", 300)
    until(lambda: cloud.run("status").returncode == 0, "every instance is healthy", 240)
    cloud.assert_settled()
    assert cloud.on_node("systemctl --failed --plain --no-legend") == ""


def answers(address: str) -> bool:
    with contextlib.suppress(OSError):
        return reach.get(address).startswith("guest ")
    return False
