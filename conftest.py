"""What holds for all tests of this repository: which come first and last, and that nothing is skipped silently."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest

ROOT = Path(__file__).parent

FIRST = {"tests/cloud/test_accounts.py": "whatever comes after works with new passwords"}
LAST = {
    "tests/integration/test_destroy.py": "ends the deployment",
    "tests/cloud/test_reboot.py": "takes everything down, and shows that what all others did outlives it",
    "tests/cloud/test_drift.py": "pools are changed, deleted and made again",
    "tests/cloud/test_disk.py": "the OSD that it adds stays",
}
"""Files whose tests share a deployment with others and change it; in this order, all others in between by name."""

MAY_SKIP = {
    "nothing was damaged: molecule side-effect was not run": "of a scenario that is verified by hand",
}
"""Reasons with which a test may be skipped, each with its own; every other skip is a failure."""

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=place)


def place(item: pytest.Item) -> int:
    name = item.path.relative_to(ROOT).as_posix()
    return -1 if name in FIRST else [None, *LAST].index(name) if name in LAST else 0


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return told((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return told((yield))


def told(report: Report) -> Report:
    """A skip that is not on the list becomes a failure; an expected failure is none."""
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason not in MAY_SKIP:
            report.outcome = "failed"
            report.longrepr = f"skipped: {reason}\nThe reasons that do are listed in {Path(__file__).name}."
    return report
