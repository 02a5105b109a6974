"""What a node does in a wave, and what it tells of it: the steps, in order, and the result of each.

``wire`` gives these classes their text form. What their types cannot say is in docs/contracts.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .question import FolderMark, Health, Holder, Managed, Recorded
from .resource import Operation


@dataclass(frozen=True, slots=True)
class FileContent:
    path: str
    text: str
    mode: str
    uid: int
    gid: int
    verify: Sequence[str] = ()
    """A command that is given a copy's path; where it fails, nothing is replaced."""


@dataclass(frozen=True, slots=True)
class ReloadAction:
    signal: str = ""
    command: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What both kinds have: ``files`` are those to write, ``manifest`` names all that there are, and with ``prepare`` no version."""

    name: str
    unit: str
    files: Sequence[FileContent]
    delete: Sequence[str]
    manifest: Recorded
    start: str
    reload: str
    health: Health
    stop_timeout: float = 15
    reload_action: ReloadAction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerWanted(_Wanted):
    kind: Literal["container"] = "container"
    image: str
    image_reference: str
    dirs: Mapping[str, FolderMark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostWanted(_Wanted):
    kind: Literal["host"] = "host"
    packages: Sequence[str] = ()
    apply: Sequence[str] = ()


Wanted = ContainerWanted | HostWanted
"""An instance."""


@dataclass(frozen=True, slots=True)
class InstanceStep:
    id: str
    action: Literal["prepare", "create", "update"]
    """``prepare``: packages, folders and files but the unit, for a job that needs them."""
    instance: Wanted
    restart: bool
    reload: bool
    start_if_stopped: bool
    form: str = ""
    """The hook to run before the start, by which it begins its cluster."""
    needs: Sequence[str] = ()
    kind: Literal["instance"] = "instance"


@dataclass(frozen=True, slots=True)
class RemoveStep:
    """``purge`` takes its data and the record of its jobs along."""

    id: str
    name: str
    manifest: Managed
    delete: Sequence[str]
    purge: bool
    stop_timeout: float = 15
    needs: Sequence[str] = ()
    kind: Literal["remove"] = "remove"


@dataclass(frozen=True, slots=True)
class Mount:
    source: str
    target: str
    mode: str = "ro"
    propagation: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """How a container runs, for units and jobs alike."""

    name: str
    image: str
    command: Sequence[str]
    user: str
    environment: Mapping[str, str]
    mounts: Sequence[Mount]
    capabilities: Sequence[str] = ()
    devices: Sequence[str] = ()
    security: Sequence[str] = ()
    tmpfs: Sequence[str] = ()
    limits: Mapping[str, str] = field(default_factory=dict)
    init: bool = True
    read_only: bool = True
    pid: str = ""
    ipc: str = ""
    cgroupns: str = ""


@dataclass(frozen=True, slots=True)
class JobStep:
    id: str
    name: str
    instance: str
    digest: str
    timeout: float
    container: Container
    needs: Sequence[str] = ()
    kind: Literal["job"] = "job"


@dataclass(frozen=True, slots=True)
class ResourcesStep:
    id: str
    owner: str
    reconciler: str
    changes: Sequence[Operation]
    needs: Sequence[str] = ()
    kind: Literal["resources"] = "resources"


@dataclass(frozen=True, slots=True)
class ImageStep:
    id: str
    image: str
    reference: str
    needs: Sequence[str] = ()
    kind: Literal["image"] = "image"


WorkStep = InstanceStep | RemoveStep | JobStep | ResourcesStep | ImageStep


@dataclass(frozen=True, slots=True)
class Work:
    """``progress``: file on the node to which one line, the JSON of a ``Told``, is appended as each step ends."""

    run: str
    wave: int
    engine: str
    holder: str
    steps: Sequence[WorkStep]
    progress: str = ""


# -- its outcome ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure:
    """What a step failed with, in words of a person, and the last log lines."""

    what: str
    why: str = ""
    fix: str = ""
    log: Sequence[str] = ()


Status = Literal["ok", "failed", "blocked", "skipped"]


@dataclass(frozen=True, slots=True)
class Told:
    """A step that ended while others go on."""

    id: str
    status: Status
    seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """``by``: the steps that a blocked one waited for."""

    id: str
    status: Status
    done: Sequence[str] = ()
    seconds: float = 0.0
    error: Failure | None = None
    by: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """``lock``: who holds the node, so nothing was done."""

    results: Sequence[Result]
    lock: Holder | None = None
