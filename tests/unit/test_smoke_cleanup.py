"""Cleanup of a smoke test against projects that behave as clouds do: things come to rest slowly, and some never."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from scs_deploy.errors import DeployError
from scs_deploy.smoke import cleanup
from scs_deploy.smoke.cleanup import Cleaner


def conflict() -> Exception:
    from openstack import exceptions

    return exceptions.ConflictException("it is in use")


def failure() -> Exception:
    from openstack import exceptions

    error = exceptions.HttpException("Unexpected API Error")
    error.status_code = 500
    return error


class Things:
    """Objects of one kind; ``stubborn``: how often their deletion is refused first, ``silent``: how often their list fails.
    ``attached``: the server that all of them are attached to."""

    def __init__(
        self,
        *names: str,
        stubborn: int = 0,
        silent: int = 0,
        refusal: Callable[[], Exception] = conflict,
        attached: str = "",
    ) -> None:
        self.there = list(names)
        self.refusals, self.failures, self.refusal = stubborn, silent, refusal
        self.attachments = ({"server_id": attached},) if attached else ()
        self.asked = 0

    def list(self, **_: Any) -> Iterator[Any]:
        if self.failures:
            self.failures -= 1
            raise failure()
        return iter(
            [SimpleNamespace(id=name, name=name, status="busy", attachments=self.attachments) for name in self.there]
        )

    def delete(self, name: str, **_: Any) -> None:
        self.asked += 1
        if self.refusals:
            self.refusals -= 1
            raise self.refusal()
        self.there.remove(name)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock is 11 seconds later, so that each round asks again."""
    clock = iter(range(0, 10**9, 11))
    fake = SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda seconds: None)
    monkeypatch.setattr(cleanup, "time", fake)


def cleaner(servers: Things, images: Things, keep: tuple[str, ...] = (), volumes: Things | None = None) -> Cleaner:
    volumes = volumes or Things()
    none = Things().list
    api = SimpleNamespace(
        compute=SimpleNamespace(servers=servers.list, delete_server=servers.delete, keypairs=lambda: iter(())),
        image=SimpleNamespace(images=images.list, delete_image=images.delete),
        block_storage=SimpleNamespace(backups=none, snapshots=none, volumes=volumes.list, delete_volume=volumes.delete),
        network=None,
    )
    cloud: Any = SimpleNamespace(
        api=api,
        project_id="p",
        login=SimpleNamespace(project="scs-smoke-1"),
        endpoint=lambda kind: "https://x" if kind in ("compute", "image", "block-storage") else "",
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


def test_an_api_that_failed_once_is_asked_again() -> None:
    servers, images = Things("a", stubborn=1, refusal=failure), Things("i", silent=1)
    cleaner(servers, images).run()
    assert servers.there == images.there == []


def test_one_that_always_fails_is_named_with_what_it_said() -> None:
    servers, images = Things("a", stubborn=10**6, refusal=failure), Things("i")
    with pytest.raises(DeployError) as caught:
        cleaner(servers, images).run()
    assert "server a (HTTP 500: Unexpected API Error" in caught.value.why
    assert images.there == []


def test_what_waits_for_another_says_so_and_is_not_waited_for() -> None:
    servers = Things("stuck", stubborn=10**6, refusal=failure)
    volumes = Things("v", stubborn=10**6, attached="stuck")
    with pytest.raises(DeployError) as caught:
        cleaner(servers, Things(), volumes=volumes).run()
    assert "volume v (waits for server stuck, which was not deleted)" in caught.value.why
    assert volumes.asked == 1
