"""Files that are replaced at once, and locks of files and folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from scs_deploy.errors import DeployError
from scs_deploy.machine.files import write_atomic
from scs_deploy.machine.locks import is_locked, locked


@pytest.mark.parametrize("sync", [True, False])
def test_a_file_is_replaced_with_its_mode(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "entry"
    path.write_text("old")
    write_atomic(path, "new\u00e4", 0o700, sync=sync)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == ("new\u00e4".encode(), 0o700)
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_old_content_and_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DeployError, match=r"folder: cannot be written(.|\n)*fix: check the disk"):
        write_atomic(tmp_path / "folder", "text")
    with pytest.raises(DeployError, match="No such file"):
        write_atomic(tmp_path / "nowhere" / "file", "text")
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)

    def busy() -> None:
        raise DeployError("busy")

    with locked(path, busy):
        assert is_locked(path)
        with pytest.raises(DeployError, match="busy"), locked(path, busy):
            pass
    assert not is_locked(path)
    assert path.exists()
    with locked(tmp_path), locked(path, remove=True):
        assert is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
