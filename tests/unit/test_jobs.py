"""When jobs run again: what their digest is made of, with the services as they are."""

from __future__ import annotations

from typing import Any

import pytest
import real


def material(said: dict[str, Any], job: str) -> tuple[str, ...]:
    (found,) = [one for one in real.desired(real.region(said)).jobs if one.name == job]
    return tuple(found.material)


def without(said: dict[str, Any], group: str) -> dict[str, Any]:
    """The region less one node that is in just this group."""
    racks = [{**rack, "nodes": list(rack["nodes"])} for rack in said["racks"]]
    for rack in reversed(racks):
        alone = [node for node in rack["nodes"] if group in node["groups"] and "control" not in node["groups"]]
        if alone:
            rack["nodes"].remove(alone[-1])
            return {**said, "racks": racks}
    raise LookupError(group)


def test_a_job_that_is_told_who_its_peers_are_runs_again_for_others() -> None:
    said = real.data("half-rack")
    assert material(said, "nova-discover-hosts") != material(without(said, "compute"), "nova-discover-hosts")


@pytest.mark.parametrize("job", ["keystone-db-sync", "nova-db-sync"])
def test_a_job_that_is_told_nothing_of_it_does_not(job: str) -> None:
    said = real.data("half-rack")
    assert material(said, job) == material(without(said, "compute"), job)


def test_what_a_job_is_told_is_part_of_its_digest() -> None:
    """As it is told: not the template that it is made with."""
    for job in real.desired(real.region(real.data("half-rack"))).jobs:
        assert not [part for part in job.material if "{{" in part], job.name
