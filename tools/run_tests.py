"""The phases of ./run-tests, one after the other: each with its time, all of them even if one fails, one line at the end.

An own runner: nox and tox run one session after the other, and know nothing of labs that a killed run left behind.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".state" / "tests"
"""Labs, logs and Ansible's private folders of test runs; apart from those of ./quickstart."""

OWN_STATE = {name: STATE / f"of-{name}" for name in ("integration", "labs")}
"""Those of tests that look whether anything is left there while others run beside them."""

AT_ONCE = 2
"""Lanes that run side by side, however many cores there are: each has a lab, with all that belongs to it, in memory."""

BIN = str(ROOT / ".venv" / "bin")
NOTHING_COLLECTED, CANNOT_START, INTERRUPTED = 5, 127, 130


@dataclass(frozen=True, slots=True)
class Phase:
    """``limit`` in seconds ends it, so that a hanging test cannot take the summary with it.

    ``tests``, where their number stands: it counts as one, in pytest's ``report``, or in an ``own line`` "N passed, N failed".
    ``quiet``: output is shown only when it fails. ``then``: what comes after it, while what it runs beside may go on.
    """

    name: str
    argv: tuple[str, ...]
    limit: int = 600
    env: dict[str, str] = field(default_factory=dict)
    tests: str = "one"
    quiet: bool = False
    then: tuple[Phase, ...] = ()


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


# -- what is run -------------------------------------------------------------------------------------------------------


def phases(options: argparse.Namespace) -> Iterator[tuple[Phase, ...]]:
    """What is yielded together runs side by side. Cheap ones first: a misspelling shall not wait for a lab."""
    if not options.k:
        yield from ((phase,) for phase in lint(options.fast))
    yield (pytest("unit", options, "-n", "auto", "-q", **({"SCS_DEPLOY_EXAMPLES": "300"} if options.fast else {})),)
    if options.fast:
        return
    integration, labs = (
        pytest(name, options, "-v", limit=4200, SCS_DEPLOY_STATE_DIR=str(state)) for name, state in OWN_STATE.items()
    )
    cloud = pytest("cloud", options, "-v", limit=2700)  # on Molecule's lab, where all services run
    if options.k:
        yield from ((integration,), (labs,), (cloud,))
        return
    # Molecule's region, so that a user's images.lock is left alone.
    yield (Phase("images", (f"{BIN}/scs-deploy", "image", "build", "--region", "molecule/base"), 1800),)
    # Each has a lab of its own and waits half of its time; labs follow whichever ends first.
    yield integration, Phase("molecule", ("tools/molecule.sh", "--fresh"), 3000, tests="own line", then=(cloud,)), labs


def lint(fast: bool) -> Iterator[Phase]:
    for name, *more in (("ruff check", "."), ("ruff format", "--check", "."), ("mypy",), ("yamllint", "--strict", ".")):
        yield Phase(name, (f"{BIN}/{name.split()[0]}", *name.split()[1:], *more), quiet=True)
    if not fast or shutil.which("shellcheck"):
        yield Phase("shellcheck", ("shellcheck", "-x", "--exclude=SC2148", *shell_scripts()), quiet=True)
    if not fast:
        yield Phase("ansible-lint", (f"{BIN}/ansible-lint", "--offline", "--nocolor", "-q"), quiet=True)


def pytest(name: str, options: argparse.Namespace, *more: str, limit: int = 900, **env: str) -> Phase:
    chosen = ("-k", options.k) if options.k else ()
    asked = (f"tests/{name}", f"--junitxml={report(name)}", "--color=no", *more, *chosen)
    return Phase(name, (f"{BIN}/python", "-m", "pytest", *asked), limit, env, tests="report")


def report(name: str) -> Path:
    return STATE / "logs" / f"{name}.xml"


