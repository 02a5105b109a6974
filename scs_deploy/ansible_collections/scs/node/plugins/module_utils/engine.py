"""The container engine behind one small interface: what runs, which images are there, and one-shot containers.

Instances are started by their systemd units, never from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .host import Done
from .paths import LABEL_RELOAD, LABEL_START
from .work import Container

API_TIMEOUT = 30
"""Seconds for one answer of the engine."""

LOAD_TIMEOUT = 600
"""Seconds until it says something while it takes in an image."""


class EngineError(Exception):
    """The engine is missing, does not answer or refuses; the text says which."""


class EngineMissingError(EngineError):
    """No engine on this node (yet)."""


@dataclass(frozen=True, slots=True)
class ManagedContainer:
    """A container with our label; ``image`` is an image ID without ``sha256:``, ``since`` seconds of the epoch."""

    id: str
    instance: str
    image: str
    running: bool
    labels: dict[str, str] = field(default_factory=dict)
    since: float = 0.0
    restarts: int = 0

    @property
    def start(self) -> str:
        return self.labels.get(LABEL_START, "")

    @property
    def reload(self) -> str:
        return self.labels.get(LABEL_RELOAD, "")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a one-shot container ended; ``code`` is None when it still ran at the time limit."""

    code: int | None
    log: list[str]


class Engine(Protocol):
    """What observe and converge need; every method raises EngineError."""

    def managed(self) -> list[ManagedContainer]:
        """All containers with the instance label, running or not."""

    def images(self, wanted: Iterable[str]) -> list[str]:
        """Those of ``wanted`` that it has; IDs without ``sha256:``."""

    def known_layers(self, digests: Sequence[str]) -> int:
        """How many of an image's first layers need not be in an archive, because another image has the same ones."""

    def load(self, archive: Iterable[bytes]) -> None:
        """Load images from the pieces of a ``docker save`` archive."""

    def start_job(
        self, container: Container, labels: dict[str, str], timeout: float, pids_limit: int | None
    ) -> Callable[[], Ended]:
        """Start a one-shot container; return what waits for its end and removes it."""

    def await_gone(self, name: str, timeout: float) -> bool:
        """Wait until a container that a killed run left ends, then remove it; False when it still runs."""

    def exists(self, name: str) -> bool:
        """Tell whether there is a container of that name, whoever made it."""

    def remove(self, name: str) -> bool:
        """Remove a container by force; False when there is none."""

    def signal(self, name: str, signal: str) -> None:
        """Send a signal to the first process of a container."""

    def execute(self, name: str, argv: Sequence[str]) -> Done:
        """Run a command inside a container."""
