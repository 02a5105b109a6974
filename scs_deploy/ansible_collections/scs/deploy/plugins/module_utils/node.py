"""A node: its host, its systemd and its engine, opened when first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import layout
from .engine import Engine, EngineError, Managed, open_engine
from .failure import StepError
from .host import Done, Host
from .paths import IMAGES_ROOT
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

    def need_image(self, image: str, reference: str) -> str:
        """Have an image in the engine's store, loaded from IMAGES_ROOT if it lies there; tell what was done, or nothing.

        Raises StepError when it is in neither.
        """
        bare = image.removeprefix("sha256:")
        try:
            if bare in self.engine.images():
                return ""
            found = layout.find(self.host.path(IMAGES_ROOT), bare)
            if found:
                known = self.engine.known_layers(found.digests)
                self.engine.load(layout.archive(found, reference, known))
                if bare in self.engine.images():
                    return f"loaded it, with {len(found.layers) - known} of its {len(found.layers)} layers, from {IMAGES_ROOT}"
        except EngineError as error:
            raise engine_failure(error) from error
        raise StepError(
            f"image {reference or bare[:12]} is not on the node",
            why=f"neither the engine's store nor {IMAGES_ROOT} has an image with ID {bare[:12]}",
            fix="build it with `scs-deploy image build`, bring it to the node with `scs-deploy image export`, then apply again",
        )


def engine_failure(error: EngineError) -> StepError:
    return StepError(
        "the container engine failed", why=str(error), fix="look at the engine on the node, then apply again"
    )