def shell_scripts() -> list[str]:
    """Files under version control that are shell; templates are not."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and not name.endswith(".j2") and is_shell(ROOT / name)]


def is_shell(path: Path) -> bool:
    """By suffix or by the first line."""
    return path.is_file() and (path.suffix == ".sh" or bool(re.match(rb"#!.*/(ba)?sh\b", path.read_bytes()[:80])))


# -- how it is run -----------------------------------------------------------------------------------------------------

RUNNING: list[subprocess.Popen[str]] = []
STOPPING = threading.Event()
"""Set by the first signal. A phase puts itself into RUNNING, then looks here: so one of both sides ends it."""

Outcome = tuple[Phase, int, str, float]
"""A phase with its exit code (-1: took too long), its output and its seconds."""


def run_together(together: Sequence[Phase]) -> list[Outcome]:
    """Run phases side by side, ``AT_ONCE`` of them, each followed by its own ``then``."""

    def lane(phase: Phase) -> list[Outcome]:
        found = []
        for one in (phase, *phase.then):
            began = time.monotonic()
            code, output = run(one, f"[{one.name}] " if len(together) > 1 else "")
            found.append((one, code, output, time.monotonic() - began))
        return found

    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            return [one for found in [pool.submit(lane, phase) for phase in together] for one in found.result()]
        except KeyboardInterrupt:
            say("\nInterrupted: what runs is ended, which may take a minute.")
            end(*RUNNING)
            raise


def run(phase: Phase, prefix: str = "") -> tuple[int, str]:
    """Run a phase in a process group of its own; return its exit code (-1: took too long) and its output."""
    log = STATE / "logs" / f"{phase.name.replace(' ', '-')}.log"
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    own: dict[str, Any] = {"cwd": ROOT, "env": {**os.environ, **phase.env}, "start_new_session": True}
    try:
        process = subprocess.Popen(phase.argv, text=True, errors="replace", **own, **pipes)
    except OSError as error:
        log.write_text(f"{error}\n")
        return CANNOT_START, f"{error}\n"
    RUNNING.append(process)
    record = STATE / f"phase-{process.pid}"
    record.write_text(birth(process.pid))
    # Apart from the wait: something left in the background, such as a shared ssh connection, may keep the pipe open.
    reader = threading.Thread(target=tee, args=(process, log, phase.quiet, prefix), daemon=True)
    reader.start()
    try:
        code = process.wait(timeout=0 if STOPPING.is_set() else phase.limit)
    except subprocess.TimeoutExpired:
        code = -1
    finally:
        end(process)
        record.unlink(missing_ok=True)
        reader.join(timeout=2)
    return code, log.read_text(encoding="utf-8")


def tee(process: subprocess.Popen[str], log: Path, quiet: bool, prefix: str) -> None:
    with log.open("w", encoding="utf-8", buffering=1) as stream:
        for line in process.stdout or ():
            stream.write(line)
            if not quiet:
                sys.stdout.write(prefix + line)
                sys.stdout.flush()


def end(*processes: subprocess.Popen[str]) -> None:
    """End phases that still run and what they started, all at once: Ctrl-C first, so that fixtures clean up."""
    for number, patience in ((signal.SIGINT, 60), (signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        running = [process for process in processes if process.poll() is None]
        for process in running:
            with suppress(ProcessLookupError):  # another thread has just seen its end
                os.killpg(process.pid, number)
        deadline = time.monotonic() + patience
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(0, deadline - time.monotonic()))


# -- what came of it ---------------------------------------------------------------------------------------------------


def count(phase: Phase, code: int, output: str) -> Counter[str]:
    """Count what a phase tested; a failure that its own numbers do not show is added, so that no failed phase looks green."""
    found: Counter[str] | None = None
    nothing = code == NOTHING_COLLECTED and "-k" in phase.argv
    if phase.tests == "report":
        found = Counter() if nothing else reported(report(phase.name))
    elif phase.tests == "own line" and (said := re.findall(r"^(\d+) passed, (\d+) failed$", output, re.MULTILINE)):
        found = Counter(passed=int(said[-1][0]), failed=int(said[-1][1]))
    if found is None:
        found = Counter(passed=int(code == 0))
    if code and not nothing and not found["failed"]:
        found["failed"] = 1
    return found


def reported(file: Path) -> Counter[str] | None:
    """The numbers of a pytest report; None without a readable one."""
    try:
        suites = list(ET.parse(file).getroot().iter("testsuite"))  # noqa: S314 - our own file
    except (OSError, ET.ParseError):
        return None
    keys = ("tests", "failures", "errors", "skipped")
    total, failed, errors, skipped = (sum(int(suite.get(key, 0)) for suite in suites) for key in keys)
    return Counter(passed=total - failed - errors - skipped, failed=failed + errors, skipped=skipped)


def told(counted: Counter[str]) -> str:
    return ", ".join(f"{counted[name]} {name}" for name in ("passed", "failed", "skipped"))


def summary(times: Sequence[tuple[str, float, Counter[str]]], seconds_in_all: float) -> None:
    say("\nphase              time  result")
    for name, seconds, counted in times:
        tests = f"  {told(counted)}" if counted.total() else ""
        say(f"{name:<14} {seconds:6.1f} s  {'FAILED' if counted['failed'] else 'ok':<6}{tests}")
    say(f"{'in all':<14} {seconds_in_all:6.1f} s\n")
    say(told(sum((counted for *_, counted in times), Counter())))


# -- what a killed run left --------------------------------------------------------------------------------------------


def birth(pid: int) -> str:
    """When a process was started, in the kernel's ticks; "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return ""


