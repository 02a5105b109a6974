"""Opens the container engine of a node; the SDKs of Podman and Docker are imported only when needed."""

from __future__ import annotations

import shutil

from .engine import Engine, EngineError, EngineMissingError
from .host import Host
from .paths import ENGINE_SOCKETS


def open_engine(kind: str, host: Host) -> Engine:
    """Return the engine of this node; raise EngineMissingError when it is not installed, EngineError when it does not answer."""
    socket = ENGINE_SOCKETS.get(kind)
    if socket is None:
        raise EngineError(f"no engine is called {kind!r}")
    if not host.exists(socket):
        if shutil.which(kind) is None:
            raise EngineMissingError(f"{kind} is not installed")
        raise EngineError(
            f"{kind} is installed, its API socket {socket} is not there: `systemctl enable --now {kind}.socket`"
        )
    try:
        if kind == "podman":
            from .engine_podman import PodmanEngine

            return PodmanEngine(str(host.path(socket)))
        from .engine_docker import DockerEngine

        return DockerEngine(str(host.path(socket)))
    except ImportError as error:
        raise EngineError(f"the engine's SDK is not installed: {error}; install python3-{kind}") from error
