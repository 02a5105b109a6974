"""One deployment for all tests of a session; every test leaves its plan empty."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from proofs.deployment import Cloud, deployed

REGION = "SCS_TEST_REGION"
"""Name and subnet number of the region, such as "mine 63", where another checkout tests at the same time."""


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """The deployed region."""
    if os.geteuid() != 0:
        pytest.skip("a lab needs root: not run as root")
    name, subnet = os.environ.get(REGION, "itest 75").split()
    with deployed(name, int(subnet)) as made:
        yield made


@pytest.fixture
def settled(cloud: Cloud) -> Iterator[Cloud]:
    """The deployment, whose plan is empty again when the test is over."""
    yield cloud
    try:
        cloud.assert_settled()
    except AssertionError:
        cloud.run("apply", "--yes")  # so that one failure does not become that of every later test
        raise
