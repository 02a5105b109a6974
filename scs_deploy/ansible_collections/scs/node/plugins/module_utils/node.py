"""A node: its host, its systemd and its engine, opened when first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from . import layout
from .engine import Engine, EngineError, ManagedContainer
from .engine_open import open_engine
from .failure import StepError
from .host import Done, Host, settle
from .paths import ENGINE_SOCKETS, IMAGES_ROOT, unit_file
from .systemd import Systemd


class LocalNode:
    """What observe and converge work on; ``opener`` gives an engine of a kind or raises EngineError, ``kind`` is the wanted one."""

    def __init__(self, host: Host, systemd: Systemd, opener: Callable[[str], Engine], kind: str) -> None:
        self.host, self.systemd, self.kind, self._opener = host, systemd, kind, opener
        self._engines: dict[str, Engine] = {}

    @classmethod
    def local(cls, engine: str) -> LocalNode:
        settle()
        host = Host()
        return cls(host, Systemd(host), lambda kind: open_engine(kind, host), engine)

    @property
    def engine(self) -> Engine:
        return self.engine_of(self.kind)

    def engine_of(self, kind: str) -> Engine:
        """Return the engine of a kind: the wanted one, or the one that the node has had so far."""
        if kind not in self._engines:
            self._engines[kind] = self._opener(kind)
        return self._engines[kind]

    def engines_with(self, name: str, files: Iterable[str]) -> list[str]:
        """Return the engines for which an instance has a unit, among ``files`` that are known as its own."""
        units, known = {kind: unit_file(kind, name) for kind in ENGINE_SOCKETS}, set(files)
        return [kind for kind, path in units.items() if path in known and self.host.exists(path)]

    def container(self, instance: str) -> ManagedContainer | None:
        """Return the running container of an instance; raise EngineError."""
        return next((found for found in self.engine.managed() if found.instance == instance and found.running), None)

    def executor(self, instance: str, kind: str, engine: str = "") -> Callable[[Sequence[str]], Done]:
        """Return how to run a command of an instance: in its container (of the wanted engine, if none is named), or on the node."""

        def inside(argv: Sequence[str]) -> Done:
            try:
                return self.engine_of(engine or self.kind).execute(instance, argv)
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
            if self.engine.images([bare]):
                return ""
            found = layout.find(self.host.path(IMAGES_ROOT), bare)
            if found:
                known = self.engine.known_layers(found.digests)
                self.engine.load(layout.archive(found, reference, known))
                if self.engine.images([bare]):
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
