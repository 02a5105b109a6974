"""The phases of ./run-tests, one after the other: each with its time, all of them even if one fails, one line at the end."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".state" / "tests"
"""Labs, logs and Ansible's private folders of test runs; apart from those of ./quickstart."""

INTEGRATION = STATE / "integration"
"""Those of the integration tests, which look whether anything is left there while Molecule runs beside them."""

BIN = ROOT / ".venv" / "bin"
FAST_EXAMPLES = "300"
NOTHING_COLLECTED = 5
INTERRUPTED = 130
CANNOT_START = 127


@dataclass(frozen=True, slots=True)
class Phase:
    """``limit`` in seconds ends it, so that a hanging test cannot take the summary with it."""

    name: str
    argv: tuple[str, ...]
    limit: int = 600
    env: dict[str, str] = field(default_factory=dict)
    tests: Literal["one", "report", "own line"] = "one"
    """Where the number of its tests stands: it counts as one, in pytest's report, or in a last line of its own "N passed, N failed"."""
    quiet: bool = False
    """Its output is shown only when it fails."""
    then: tuple[Phase, ...] = ()
    """What comes after it, while what it runs beside may go on."""


@dataclass(slots=True)
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other: Count) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


# -- what is run -------------------------------------------------------------------------------------------------------


def phases(options: argparse.Namespace) -> Iterator[tuple[Phase, ...]]:
    """What is yielded together runs side by side. Cheap ones first: a misspelling shall not wait for a lab."""
    if not options.k:
        for phase in lint(options.fast):
            yield (phase,)
    examples = {"SCS_DEPLOY_EXAMPLES": FAST_EXAMPLES} if options.fast else {}
    yield (pytest("unit", "tests/unit", options, "-n", "auto", "-q", env=examples),)
    if options.fast:
        return
    own = {"SCS_DEPLOY_STATE_DIR": str(INTEGRATION)}
    integration = pytest("integration", "tests/integration", options, "-v", limit=4700, env=own)
    # On Molecule's lab, where all services run.
    cloud = pytest("cloud", "tests/cloud", options, "-v", limit=2700)
    if options.k:
        yield (integration,)
        yield (cloud,)
    else:
        # Molecule's region, so that a user's images.lock is left alone.
        yield (Phase("images", (tool("scs-deploy"), "image", "build", "--region", "molecule/base"), limit=1800),)
        # Each has a lab of its own and waits half of its time.
        molecule = ("tools/molecule.sh", "--fresh")
        yield integration, Phase("molecule", molecule, limit=3000, tests="own line", then=(cloud,))


def lint(fast: bool) -> Iterator[Phase]:
    yield Phase("ruff check", (tool("ruff"), "check", "."), quiet=True)
    yield Phase("ruff format", (tool("ruff"), "format", "--check", "."), quiet=True)
    yield Phase("mypy", (tool("mypy"),), quiet=True)
    yield Phase("yamllint", (tool("yamllint"), "--strict", "."), quiet=True)
    scripts = shell_scripts()
    if not fast or have("shellcheck"):
        yield Phase("shellcheck", ("shellcheck", "-x", "--exclude=SC2148", *scripts), quiet=True)
    if not fast:
        yield Phase("ansible-lint", (tool("ansible-lint"), "--offline", "--nocolor", "-q"), quiet=True)


def pytest(name: str, folder: str, options: argparse.Namespace, *more: str, limit: int = 900, **known: Any) -> Phase:
    chosen = ("-k", options.k) if options.k else ()
    return Phase(
        name,
        (tool("python"), "-m", "pytest", folder, f"--junitxml={report(name)}", "--color=no", *more, *chosen),
        limit,
        tests="report",
        **known,
    )


def tool(name: str) -> str:
    return str(BIN / name)


def report(name: str) -> Path:
    return STATE / "logs" / f"{name}.xml"


def have(program: str) -> bool:
    return any((Path(folder) / program).is_file() for folder in os.environ.get("PATH", "").split(":"))


