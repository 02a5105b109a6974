"""One deployment for all tests of a session; every test leaves its plan empty."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from scs_deploy.paths import state_dir
from tests.deployment import Cloud, deploy, remove, write_region

KEEP = "SCS_TEST_KEEP"
"""Set: a deployment of an earlier session is used again and left running."""


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """The deployed region."""
    if os.geteuid() != 0:
        pytest.skip("a lab needs root: not run as root")
    folder = state_dir().parent / f"{state_dir().name}-regions" / "itest"
    kept = bool(os.environ.get(KEEP)) and (folder / "images.lock").exists()
    made = Cloud(write_region(folder, "itest", 75))
    if kept:
        made.run("image", "build", code=0)
        made.apply()
    else:
        deploy(made)
    yield made
    if not os.environ.get(KEEP):
        remove(made)


@pytest.fixture
def settled(cloud: Cloud) -> Iterator[Cloud]:
    """The deployment, whose plan is empty again when the test is over."""
    yield cloud
    try:
        cloud.assert_settled()
    except AssertionError:
        cloud.run("apply", "--yes")  # so that one failure does not become that of every later test
        raise
