"""The whole cloud on one lab node: the region of Molecule's scenarios, which is up already when ./run-tests comes here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proofs.deployment import REPOSITORY, Cloud

REGION = "SCS_TEST_CLOUD"
"""Another region to test, such as that of ./quickstart."""

STEPS = "smoke-steps.json"


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """The deployed region; deployed here when it is not yet."""
    if os.geteuid() != 0:
        pytest.skip("a lab needs root: not run as root")
    folder = Path(os.environ.get(REGION, REPOSITORY / "molecule" / "base"))
    if REGION not in os.environ:
        os.environ["SCS_DEPLOY_VAULT_PASSWORD"] = "molecule"
    made = Cloud(folder)
    made.run("image", "build", code=0, timeout=1800)
    made.run("lab", "up", code=0)
    made.run("secrets", "init", code=0)
    made.apply()
    made.run("cloud", "setup", "--yes", code=0, timeout=900)
    with made.reached():
        yield made


@pytest.fixture(scope="session")
def smoke(cloud: Cloud) -> dict[str, Any]:
    """The outcome of a whole smoke test; its first server still runs."""
    done = cloud.run("smoke", "--keep", "--json", timeout=1800)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["green"], done.stdout + done.stderr
    return found


@pytest.fixture
def address(cloud: Cloud, smoke: dict[str, Any]) -> Iterator[str]:
    """The floating IP of a running server; the plan is empty before and after."""
    yield smoke["address"]
    cloud.assert_settled()
