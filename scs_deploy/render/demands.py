"""What a component demands of its node, judged by the node's facts."""

from __future__ import annotations

from collections.abc import Iterator

from scs_deploy.errors import Finding
from scs_deploy.render.scope import InstanceScope


def unfit(scope: InstanceScope) -> Iterator[Finding]:
    """Yield a finding per demand that the node does not meet; raises ``InputError`` for an expression that fails."""
    for demand in scope.component.demands:
        if not scope.given.templates.value(scope.service.name, demand.that, scope.context):
            yield Finding(
                scope.string(demand.what),
                why=scope.string(demand.why),
                fix=scope.string(demand.fix),
                path=f"{scope.node.name}/{scope.placed.name}",
            )
