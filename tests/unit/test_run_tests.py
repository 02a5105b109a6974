"""The runner of the tests: what it counts, and that no failed phase can look green."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[2] / "tools" / "run_tests.py"
REPORT = '<testsuites><testsuite tests="10" failures="{failures}" errors="1" skipped="2"/></testsuites>'


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_tests_under_test", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    module.STATE = tmp_path
    (tmp_path / "logs").mkdir()
    return module


@pytest.mark.parametrize(
    ("fast", "k", "expected"),
    [
        (True, "", "unit"),
        (True, "x", "unit"),
        (False, "x", "unit / integration / labs / cloud"),
        (False, "", "ansible-lint / unit / images / integration, molecule > cloud, labs"),
    ],
)
def test_labs_come_last_and_two_of_them_side_by_side(runner: ModuleType, fast: bool, k: str, expected: str):
    found = list(runner.phases(SimpleNamespace(fast=fast, k=k)))
    names = [", ".join(" > ".join(one.name for one in (phase, *phase.then)) for phase in lane) for lane in found]
    assert " / ".join(names).endswith(expected)
    assert ("ruff check" in names) is not bool(k)
    assert all(
        phase.argv[0].startswith(runner.BIN) for lane in found for phase in lane if phase.argv[0].startswith("/")
    )


def test_a_report_is_counted(runner: ModuleType):
    runner.report("unit").write_text(REPORT.format(failures=3))
    assert runner.told(runner.count(runner.Phase("unit", (), tests="report"), 1, "")) == "4 passed, 4 failed, 2 skipped"


@pytest.mark.parametrize(
    ("tests", "code", "output", "expected"),
    [
        ("one", 0, "", "1 passed, 0 failed, 0 skipped"),
        ("one", 1, "", "0 passed, 1 failed, 0 skipped"),
        ("one", -1, "", "0 passed, 1 failed, 0 skipped"),
        ("report", 5, "", "0 passed, 1 failed, 0 skipped"),
        ("report", 4, "", "0 passed, 1 failed, 0 skipped"),
        ("own line", 1, "x\n5 passed, 2 failed\n", "5 passed, 2 failed, 0 skipped"),
        ("own line", 1, "5 passed, 2 failed\nlab is gone\n", "5 passed, 2 failed, 0 skipped"),
        ("own line", 1, "5 passed, 0 failed\n", "5 passed, 1 failed, 0 skipped"),
        ("own line", 130, "interrupted", "0 passed, 1 failed, 0 skipped"),
    ],
)
def test_no_failure_is_lost(runner: ModuleType, tests: str, code: int, output: str, expected: str):
    assert runner.told(runner.count(runner.Phase("p", (), tests=tests), code, output)) == expected


def test_nothing_may_be_found_only_where_names_were_chosen(runner: ModuleType):
    chosen = runner.Phase("none", ("pytest", "-k", "x"), tests="report")
    assert runner.told(runner.count(chosen, 5, "")) == "0 passed, 0 failed, 0 skipped"


def test_a_phase_has_a_limit_and_its_output_is_kept(runner: ModuleType):
    phase = runner.Phase("slow", ("sh", "-c", "echo begun; exec sleep 60"), limit=1, quiet=True)
    began = time.monotonic()
    assert runner.run(phase) == (-1, "begun\n")
    assert time.monotonic() - began < 10


def test_a_program_that_is_not_there_is_a_failure(runner: ModuleType):
    code, output = runner.run(runner.Phase("gone", ("/no/such/program",)))
    assert code
    assert "/no/such/program" in output


def test_phases_run_side_by_side_and_each_line_says_whose_it_is(runner: ModuleType, tmp_path: Path, capsys: Any):
    meet = f"touch {tmp_path}/$0; until [ -e {tmp_path}/$1 ]; do sleep 0.05; done; echo met $1; exit $2"
    together = [
        runner.Phase(name, ("timeout", "20", "sh", "-c", meet, name, other, code))
        for name, other, code in (("a", "b", "0"), ("b", "a", "3"))
    ]
    found = [(phase.name, code, output) for phase, code, output, _ in runner.run_together(together)]
    assert found == [("a", 0, "met b\n"), ("b", 3, "met a\n")]
    assert set(capsys.readouterr().out.splitlines()) == {"[a] met b", "[b] met a"}
    assert list(runner.STATE.glob("phase-*")) == []


def test_what_follows_a_phase_does_not_wait_for_what_runs_beside_it(runner: ModuleType, tmp_path: Path):
    second = runner.Phase("second", ("touch", str(tmp_path / "second")))
    waits = ("timeout", "20", "sh", "-c", f"until [ -e {tmp_path}/second ]; do sleep 0.05; done")
    together = [runner.Phase("beside", waits), runner.Phase("first", ("false",), then=(second,))]
    found = [(phase.name, code) for phase, code, _, _ in runner.run_together(together)]
    assert found == [("beside", 0), ("first", 1), ("second", 0)]


def test_a_third_waits_for_the_first_that_ends(runner: ModuleType, tmp_path: Path):
    waits = ("timeout", "20", "sh", "-c", f"until [ -e {tmp_path}/third ]; do sleep 0.05; done")
    late = ("sh", "-c", f"[ -e {tmp_path}/ended ] && touch {tmp_path}/third")
    lanes = [
        runner.Phase("long", waits),
        runner.Phase("short", ("touch", str(tmp_path / "ended"))),
        runner.Phase("third", late),
    ]
    assert [code for _, code, _, _ in runner.run_together(lanes)] == [0, 0, 0]


def test_what_stays_in_the_background_does_not_hold_the_run(runner: ModuleType):
    phase = runner.Phase("leaves", ("sh", "-c", "setsid sleep 20 & echo done"), quiet=True)
    began = time.monotonic()
    assert runner.run(phase) == (0, "done\n")
    assert time.monotonic() - began < 10


def test_the_phase_of_a_killed_run_is_ended_and_a_stranger_is_not(runner: ModuleType):
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        record = runner.STATE / f"phase-{process.pid}"
        record.write_text("1")
        runner.end_orphans()
        assert process.poll() is None
        record.write_text(runner.birth(process.pid))
        runner.end_orphans()
        assert process.wait(timeout=5) == -9


def test_a_process_that_has_just_gone_does_not_save_the_others(runner: ModuleType):
    gone = subprocess.Popen(["true"], start_new_session=True)
    gone.wait()
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        runner.end(SimpleNamespace(pid=gone.pid, poll=lambda: None, wait=lambda timeout: 0), process)
        assert process.poll() == -signal.SIGINT


def test_phases_are_ended_side_by_side_and_further_signals_do_not_disturb_that(runner: ModuleType, tmp_path: Path):
    meet = (
        "trap 'touch $0.ends; until [ -e $1.ends ]; do sleep 0.05; done; sleep 0.5; touch $0.cleaned; exit' INT;"
        "touch $0.runs; while :; do sleep 0.05; done"
    )
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    together = [
        runner.Phase(one[-1], ("timeout", "--foreground", "20", "sh", "-c", meet, one, two))
        for one, two in ((a, b), (b, a))
    ]

    def interrupt_twice() -> None:
        for suffix in ("runs", "ends"):
            while not (Path(f"{a}.{suffix}").exists() and Path(f"{b}.{suffix}").exists()):
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, runner.interrupted)
    try:
        threading.Thread(target=interrupt_twice, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            runner.run_together(together)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert Path(f"{a}.cleaned").exists()
    assert Path(f"{b}.cleaned").exists()


def test_a_phase_that_starts_after_the_signal_is_ended_at_once(runner: ModuleType):
    runner.STOPPING.set()
    began = time.monotonic()
    runner.run(runner.Phase("late", ("sleep", "60"), quiet=True))
    assert time.monotonic() - began < 10


def test_shell_is_found_by_its_first_line(runner: ModuleType, tmp_path: Path):
    for name, text in {"a.sh": "x\n", "b": "#!/bin/bash\n", "c": "#!/usr/bin/python3\n", "d": ""}.items():
        (tmp_path / name).write_text(text)
    assert [name for name in ("a.sh", "b", "c", "d", "e") if runner.is_shell(tmp_path / name)] == ["a.sh", "b"]


def test_phases_take_ctrl_c_although_the_shell_began_us_with_it_ignored(runner: ModuleType, monkeypatch: Any):
    asked = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    found = []

    def run_all(_: object) -> int:
        found.append(runner.run(runner.Phase("asked", (sys.executable, "-c", asked), quiet=True)))
        return 0

    monkeypatch.setattr(runner, "run_all", run_all)
    monkeypatch.setattr(runner, "ROOT", runner.STATE)
    monkeypatch.setattr(runner, "clean_up", lambda: None)
    monkeypatch.setattr(sys, "argv", ["run-tests"])
    (runner.STATE / ".state").mkdir()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        runner.main()
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, terminate)
    assert found == [(0, "True\n")]
