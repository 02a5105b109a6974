"""Where the program keeps state and finds what it ships."""

from pathlib import Path

import pytest

from scs_deploy.errors import DeployError
from scs_deploy.machine import paths


def test_state_and_cache_follow_the_environment_and_are_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCS_DEPLOY_STATE_DIR", str(tmp_path / "a/state"))
    monkeypatch.setenv("SCS_DEPLOY_CACHE_DIR", str(tmp_path / "cache"))
    assert paths.state_dir() == tmp_path / "a/state"
    assert paths.cache_dir() == tmp_path / "cache"
    assert paths.state_dir().stat().st_mode & 0o777 == 0o700


def test_xdg_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCS_DEPLOY_STATE_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert paths.state_dir() == tmp_path / "scs-deploy"


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCS_DEPLOY_STATE_DIR", str(tmp_path / "file/state"))
    with pytest.raises(DeployError, match=r"(?s)cannot create.*SCS_DEPLOY_STATE_DIR"):
        paths.state_dir()


@pytest.mark.parametrize("kind", ["SCS_DEPLOY_STATE_DIR", "SCS_DEPLOY_CACHE_DIR"])
def test_a_folder_that_others_may_write_to_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kind, str(tmp_path / "made"))
    get = paths.state_dir if "STATE" in kind else paths.cache_dir
    get().chmod(0o770)
    with pytest.raises(DeployError, match="can be written to by others"):
        get()
    (tmp_path / "made").chmod(0o755)
    monkeypatch.setattr("os.getuid", lambda: 4711)
    with pytest.raises(DeployError, match="can be written to by others"):
        get()


def test_search_paths_hold_ours_and_the_operators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCS_DEPLOY_ROLES", f"{tmp_path}/x:relative")
    monkeypatch.setenv("SCS_DEPLOY_INVENTORIES", f"{tmp_path}/inventories:{tmp_path}/more")
    assert paths.roles_search() == (paths.share_dir() / "roles", tmp_path / "x", tmp_path / "relative")
    assert paths.inventories_search() == (
        tmp_path / "inventories",
        tmp_path / "more",
        paths.share_dir() / "inventories",
    )


def test_share_dir_is_the_checkout() -> None:
    assert (paths.share_dir() / "pyproject.toml").is_file()
