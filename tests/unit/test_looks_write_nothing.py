"""Commands that only look leave the region's folder as it is: names, bytes and times, even when a service is new.

Its secrets and certificates do not exist then; they are made by the commands that change something.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from proofs.opened import Nodes
from scs_deploy.cli import main
from scs_deploy.machine import environment
from scs_deploy.operations import preflight
from scs_deploy.operations.converge import converge
from scs_deploy.secrets import Vault

LOOKS = (
    "plan",
    "plan --limit n1 --json",
    "status",
    "drift",
    "certs show",
    "preflight",
    "secrets rotate --plan",
    "secrets rotate app-keys --plan",
)


@pytest.fixture(params=["no vault", "a service is new", "certificates are due"])
def before(request, folder: Path, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A region's folder before its first apply, at three moments."""
    monkeypatch.setattr(environment, "adopt", lambda: None)
    monkeypatch.setenv("SCS_DEPLOY_REGION", str(folder))
    monkeypatch.setattr(preflight, "evaluate", lambda subject: [])
    monkeypatch.setattr(preflight.between, "run", lambda *_: [])
    call("status")
    if request.param != "no vault":
        assert call("secrets init") == 0
    if request.param == "a service is new":
        Vault.open(folder).change(lambda values: {name: one for name, one in values.items() if "app" not in name})
    return folder


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a folder, itself too: when it was changed, and what it holds."""
    found = (folder, *sorted(folder.rglob("*")))
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in found}


def call(line: str) -> int:
    """Run the program; return its exit code."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["scs-deploy", *line.split()])
        try:
            main.main()
        except SystemExit as end:
            return int(end.code or 0)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return 0


@pytest.mark.parametrize("line", LOOKS)
def test_a_look_writes_nothing(before: Path, line: str) -> None:
    there = snapshot(before)
    call(line)
    assert snapshot(before) == there


def test_check_mode_writes_nothing(before: Path) -> None:
    there = snapshot(before)
    outcome = converge(str(before), check=True)
    assert not outcome.plan.empty
    assert snapshot(before) == there
