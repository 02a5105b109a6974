"""A node: its host, its systemd and its engine, opened when first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .engine import Engine, EngineError, Managed, open_engine
from .failure import StepError
from .host import Done, Host
from .systemd import Systemd


class Node:
    """What observe and converge work on; ``opener`` gives the engine or raises EngineError."""

    def __init__(self, host: Host, systemd: Systemd, opener: Callable[[], Engine]) -> None:
        self.host, self.systemd, self._opener = host, systemd, opener
        self._engine: Engine | None = None

    @classmethod
    def local(cls, engine: str) -> Node:
        host = Host()
        return cls(host, Systemd(host), lambda: open_engine(engine, host))

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            self._engine = self._opener()
        return self._engine

    def container(self, instance: str) -> Managed | None:
        """Return the running container of an instance; raise EngineError."""
        return next((found for found in self.engine.managed() if found.instance == instance and found.running), None)

    def executor(self, instance: str, kind: str) -> Callable[[Sequence[str]], Done]:
        """Return how to run a command of an instance: in its container, or on the node."""

        def inside(argv: Sequence[str]) -> Done:
            try:
                return self.engine.execute(instance, argv)
            except EngineError as error:
                return Done(125, "", str(error))

        return inside if kind == "container" else self.host.run

    def container_id(self, instance: str) -> str:
        """Return the ID of the running container of an instance, or nothing."""
        try:
            found = self.container(instance)
        except EngineError:
            return ""
        return found.id if found else ""

    def need_image(self, image: str, reference: str) -> None:
        """Raise StepError unless the image is in the node's store."""
        try:
            present = self.engine.images()
        except EngineError as error:
            raise engine_failure(error) from error
        if image.removeprefix("sha256:") not in present:
            raise StepError(
                f"image {reference or image[:12]} is not on the node",
                why=f"the engine's store has no image with ID {image[:12]}",
                fix="build it with `scs-deploy image build`, or bring it to the node's store, then apply again",
            )


def engine_failure(error: EngineError) -> StepError:
    return StepError(
        "the container engine failed", why=str(error), fix="look at the engine on the node, then apply again"
    )
