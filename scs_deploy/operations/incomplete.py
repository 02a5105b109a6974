"""A plan that does not say everything, or that cannot be carried out whole, as an error for people."""

from __future__ import annotations

from collections.abc import Mapping

from scs_deploy.errors import DeployError
from scs_deploy.plan.plan import Plan


def unreachable_error(unreachable: Mapping[str, str]) -> DeployError:
    """One error that names every node, or owner of resources, that could not tell its state."""
    lines = [
        f"{name}: {why.strip().splitlines()[0] if why.strip() else 'no answer'}"
        for name, why in sorted(unreachable.items())
    ]
    return DeployError(
        f"not everything could be observed: {', '.join(sorted(unreachable))}",
        why="; ".join(lines),
        fix="repair the node or its network, or set state: maintenance for it in region.yml",
    )


def refused_error(plan: Plan) -> DeployError:
    """One error that names every step that its node cannot carry out."""
    count = len(plan.refused)
    return DeployError(
        f"{count} step{'s are' if count > 1 else ' is'} refused: the node cannot do what it takes",
        where=", ".join(step.id for step in plan.refused),
        why="; ".join(dict.fromkeys(f"{one.path}: {one.what}" for step in plan.refused for one in step.refused)),
        fix="do what is said there; apply would leave them and what needs them alone, and do the rest",
    )
