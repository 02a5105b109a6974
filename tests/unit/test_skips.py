"""A test that is skipped is a test that failed, but for reasons that are listed; the order of those that disturb others is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[2] / "conftest.py"
NAMED = "nothing was damaged: molecule side-effect was not run"


def run(folder: Path, *options: str, **tests: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, folder)
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, text in tests.items():
        (folder / f"test_{name}.py").write_text(f"import pytest\n\n{text}\n")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, env=alone)


def test_a_skip_fails_the_run(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        call="def test_a():\n    pytest.skip('no root')",
        mark="@pytest.mark.skipif(True, reason='no root')\ndef test_a(): pass",
        fixture="@pytest.fixture\ndef lab(): pytest.skip('no root')\ndef test_a(lab): pass",
    )
    assert done.returncode == 1
    assert "1 failed, 2 errors" in done.stdout
    assert done.stdout.count("- skipped: no root") == 3, "each tells its reason"


def test_a_file_that_is_skipped_fails_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, file="pytest.skip('no root', allow_module_level=True)", needs="pytest.importorskip('no_root')")
    assert done.returncode
    assert "2 errors" in done.stdout


def test_a_skip_that_is_listed_does_not(tmp_path: Path) -> None:
    done = run(tmp_path, named=f"def test_a():\n    pytest.skip('{NAMED}')")
    assert (done.returncode, "1 skipped" in done.stdout) == (0, True), done.stdout


def test_tests_that_change_what_others_need_come_last_in_the_order_of_the_list(tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "cloud"
    folder.mkdir(parents=True)
    for name in ("accounts", "borders", "disk", "drift", "reboot", "smoke"):
        (folder / f"test_{name}.py").write_text("def test_it(): pass\n")
    said = run(tmp_path, "--collect-only", "tests").stdout
    order = [line.split("_")[1].partition(".")[0] for line in said.splitlines() if "::" in line]
    assert order == ["accounts", "borders", "smoke", "reboot", "drift", "disk"]
