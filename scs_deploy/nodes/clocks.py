"""The clocks of nodes against that of the controller, which dates certificates."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from scs_deploy.errors import DeployError

NOTEWORTHY = 30.0
"""Seconds; tokens, TLS and cluster leases start to fail with tens of seconds."""


def ahead(told: float, asked: tuple[float, float]) -> float:
    """Return by how many seconds a node's clock is surely ahead (negative: behind), told between two times of the controller's."""
    before, after = asked
    return told - after if told > after else min(0.0, told - before)


def notes(clocks: Mapping[str, float]) -> tuple[str, ...]:
    """Return a line for each node whose clock is noteworthily wrong, or the controller's is."""
    return tuple(
        f"the clock of {node} is {_off(seconds)} the controller's: correct the one that is wrong"
        for node, seconds in sorted(clocks.items())
        if abs(seconds) > NOTEWORTHY
    )


def refuse_certificates(clocks: Mapping[str, float], leeway: timedelta) -> None:
    """Raise ``DeployError`` when a certificate dated by the controller's clock would not be valid on a node."""
    wrong = {node: seconds for node, seconds in clocks.items() if abs(seconds) > leeway.total_seconds()}
    if wrong:
        raise DeployError(
            "no certificates are made while clocks disagree; nothing was changed",
            where=", ".join(sorted(wrong)),
            why="; ".join(
                f"the clock of {node} is {_off(seconds)} the controller's" for node, seconds in sorted(wrong.items())
            ),
            fix="set the clock that is wrong (compare `date -u` on both), then run the same command again",
        )


def _off(seconds: float) -> str:
    minutes = round(abs(seconds) / 60)
    size = f"{abs(seconds):.0f} s" if minutes < 2 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"
    return f"{size} {'ahead of' if seconds > 0 else 'behind'}"