def end_orphans() -> None:
    """End the phases of a run that was killed: each is in a process group of its own and knows nothing of it."""
    for record in STATE.glob("phase-*"):
        pid = int(record.name.rpartition("-")[2])
        if birth(pid) and birth(pid) == record.read_text():
            say(f"ending process group {pid}, left by a run that was killed")
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        record.unlink()


def clean_up() -> None:
    """Take down labs that a run of this checkout left, and private folders of killed Ansible runs."""
    from scs_deploy.errors import DeployError
    from scs_deploy.lab import Lab
    from scs_deploy.nodes import run_folder

    for state in filter(Path.is_dir, (*OWN_STATE.values(), STATE)):
        os.environ["SCS_DEPLOY_STATE_DIR"] = str(state)
        run_folder.sweep()
        for record in sorted((state / "labs").glob("*/lab.json")):
            source = Path(json.loads(record.read_text())["source"])
            if lab := Lab.recorded(source):
                say(f"taking down the lab of {source}")
                try:
                    lab.down()
                except DeployError as error:
                    say(f"error: {error}")


# -- the run -----------------------------------------------------------------------------------------------------------


def interrupted(*_: Any) -> None:
    """The first signal ends the run; further ones do not disturb how it ends."""
    if not STOPPING.is_set():
        STOPPING.set()
        raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(prog="run-tests")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("-k", default="")
    options = parser.parse_args()
    # SIGINT too: a shell starts background jobs with it ignored, which every program below would inherit.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupted)
    (STATE / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ["SCS_DEPLOY_STATE_DIR"] = str(STATE)
    os.environ["PATH"] = f"{BIN}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    os.environ["ANSIBLE_HOME"] = str(STATE / "ansible")
    if options.keep:
        os.environ["SCS_TEST_KEEP"] = "1"
    with (ROOT / ".state" / "tests.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # a second run would take the first one's labs down
            sys.exit("error: another ./run-tests is at work in this checkout\n    fix: wait for it, or end it")
        try:
            return run_all(options)
        except KeyboardInterrupt:
            say("\nInterrupted.")
            return INTERRUPTED
        finally:
            if not options.keep and not options.fast:
                clean_up()


def run_all(options: argparse.Namespace) -> int:
    end_orphans()
    if not options.fast:
        clean_up()
    for old in (STATE / "logs").glob("*"):
        old.unlink()
    started = float(os.environ.get("SCS_STARTED", time.time()))
    times: list[tuple[str, float, Counter[str]]] = [("prepare", time.time() - started, Counter())]
    for together in phases(options):
        say(f"\n== {' and '.join(phase.name for phase in together)}")
        for phase, code, output, seconds in run_together(together):
            counted = count(phase, code, output)
            if counted["failed"]:
                if phase.quiet:
                    say(output.rstrip())
                why = f"took more than {phase.limit} s" if code == -1 else f"exit code {code}"
                say(f"FAILED: {phase.name}: {why}; again alone: {' '.join(phase.argv)}")
            times.append((phase.name, seconds, counted))
    summary(times, time.time() - started)
    return int(any(counted["failed"] for *_, counted in times))


if __name__ == "__main__":
    sys.exit(main())
