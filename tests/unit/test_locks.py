"""The region lock: one holder, named to the others, and free again however the holder ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from scs_deploy.errors import DeployError, LockedError
from scs_deploy.machine.locks import FILE, RegionLock, check_free, holder

HOLD = """
import pathlib, sys, time
from scs_deploy.machine.locks import RegionLock
with RegionLock(pathlib.Path(sys.argv[1]), "apply -r box"):
    print("locked", flush=True)
    time.sleep(30)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"locked\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_run_is_refused_and_told_who_holds_it(tmp_path, other):
    with pytest.raises(LockedError) as caught, RegionLock(tmp_path, "apply"):
        pass
    text = str(caught.value)
    assert caught.value.exit_code == 5
    assert all(
        part in text for part in (f"process {other.pid}", "apply -r box", f"kill {other.pid} on ", str(tmp_path))
    )
    assert holder(tmp_path).pid == other.pid


def test_who_only_looks_is_told_of_a_run_and_holds_nobody_up(tmp_path, other):
    with pytest.raises(LockedError, match="another run"):
        check_free(tmp_path)
    other.send_signal(signal.SIGKILL)
    other.wait()
    check_free(tmp_path)
    check_free(tmp_path / "never")
    with RegionLock(tmp_path, "apply"):
        pass


def test_the_lock_of_a_killed_run_is_taken_over(tmp_path, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    with RegionLock(tmp_path, "apply again") as killed:
        assert (killed.pid, killed.command) == (other.pid, "apply -r box")
        assert holder(tmp_path).pid == os.getpid()


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_a_run_that_ended_leaves_no_holder(tmp_path, error):
    try:
        with RegionLock(tmp_path, "first"):
            if error:
                raise error
    except (KeyboardInterrupt, ValueError):
        pass
    assert holder(tmp_path) is None
    with RegionLock(tmp_path, "second") as killed:
        assert killed is None


def test_children_of_a_killed_run_do_not_keep_it(tmp_path):
    with RegionLock(tmp_path, "first"):
        child = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        with RegionLock(tmp_path, "second"):
            pass
    finally:
        child.kill()
        child.wait()


def test_regions_do_not_lock_each_other(tmp_path):
    with RegionLock(tmp_path / "a", "apply"), RegionLock(tmp_path / "b", "apply"):
        assert (tmp_path / "a" / FILE).exists()


def test_a_damaged_lock_file_is_no_obstacle(tmp_path):
    (tmp_path / FILE).write_text('{"user": ')
    with RegionLock(tmp_path, "apply") as killed:
        assert killed is None


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DeployError, match="cannot be opened"), RegionLock(tmp_path / "file", "apply"):
        pass
