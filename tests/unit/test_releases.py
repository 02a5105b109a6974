"""Release files and the UID table: complete, and free of contradictions."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from scs_deploy.catalogue import release
from scs_deploy.catalogue.release import UserTable, load_release, load_users
from scs_deploy.errors import InputError


def test_every_release_file_loads_and_is_named_as_its_file() -> None:
    assert release.release_names()
    for name in release.release_names():
        assert load_release(name).name == name


def test_an_unknown_release_names_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"(?s)unknown release 1999.*2025\.1"):
        load_release("1999")


def test_debians_own_numbers_are_kept() -> None:
    users = load_users()
    numbers = {name: users.uid(name) for name in ("root", "www-data", "nova", "cinder", "glance", "ceph")}
    assert numbers == {"root": 0, "www-data": 33, "nova": 64060, "cinder": 64061, "glance": 64062, "ceph": 64045}


def test_gid_takes_groups_and_users() -> None:
    users = load_users()
    assert users.gid("kvm") == users.groups["kvm"]
    assert users.gid("keystone") == users.uid("keystone")


def test_an_unknown_user_is_an_input_error() -> None:
    with pytest.raises(InputError, match="no user or group named keyston "):
        load_users().uid("keyston")


@pytest.mark.parametrize(
    ("users", "groups", "message"),
    [
        ({"a": {"uid": 1}, "b": {"uid": 1, "gid": 2}}, {}, "uid 1 is given twice"),
        ({"a": {"uid": 1}}, {"g": 1}, "gid 1 is given twice"),
        ({"a": {"uid": 1, "groups": ["x"]}}, {}, "unknown group x"),
        ({"a": {"uid": 1}}, {"a": 7}, "already the group of a user"),
    ],
)
def test_ambiguous_tables_are_refused(users: dict[str, object], groups: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        UserTable.model_validate({"format": 1, "users": users, "groups": groups})


def test_a_broken_file_is_reported_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.yml").write_text("format: 1\nname: x\nsuit: trixie\n")
    monkeypatch.setattr(release, "FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"x\.yml suit: Extra inputs"):
        load_release("x")
