"""A catalogue that was read before is taken from a file; whatever could make another one of the same folders makes it read anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from regions import FIXTURES

from scs_deploy.catalogue import kept
from scs_deploy.catalogue.load import Catalogue, load_catalogue
from scs_deploy.errors import InputError
from scs_deploy.machine import paths
from scs_deploy.operations.site import load_site


@dataclass
class Kept:
    roles: Path
    folder: Path
    reads: int = 0

    def load(self) -> Catalogue:
        return kept.kept_catalogue([self.roles], self.folder)

    @property
    def file(self) -> Path:
        (file,) = self.folder.iterdir()
        return file


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """A catalogue that was read once."""
    made = Kept(shutil.copytree(FIXTURES / "roles", tmp_path / "roles"), tmp_path / "cache")
    made.folder.mkdir()

    def count(search: list[Path]) -> Catalogue:
        made.reads += 1
        return load_catalogue(search)

    monkeypatch.setattr(kept, "load_catalogue", count)
    made.load()
    return made


def test_it_is_read_once(known: Kept) -> None:
    found = known.load()
    assert known.reads == 1
    again = load_catalogue([known.roles])
    assert (found.services, found.folders, found.components) == (again.services, again.folders, again.components)
    assert found.users == again.users
    assert found.default_settings("mariadb") == again.default_settings("mariadb")
    assert list(found.settings_validator("mariadb").iter_errors({"max_connections": "many"}))


@pytest.mark.parametrize(
    "change",
    [
        lambda known: (known.roles / "keystone/service.yml").open("a").write("# more\n"),
        lambda known: (known.roles / "keystone/templates/new").touch(),
        lambda known: shutil.rmtree(known.roles / "storage"),
        lambda known: known.file.write_bytes(b""),
        lambda known: known.file.write_bytes(known.file.read_bytes()[:-100]),
        lambda known: known.file.write_bytes(known.file.read_bytes()[:32] + b"\x80\x04N."),
    ],
)
def test_what_changed_or_is_damaged_is_read_anew(known: Kept, change: Callable[[Kept], object]) -> None:
    change(known)
    known.load()
    assert known.reads == 2
    known.load()
    assert known.reads == 2
    assert len(list(known.folder.iterdir())) == 1


def test_another_version_of_a_library_or_of_the_program_reads_it_anew(
    known: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "version", lambda name: "0")
    known.load()
    assert known.reads == 2
    monkeypatch.setattr(kept, "_CODE", ("errors.py",))
    known.load()
    assert known.reads == 3


def test_mistakes_are_found_although_a_right_one_is_kept(known: Kept) -> None:
    (known.roles / "keystone/templates/policy.yaml.j2").unlink()
    with pytest.raises(InputError, match=r"no file templates/policy\.yaml\.j2"):
        known.load()


def test_without_a_place_it_is_read_each_time(known: Kept) -> None:
    shutil.rmtree(known.folder)
    assert known.load().services.keys() == known.load().services.keys()
    assert known.reads == 3


def test_a_command_needs_no_folder_to_keep_it_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as in a home that cannot be written: then it is read."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("SCS_DEPLOY_CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("SCS_DEPLOY_STATE_DIR", str(tmp_path / "state"))
    assert load_site(paths.examples() / "box").region.name == "box"
