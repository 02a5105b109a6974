"""A node that does not answer is an error, unless it is in maintenance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proofs.deployment import Cloud


@pytest.fixture
def cut(settled: Cloud) -> Iterator[Cloud]:
    settled.lab.plug(settled.node, "api", connected=False)
    try:
        yield settled
    finally:
        settled.run("lab", "up", code=0)


def maintenance(data: dict[str, Any]) -> None:
    data["racks"][0]["nodes"][0]["state"] = "maintenance"


def test_an_unreachable_node_is_an_error_and_maintenance_leaves_it_out(cut: Cloud, tmp_path: Path) -> None:
    done = cut.run("plan", "--json", code=1)
    assert "n1" in done.stderr
    assert "state: maintenance" in done.stderr
    assert "Traceback" not in done.stderr
    metrics = tmp_path / "drift.prom"
    assert "n1" in cut.run("drift", "--textfile", str(metrics), code=1).stderr
    assert f'scs_deploy_unknown{{region="{cut.folder.name}"}} 1\n' in metrics.read_text()
    assert cut.run("apply", "--yes").returncode == 1
    with cut.edited(maintenance):
        assert "n1 is in maintenance" in cut.run("plan", "--detailed-exitcode", code=0).stdout
        cut.run("apply", "--yes", code=0)
