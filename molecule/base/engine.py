"""The engine of the node, as the region has it; what tests ask of it, Podman and Docker spell the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

ENGINE = str(
    yaml.safe_load((Path(os.environ["SCS_DEPLOY_REGION"]) / "region.yml").read_text(encoding="utf-8"))["engine"]
)


def kill(host: Any, name: str) -> None:
    """End the first process of a container as a crash does; told by the engine, Docker would leave it dead."""
    host.check_output(f"kill -KILL $({ENGINE} inspect --format '{{{{.State.Pid}}}}' {name})")
