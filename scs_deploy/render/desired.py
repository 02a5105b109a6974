"""The exact state that nodes should have: plain frozen data between render, plan and the payloads.

Texts may hold secret references (``scs_deploy.secrets.placeholders``); ``scs_deploy.render.digests`` gives their digests, and only the payload of a
wave holds values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Health
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import Container, ReloadAction
from scs_deploy.catalogue.ids import Id
from scs_deploy.errors import Finding

Effect = Literal["restart", "reload", "none"]


@dataclass(frozen=True, slots=True)
class File:
    """A managed file on a node; ``mode`` such as "0640", numeric owner."""

    path: str
    text: str
    mode: str
    uid: int
    gid: int
    effect: Effect = "restart"
    masked: tuple[str, ...] = ()
    """Keys whose values are secret, where the format has keys."""
    opaque: bool = False
    """The whole file is secret: neither side of a diff is ever shown."""
    jobs_only: bool = False
    """Only the containers of jobs see it."""
    verify: tuple[str, ...] = ()
    """Command on the node that must accept the file, whose path comes last, before it replaces another."""
    format: str = "raw"
    """How values of secrets are spelled in it (``scs_deploy.documents.config_formats``)."""
    bookkeeping: bool = False
    """Reconciler and hook files: written and verified like others, summed up in the plan."""


@dataclass(frozen=True, slots=True)
class Folder:
    path: str
    mode: str
    uid: int
    gid: int
    data: bool = False


@dataclass(frozen=True, slots=True)
class OneWayData:
    """The version of the package by which data goes forward only; empty when the image does not hold the package."""

    package: str
    version: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Instance:
    """What both kinds have."""

    node: str
    name: str
    service: str
    component: str
    unit: str
    files: tuple[File, ...]
    health: Health
    stop_timeout: int = 15
    reload_action: ReloadAction | None = None
    pause: str = ""
    quorum: bool = False
    """Members of its component vote: one of them may be missing at a time."""
    members: int = 1
    """Instances of its component in the region, whether their nodes are known or not."""
    purpose: str = ""
    """What it is for, where a node has several of its component: such as a disk with use osd."""
    unfit: tuple[Finding, ...] = ()
    """What its node cannot do for it, by the node's facts."""

    @property
    def id(self) -> Id:
        return Id(self.node, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerInstance(_Instance):
    kind: Literal["container"] = "container"
    container: Container
    engine: str
    image_reference: str
    folders: tuple[Folder, ...] = ()
    one_way: OneWayData | None = None

    @property
    def image(self) -> str:
        return self.container.image

    @property
    def devices(self) -> tuple[str, ...]:
        """Paths on the node of the devices that its container is given."""
        return tuple(one.partition(":")[0] for one in self.container.devices)

    def hook(self, name: str) -> str:
        """Return the path of a hook on the node; empty when it has none."""
        return next((file.path for file in self.files if file.path.endswith(f"/hooks/{name}")), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostInstance(_Instance):
    """What the node itself has and runs: its files may lie anywhere, and are all there is where nothing brings them into force."""

    kind: Literal["host"] = "host"
    packages: tuple[str, ...] = ()
    apply: tuple[str, ...] = ()

    @property
    def files_only(self) -> bool:
        return not (self.unit or self.apply)


Instance = ContainerInstance | HostInstance
"""A component on a node, in full."""


@dataclass(frozen=True, slots=True)
class JobRun:
    """A job on its home node; ``material`` is what its identity is made of."""

    node: str
    name: str
    service: str
    instance: str
    container: Container
    timeout: int
    material: tuple[str, ...]
    files_matter: bool
    secrets_matter: bool

    @property
    def id(self) -> Id:
        return Id(self.node, self.name)


@dataclass(frozen=True, slots=True)
class DesiredItem:
    """A resource behind an API; ``secret`` is a reference, or empty."""

    owner: str
    kind: str
    name: str
    attrs: Mapping[str, Any]
    service: str
    secret: str = ""
    keep: bool = False

    @property
    def id(self) -> str:
        return f"{self.owner}.{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Owner:
    """The instance that keeps resources of some kinds, on their home node."""

    service: str
    node: str
    instance: str
    component: str
    kinds: tuple[str, ...]
    kept: tuple[str, ...] = ()
    """Kinds of which some declaration in the catalogue says ``keep``: they hold data, and go only with ``purge``."""


@dataclass(frozen=True, slots=True)
class CertificateNames:
    common_name: str
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything that should be, for the nodes that were rendered."""

    instances: Mapping[str, tuple[Instance, ...]]
    jobs: tuple[JobRun, ...]
    items: tuple[DesiredItem, ...]
    owners: Mapping[str, Owner]
    certificates: Mapping[tuple[str, str], CertificateNames]
    secrets: tuple[str, ...]
    unrendered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Node whose facts are not known -> the components that are placed there: their members exist, and may hold data."""

    def on(self, node: str) -> tuple[Instance, ...]:
        return self.instances.get(node, ())
