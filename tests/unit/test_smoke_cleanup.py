"""Cleanup of a smoke test against projects that behave as clouds do: things come to rest slowly, and some never."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from scs_deploy.errors import DeployError
from scs_deploy.smoke import cleanup
from scs_deploy.smoke.cleanup import Cleaner


class Things:
    """Objects of one kind; ``stubborn``: how often their deletion is refused first."""

    def __init__(self, *names: str, stubborn: int = 0) -> None:
        self.there = list(names)
        self.refusals = stubborn

    def list(self, **_: Any) -> Iterator[Any]:
        return iter([SimpleNamespace(id=name, name=name, status="busy", attachments=()) for name in self.there])

    def delete(self, name: str, **_: Any) -> None:
        from openstack import exceptions

        if self.refusals:
            self.refusals -= 1
            raise exceptions.ConflictException("it is in use")
        self.there.remove(name)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock is 11 seconds later, so that each round asks again."""
    clock = iter(range(0, 10**9, 11))
    fake = SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda seconds: None)
    monkeypatch.setattr(cleanup, "time", fake)


def cleaner(servers: Things, images: Things, keep: tuple[str, ...] = ()) -> Cleaner:
    api = SimpleNamespace(
        compute=SimpleNamespace(servers=servers.list, delete_server=servers.delete, keypairs=lambda: iter(())),
        image=SimpleNamespace(images=images.list, delete_image=images.delete),
        block_storage=None,
        network=None,
    )
    cloud: Any = SimpleNamespace(
        api=api,
        project_id="p",
        login=SimpleNamespace(project="scs-smoke-1"),
        endpoint=lambda kind: "https://x" if kind in ("compute", "image") else "",
    )
    return Cleaner(cloud, 1.0, lambda text: None, keep)


def test_everything_goes_also_what_refuses_at_first() -> None:
    servers, images = Things("a", "b"), Things("i", stubborn=2)
    cleaner(servers, images).run()
    assert servers.there == images.there == []


def test_what_is_kept_stays() -> None:
    servers, images = Things("a", "b"), Things("i", "snapshot")
    cleaner(servers, images, ("a", "i")).run()
    assert (servers.there, images.there) == (["a"], ["i"])


def test_what_never_goes_is_named_and_the_rest_is_removed_anyway() -> None:
    servers, images = Things("stuck", stubborn=10**6), Things("i")
    with pytest.raises(DeployError) as caught:
        cleaner(servers, images).run()
    assert "server stuck (it is in use)" in caught.value.why
    assert caught.value.where == "scs-smoke-1"
    assert images.there == []
