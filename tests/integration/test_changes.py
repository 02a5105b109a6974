"""What plan lists is what apply reports and what the node itself tells: a sample of proofs/changes.py, by the same code."""

from __future__ import annotations

import pytest

from proofs.deployment import Cloud
from proofs.witness.stories import play, prepare, sample


def test_plan_report_and_node_agree_on_changes_of_all_kinds(settled: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCS_DEPLOY_ROLES", raising=False)
    rows = list(play(prepare(settled), sample()))
    assert [(row.change.name, row.wrong) for row in rows if row.wrong] == []
    assert len(rows) == len(sample().changes)
    for row in rows:
        assert row.written[0] == row.written[1]
        assert row.started[0] == row.started[1]
