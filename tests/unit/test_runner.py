"""The border to Ansible: waves of one start in order, what failed stays with its node, nothing is left behind; Ansible itself is played."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ansible_runner
import pytest
import yaml

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import Outcome, Result, Work
from scs_deploy.errors import Interrupted
from scs_deploy.machine import paths
from scs_deploy.nodes import ansible_run, run_folder
from scs_deploy.nodes.connection import Connection


def asked(run: str = "") -> Work:
    return Work(run, 1, "podman", "me", [])


def answered(run: str) -> Outcome:
    """What every node answers to ``asked(run)``."""
    return Outcome((Result(run, "ok"),))


class Ansible:
    """Plays ``ansible_runner``: every node of a wave answers with what it was asked, unless it is told to fail."""

    def __init__(self) -> None:
        self.starts = 0
        self.failing: set[str] = set()
        self.unreachable: set[str] = set()
        self.dies_before = 0
        self.last_words = ""
        self.said: list[tuple[int, str]] = []
        self.cancelled = False
        self.environment: dict[str, str] = {}

    def run(self, *, private_data_dir: str, playbook: str, inventory: str, **options: Any) -> None:
        self.starts += 1
        self.environment = {**os.environ, **options["envvars"]}
        folder = Path(private_data_dir)
        plays = yaml.safe_load(Path(playbook).read_text(encoding="utf-8"))
        groups = json.loads(Path(inventory).read_text(encoding="utf-8"))["all"]["children"]
        tell = options["event_handler"]
        tell({"event": "playbook_on_start", "stdout": "a warning of Ansible"})
        for play in plays:
            wave = play["vars"]["scs_wave"]
            if wave == self.dies_before:
                if self.last_words:
                    tell({"event": "verbose", "stdout": self.last_words})
                return
            while not (folder / "in" / str(wave)).exists():
                if options["cancel_callback"]():
                    self.cancelled = True
                    return
                time.sleep(0.005)
            (folder / "out" / str(wave)).mkdir()
            for node in groups[play["hosts"]]["hosts"]:
                self.node(folder, wave, node, tell)

    def node(self, folder: Path, wave: int, node: str, tell: Any) -> None:
        data: dict[str, Any] = {"host": node, "play_pattern": f"wave_{wave}"}
        asked = folder / "in" / str(wave) / node
        if not asked.exists():
            tell({"event": "runner_on_skipped", "event_data": data})
        elif node in self.unreachable:
            tell({"event": "runner_on_unreachable", "event_data": {**data, "res": {"msg": "no route to host\n"}}})
        elif node in self.failing:
            tell({"event": "runner_on_failed", "event_data": {**data, "res": {"msg": "no Python"}}})
        else:
            self.said.append((wave, node))
            run = wire.decode(Work, asked.read_text()).run
            (folder / "out" / str(wave) / node).write_text(wire.encode(answered(run)))
            tell({"event": "runner_on_ok", "event_data": data})


@pytest.fixture
def ansible(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Ansible]:
    played = Ansible()
    monkeypatch.setattr(ansible_runner.interface, "run", played.run)
    monkeypatch.setenv("SCS_DEPLOY_STATE_DIR", str(tmp_path / "state"))
    yield played
    assert not list((tmp_path / "state/private").iterdir()), "a private folder is left"


CONNECTIONS = {name: Connection(name, f"10.0.0.{number}", "/known") for number, name in enumerate(("n1", "n2", "n3"))}


def one_wave(*payloads_and_more: Any) -> Any:
    payloads, *more = payloads_and_more
    with ansible_run.Waves("apply.yml", CONNECTIONS, [tuple(payloads)]) as waves:
        return waves.next(payloads, *more)


def test_one_wave_brings_every_answer(ansible: Ansible) -> None:
    told: list[tuple[str, str]] = []
    got = one_wave({"n1": asked("1"), "n2": asked("2")}, lambda *one: told.append(one))
    assert got.answers == {"n1": answered("1"), "n2": answered("2")}
    assert sorted(told) == [("n1", "ok"), ("n2", "ok")]
    assert not got.unreachable
    assert not got.failed


def test_nothing_asked_starts_nothing(ansible: Ansible, tmp_path: Path) -> None:
    with ansible_run.Waves("apply.yml", CONNECTIONS, [("n1",)]) as waves:
        waves.skip()
    assert ansible.starts == 0


def test_ansible_does_not_inherit_the_password_of_the_vault(ansible: Ansible, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCS_DEPLOY_VAULT_PASSWORD", "word")
    one_wave({"n1": asked("1")})
    assert not ansible.environment["SCS_DEPLOY_VAULT_PASSWORD"]


def test_waves_share_one_start_and_are_told_apart(ansible: Ansible) -> None:
    with ansible_run.Waves("apply.yml", CONNECTIONS, [("n1", "n2"), ("n1", "n2"), ("n3",), ("n1",)]) as waves:
        assert waves.next({"n1": asked("1")}).answers == {"n1": answered("1")}
        waves.skip()
        assert waves.next({"n3": asked("3")}).answers == {"n3": answered("3")}
        assert waves.next({"n1": asked("4")}).answers == {"n1": answered("4")}
    assert ansible.starts == 1
    assert ansible.said == [(1, "n1"), (3, "n3"), (4, "n1")]


def test_secrets_of_a_wave_are_gone_when_its_answers_were_read(ansible: Ansible, tmp_path: Path) -> None:
    def kept() -> list[str]:
        (folder,) = (tmp_path / "state/private").iterdir()
        return sorted(
            str(path.relative_to(folder))
            for name in ("in", "out")
            for path in (folder / name).rglob("*")
            if path.is_file()
        )

    ansible.unreachable = {"n2"}
    seen: list[list[str]] = []
    nodes = [("n1", "n2"), ("n1",), ("n1", "n3"), ("n1",)]
    with ansible_run.Waves("apply.yml", CONNECTIONS, nodes) as waves:
        waves.next({"n1": asked("S3CRET"), "n2": asked("S3CRET")}, lambda *_: seen.append(kept()))
        assert "in/1/n1" in seen[0]
        assert kept() == []
        waves.skip()
        waves.next({"n3": asked("S3CRET")})
        assert kept() == []
        waves.skip()
    assert ansible.said == [(1, "n1"), (3, "n3")]


def test_a_node_that_comes_late_to_a_wave_that_is_over_does_not_wait(ansible: Ansible) -> None:
    over = threading.Event()

    def late(folder: Path, wave: int, node: str, tell: Any) -> None:
        if node == "n2":  # asked nothing; its turn comes when the wave is over
            assert over.wait(10)
            assert (folder / "in" / str(wave)).exists()
        Ansible.node(ansible, folder, wave, node, tell)

    ansible.node = late  # type: ignore[method-assign]
    with ansible_run.Waves("apply.yml", CONNECTIONS, [("n1", "n2"), ("n1",)]) as waves:
        waves.next({"n1": asked()})
        over.set()
        assert waves.next({"n1": asked("2")}).answers == {"n1": answered("2")}


def test_what_went_wrong_is_told_with_its_node_and_the_next_wave_goes_on(ansible: Ansible) -> None:
    ansible.unreachable, ansible.failing = {"n1"}, {"n2"}
    told: dict[str, str] = {}
    with ansible_run.Waves("apply.yml", CONNECTIONS, [("n1", "n2", "n3"), ("n3",)]) as waves:
        got = waves.next({"n1": asked(), "n2": asked(), "n3": asked("1")}, told.__setitem__)
        assert got.unreachable == {"n1": "no route to host"}
        assert got.failed == {"n2": "no Python"}
        assert got.answers == {"n3": answered("1")}
        assert told == {"n1": "unreachable", "n2": "failed", "n3": "ok"}
        assert waves.next({"n3": asked("2")}).answers == {"n3": answered("2")}


def test_ansible_that_ends_too_early_loses_its_nodes_with_its_words(ansible: Ansible) -> None:
    ansible.dies_before = 1
    assert one_wave({"n1": asked()}).lost == {"n1": "a warning of Ansible"}


def test_an_ansible_that_dies_in_a_later_wave_loses_its_nodes_and_keeps_its_words(ansible: Ansible) -> None:
    ansible.dies_before, ansible.last_words = 2, "ERROR! Unexpected Exception\n\nno space left on device"
    with ansible_run.Waves("apply.yml", CONNECTIONS, [("n1",), ("n1", "n2"), ("n3",)]) as waves:
        assert waves.next({"n1": asked()}).lost == {}
        time.sleep(0.1)  # whatever Ansible says, it says before it is asked on
        got = waves.next({"n1": asked(), "n2": asked()})
        words = "a warning of Ansible\nERROR! Unexpected Exception\nno space left on device"
        assert got.lost == dict.fromkeys(("n1", "n2"), words)
        assert (got.answers, got.failed) == ({}, {})
        assert waves.next({"n3": asked()}).lost == {"n3": words}


def test_what_ansible_raises_is_told_as_its_last_words(ansible: Ansible, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> None:
        raise OSError("no pseudo-terminal")

    monkeypatch.setattr(ansible_runner.interface, "run", broken)
    assert one_wave({"n1": asked()}).lost == {"n1": "no pseudo-terminal"}


def test_waves_that_are_left_over_end_ansible(ansible: Ansible) -> None:
    with ansible_run.Waves("apply.yml", CONNECTIONS, [("n1",), ("n2",)]) as waves:
        waves.next({"n1": asked()})
    assert ansible.cancelled


def test_ctrl_c_ends_ansible_and_is_told_as_that(ansible: Ansible) -> None:
    before = signal.getsignal(signal.SIGINT)
    ansible.node = lambda *_: os.kill(os.getpid(), signal.SIGINT)  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        one_wave({"n1": asked()})
    assert signal.getsignal(signal.SIGINT) is before


def made(root: Path, name: str, files: dict[str, str]) -> Path:
    folder = root / name
    (folder / "in/1").mkdir(parents=True)
    for file, text in {"in/1/n1": "S3CRET", **files}.items():
        (folder / file).write_text(text)
    return folder


def test_folders_of_killed_runs_are_swept_by_every_start_whoever_has_their_pid_now(
    ansible: Ansible, tmp_path: Path
) -> None:
    root = tmp_path / "state/private"
    dead = [
        made(root, "run-dead", {run_folder.LOCK: ""}),
        made(root, "run-pid", {run_folder.LOCK: str(os.getpid()), "pid": str(os.getpid())}),
        made(root, "run-unlocked", {}),
    ]
    with ansible_run.Waves("apply.yml", CONNECTIONS, [("n1",)]) as waves:
        assert not any(folder.exists() for folder in dead)
        waves.skip()


def test_a_run_is_not_swept_while_it_lives(ansible: Ansible, tmp_path: Path) -> None:
    with ansible_run.Waves("apply.yml", CONNECTIONS, [("n1",)]) as waves:
        (folder,) = (tmp_path / "state/private").iterdir()
        run_folder.sweep()
        one_wave({"n2": asked()})
        assert waves.next({"n1": asked("1")}).answers == {"n1": answered("1")}
        assert folder.exists()


def test_a_run_that_is_just_starting_is_not_swept(
    ansible: Ansible, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one sweeps at the worst moment: the folder is there, its lock is not."""
    make, other = tempfile.mkdtemp, threading.Thread(target=run_folder.sweep)

    def mkdtemp(**options: Any) -> str:
        folder: str = make(**options)
        other.start()
        other.join(timeout=0.3)
        assert other.is_alive(), "it did not wait"
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    with ansible_run.Waves("apply.yml", CONNECTIONS, [("n1",)]) as waves:
        other.join()
        assert waves.next({"n1": asked("1")}).answers == {"n1": answered("1")}


