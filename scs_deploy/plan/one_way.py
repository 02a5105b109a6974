"""Data that goes forward only: which steps pass a point of no return, and which would go back over one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Seen
from scs_deploy.errors import Finding
from scs_deploy.plan.inputs import Inputs
from scs_deploy.plan.plan import Step
from scs_deploy.render.desired import Instance, OneWayData


def series(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a Debian version's upstream part: (18, 2) of ``1:18.2.7+ds-1``; empty for none."""
    return tuple(int(number) for number in re.findall(r"\d+", version.rpartition(":")[2])[:2])


def passed(instance: Instance, seen: Seen | None) -> tuple[str, ...]:
    """Return what a start of the instance does to data of an earlier series, as the reasons of its step tell it."""
    wanted, before = _said(instance), seen.version if seen else ""
    if not wanted or not before or series(wanted.version) <= series(before):
        return ()
    return (f"{wanted.package} {before} becomes {wanted.version}, and there is no way back",)


def back(instance: Instance, seen: Seen | None) -> tuple[Finding, ...]:
    """Return why the instance must not be started: a later series has written its data."""
    wanted, before = _said(instance), seen.version if seen else ""
    if not wanted or not wanted.version or series(wanted.version) >= series(before):
        return ()
    return (
        Finding(
            f"{wanted.package} {wanted.version} is older than {before}, which wrote the data of {instance.name}",
            why=wanted.why,
            fix=f"take an image with {wanted.package} {'.'.join(map(str, series(before)))}: scs-deploy image build makes "
            "what the release says, and images.lock in the region folder says what is run",
            path=instance.id,
        ),
    )


def notes(steps: Iterable[Step], inputs: Inputs) -> list[str]:
    """Say once per component what its steps make impossible."""
    found: dict[str, str] = {}
    wanted = {one.id: one for group in inputs.sealed.desired.instances.values() for one in group}
    for step in steps:
        one = wanted.get(step.id)
        said = one and _said(one)
        if one and said and step.restart and not step.refused and passed(one, inputs.seen(one.node, one.name)):
            found.setdefault(one.component, f"point of no return of {one.component}: {said.why}")
    return list(found.values())


def _said(instance: Instance) -> OneWayData | None:
    return instance.one_way if instance.kind == "container" else None
