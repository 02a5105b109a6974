"""What a plan is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Answer, Seen
from scs_deploy.plan.dependencies import Order
from scs_deploy.region.region import Region
from scs_deploy.render.digests import Sealed

Observed = Mapping[str, Answer]
"""node -> its answer to a look"""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Desired and observed state of a region, and which part of it is asked for."""

    region: Region
    sealed: Sealed
    order: Order
    observed: Observed
    unreachable: Mapping[str, str]
    """node -> why"""
    limit: tuple[str, ...] = ()
    """Nodes; empty means all."""
    services: tuple[str, ...] = ()
    """Services; empty means all."""
    purge: bool = False

    def seen(self, node: str, instance: str) -> Seen | None:
        """Return what a node said of an instance."""
        return self.observed[node].instances.get(instance) if node in self.observed else None