KILLED = """
import os, signal, sys
import ansible_runner, pexpect
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import Work
from scs_deploy.nodes import ansible_run
from scs_deploy.nodes.connection import Connection

def run(**options):
    orphan = pexpect.spawn("sleep", ["300"], ignore_sighup=True)  # as ansible_runner does
    print(orphan.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

ansible_runner.interface.run = run
with ansible_run.Waves("apply.yml", {"n1": Connection("n1", "10.0.0.1", "/known")}, [("n1",)]) as waves:
    waves.next({"n1": Work("S3CRET", 1, "podman", "me", [])})
"""


def test_an_ansible_that_outlives_its_killed_run_keeps_no_secret(ansible: Ansible, tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    orphan = int(killed.stdout)
    try:
        assert killed.returncode == -signal.SIGKILL
        assert Path(f"/proc/{orphan}").exists()
        assert len(list((tmp_path / "state/private").glob("run-*/in/1/n1"))) == 1
        run_folder.sweep()
        assert not list((tmp_path / "state/private").iterdir())
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_a_node_waits_for_its_turn_only_while_the_controller_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = paths.PACKAGE / "ansible_collections/scs/deploy/plugins"
    spec = importlib.util.spec_from_file_location("exchange_under_test", place / "plugin_utils/exchange.py")
    assert spec
    assert spec.loader
    exchange = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(exchange)
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "pid").write_text(str(os.getpid()))
    with (tmp_path / run_folder.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        threading.Timer(0.2, (tmp_path / "in/1").mkdir).start()
        exchange.await_turn(tmp_path, 1)
        threading.Timer(0.2, lock.close).start()
        (too_late := threading.Timer(2, (tmp_path / "in/2").mkdir)).start()
        with pytest.raises(exchange.AnsibleActionFail, match="has ended"):
            exchange.await_turn(tmp_path, 2)
        too_late.cancel()
    swept = tmp_path / "run-swept"
    with pytest.raises(exchange.AnsibleActionFail, match="has ended"):
        exchange.await_turn(swept, 1)
    with pytest.raises(FileNotFoundError):
        exchange.write_answer(swept, 1, "n1", "")
    assert not swept.exists()
