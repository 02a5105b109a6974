"""The way to a region's nodes: over the networks that region.yml names, or into its lab while that is up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from scs_deploy.lab import Lab, LabSpec
from scs_deploy.nodes.fleet import Fleet
from scs_deploy.region.region import Region


def standing_lab(region: Region) -> Lab | None:
    """The region's lab; None unless it is up."""
    lab = Lab(LabSpec.from_region(region))
    return lab if lab.files.private_key.exists() else None


@contextmanager
def reach(region: Region) -> Iterator[Fleet]:
    """The nodes and how they are reached, for the body: this thread, and what it starts, are where the lab's networks are."""
    lab, fleet = standing_lab(region), Fleet.of(region.nodes, region.folder)
    with lab.entered() if lab else nullcontext():
        yield lab.fleet(fleet) if lab else fleet
