"""images.lock: written whole, kept when nothing changed, refused when damaged."""

from pathlib import Path

import pytest

from scs_deploy.errors import InputError
from scs_deploy.images.lock import LockedImage, packages_digest, read_lock, write_lock


def locked(image_id: str, **packages: str) -> LockedImage:
    return LockedImage.of(image_id, f"localhost/scs-deploy/{image_id}:2025.1", packages)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    image = locked("aa", keystone="2:27.0.0-3", adduser="3.1")
    assert write_lock(tmp_path, "2025.1", {"keystone": image})
    assert read_lock(tmp_path).images == {"keystone": image}
    assert [path.name for path in tmp_path.iterdir()] == ["images.lock"]


def test_an_unchanged_lock_is_not_touched(tmp_path: Path) -> None:
    write_lock(tmp_path, "2025.1", {"keystone": locked("aa")})
    before = (tmp_path / "images.lock").stat().st_mtime_ns
    assert not write_lock(tmp_path, "2025.1", {"keystone": locked("aa")})
    assert (tmp_path / "images.lock").stat().st_mtime_ns == before


def test_building_one_image_keeps_the_others_of_the_same_release(tmp_path: Path) -> None:
    write_lock(tmp_path, "2025.1", {"a": locked("a1"), "b": locked("b1")})
    write_lock(tmp_path, "2025.1", {"b": locked("b2")})
    assert {name: image.id for name, image in read_lock(tmp_path).images.items()} == {"a": "a1", "b": "b2"}
    write_lock(tmp_path, "2026.1", {"b": locked("b3")})
    assert {name: image.id for name, image in read_lock(tmp_path).images.items()} == {"b": "b3"}


def test_the_digest_of_packages_ignores_their_order_only() -> None:
    assert packages_digest({"a": "1", "b": "2"}) == packages_digest({"b": "2", "a": "1"})
    assert packages_digest({"a": "1"}) != packages_digest({"a": "2"})


def test_a_missing_lock_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="scs-deploy image build"):
        read_lock(tmp_path)


@pytest.mark.parametrize("text", ["", "{", '{"release": 3}', '{"release": "x", "extra": 1}'])
def test_a_broken_lock_is_an_input_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "images.lock").write_text(text)
    with pytest.raises(InputError, match=r"images\.lock.*not an images\.lock"):
        read_lock(tmp_path)
