"""A rebooted node comes back by itself, without a controller."""

from __future__ import annotations

from proofs.deployment import Cloud, until


def test_a_rebooted_node_comes_back_by_itself(settled: Cloud) -> None:
    before = settled.state()
    settled.lab.reboot(settled.node)
    until(lambda: settled.run("prove").returncode == 0, "a token after the reboot", 120)
    settled.assert_settled()
    after = settled.state()
    assert after["end"] == before["end"]
    assert set(before["end"]["containers"]) <= settled.restarted(before["starts"])
    assert settled.on_node("systemctl --failed --plain --no-legend") == ""