def shell_scripts() -> list[str]:
    """Files under version control that are shell: by suffix or by their first line; templates are not."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and not name.endswith(".j2") and is_shell(ROOT / name)]


def is_shell(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        first = stream.readline(80)
    return path.suffix == ".sh" or (first.startswith(b"#!") and first.strip().endswith((b"/sh", b"/bash", b"/sh -e")))


# -- how it is run -----------------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    names = {
        "SCS_DEPLOY_STATE_DIR": str(STATE),
        "PATH": f"{BIN}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin",
        "ANSIBLE_HOME": str(STATE / "ansible"),
    }
    return {**os.environ, **names}


RUNNING: list[subprocess.Popen[str]] = []
STOPPING = threading.Event()
"""Set by the first signal. A phase puts itself into RUNNING, then looks here: so one of both sides ends it."""


def run_together(together: Sequence[Phase]) -> list[tuple[Phase, int, str, float]]:
    """Run phases side by side, each followed by its own ``then``; return each with its exit code, its output and its seconds."""

    def timed(phase: Phase) -> Iterator[tuple[Phase, int, str, float]]:
        for one in (phase, *phase.then):
            began = time.monotonic()
            code, output = run(one, f"[{one.name}] " if len(together) > 1 else "")
            yield one, code, output, time.monotonic() - began

    with ThreadPoolExecutor(len(together)) as pool:
        try:
            started = [pool.submit(lambda phase=phase: list(timed(phase))) for phase in together]
            return [found for lane in started for found in lane.result()]
        except KeyboardInterrupt:
            say("\nInterrupted: what runs is ended, which may take a minute.")
            end(*RUNNING)
            raise


def run(phase: Phase, prefix: str = "") -> tuple[int, str]:
    """Run a phase in a process group of its own; return its exit code (-1: took too long) and its output."""
    log = STATE / "logs" / f"{phase.name.replace(' ', '-')}.log"
    try:
        process = start(phase)
    except OSError as error:
        log.write_text(f"{error}\n")
        return CANNOT_START, f"{error}\n"
    RUNNING.append(process)
    record = STATE / f"phase-{process.pid}"
    record.write_text(f"{process.pid} {birth(process.pid)}")
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


def start(phase: Phase) -> subprocess.Popen[str]:
    return subprocess.Popen(
        phase.argv,
        cwd=ROOT,
        env={**os.environ, **phase.env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


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


def count(phase: Phase, code: int, output: str) -> Count:
    """Count what a phase tested; a failure that its own numbers do not show is added, so that no failed phase looks green."""
    one = Count(passed=int(code == 0), failed=int(code != 0))
    if phase.tests == "report":
        found = reported(report(phase.name)) or (Count() if code == NOTHING_COLLECTED else one)
    elif phase.tests == "own line":
        said = re.findall(r"^(\d+) passed, (\d+) failed$", output, re.MULTILINE)
        found = Count(int(said[-1][0]), int(said[-1][1])) if said else one
    else:
        found = one
    if code not in (0, NOTHING_COLLECTED) and not found.failed:
        found.failed = 1
    return found


def reported(file: Path) -> Count | None:
    """The numbers of a pytest report; None without a readable one."""
    try:
        suites = list(ET.parse(file).getroot().iter("testsuite"))  # noqa: S314 - our own file
    except (OSError, ET.ParseError):
        return None
    total, failed, errors, skipped = (
        sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "failures", "errors", "skipped")
    )
    return Count(total - failed - errors - skipped, failed + errors, skipped)


def birth(pid: int) -> str:
    """When a process was started, in the kernel's ticks; "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return ""


def end_orphans() -> None:
    """End the phases of a run that was killed: each is in a process group of its own and knows nothing of it."""
    for record in STATE.glob("phase-*"):
        pid, _, born = record.read_text().partition(" ")
        if born and birth(int(pid)) == born:
            say(f"ending process group {pid}, left by a run that was killed")
            with suppress(ProcessLookupError):
                os.killpg(int(pid), signal.SIGKILL)
        record.unlink()


@contextmanager
def alone() -> Iterator[None]:
    """One run per checkout: a second one would take the first one's labs down."""
    with (ROOT / ".state" / "tests.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("error: another ./run-tests is at work in this checkout\n    fix: wait for it, or end it")
        yield


def clean_up() -> None:
    """Take down labs that a run of this checkout left, and private folders of killed Ansible runs."""
    for state in (STATE, INTEGRATION):
        if (state / "labs").is_dir() or (state / "private").is_dir():
            os.environ["SCS_DEPLOY_STATE_DIR"] = str(state)
            clean_state(state)
    os.environ["SCS_DEPLOY_STATE_DIR"] = str(STATE)


def clean_state(state: Path) -> None:
    from scs_deploy.errors import DeployError
    from scs_deploy.lab import Lab
    from scs_deploy.nodes import run_folder

    run_folder.sweep()
    for record in sorted((state / "labs").glob("*/lab.json")):
        source = Path(json.loads(record.read_text())["source"])
        lab = Lab.recorded(source)
        if lab is None:
            continue
        say(f"taking down the lab of {source}")
        try:
            lab.down()
        except DeployError as error:
            say(f"error: {error}")


def summary(times: list[tuple[str, float, Count]], seconds_in_all: float, all_of_it: Count) -> None:
    say("\nphase              time  result")
    for name, seconds, counted in times:
        tests = f"  {counted}" if counted != Count() else ""
        say(f"{name:<14} {seconds:6.1f} s  {'FAILED' if counted.failed else 'ok':<6}{tests}")
    say(f"{'in all':<14} {seconds_in_all:6.1f} s")
    say()
    say(str(all_of_it))


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
    signal.signal(signal.SIGTERM, interrupted)
    # A shell starts background jobs with SIGINT ignored, which every program below would inherit.
    signal.signal(signal.SIGINT, interrupted)
    (STATE / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ |= environment()
    if options.keep:
        os.environ["SCS_TEST_KEEP"] = "1"
    with alone():
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
    times = [("prepare", time.time() - started, Count())]
    all_of_it = Count()
    for together in phases(options):
        say(f"\n== {' and '.join(phase.name for phase in together)}")
        for phase, code, output, seconds in run_together(together):
            counted = count(phase, code, output)
            if counted.failed:
                if phase.quiet:
                    say(output.rstrip())
                why = f"took more than {phase.limit} s" if code == -1 else f"exit code {code}"
                say(f"FAILED: {phase.name}: {why}; again alone: {' '.join(phase.argv)}")
            all_of_it.add(counted)
            times.append((phase.name, seconds, counted))
    summary(times, time.time() - started, all_of_it)
    return int(all_of_it.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
