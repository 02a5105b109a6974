"""What a node is asked, and what it answers: how it differs from what is wanted.

``wire`` gives these classes their text form. What their types cannot say is in docs/contracts.md.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Literal, NamedTuple, TypedDict

from .resource import ItemSeen
from .wire import Rule

InstanceKind = Literal["container", "host"]

# -- health: how an instance is asked from outside whether it works ------------------------------------------------------


class Address(NamedTuple):
    host: str
    port: int


class Page(NamedTuple):
    scheme: str
    host: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A command that must succeed inside the container, within ``timeout`` seconds, before a step counts as done."""

    command: Sequence[str]
    timeout: float


@dataclass(frozen=True, slots=True)
class Health:
    """The first of these questions that is there is asked; none of them: nothing says how to tell. ``timeout`` in seconds."""

    tcp: Address | None = None
    http: Page | None = None
    ca: str = ""
    """File on the node that ``http`` and ``front`` trust."""
    unix: str = ""
    client: int = 0
    """A port that the instance must be connected to."""
    command: Sequence[str] = ()
    unit: bool = False
    timeout: float = 60
    front: Page | None = None
    """Where its load balancer shows it, which must answer too before a start counts as done."""
    front_pem: str = ""
    """The certificate that the frontend must show, where it is not of the internal CA."""
    settled: Settled | None = None
    """Sent with a restart that took something away; the next batch waits for it."""


# -- the question: how does a node differ from what is wanted ------------------------------------------------------------


class FileMark(NamedTuple):
    """A wanted file: SHA-256 of its content, mode such as "0640", owner."""

    digest: str
    mode: str
    uid: int
    gid: int


class FolderMark(NamedTuple):
    mode: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expected:
    """What both kinds of instances have; content stays on the controller."""

    unit: str
    files: Mapping[str, FileMark]
    health: Health
    start: str
    reload: str
    mask: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """File -> keys whose values are masked when its content is sent back."""
    opaque: Sequence[str] = ()
    """Files whose content never leaves the node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerExpected(_Expected):
    kind: Literal["container"] = "container"
    dirs: Mapping[str, FolderMark] = field(default_factory=dict)
    devices: Sequence[str] = ()
    probe: str = ""
    """A cluster's member: the hook that is asked when it is not healthy."""
    package: str = ""
    """Its data goes forward only, by the series of this package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostExpected(_Expected):
    kind: Literal["host"] = "host"
    packages: Sequence[str] = ()


Expected = ContainerExpected | HostExpected


@dataclass(frozen=True, slots=True)
class OwnerAsked:
    reconciler: str
    """Folder of the modules, one per kind."""
    kinds: Sequence[str]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    engine: str
    facts_digest: str
    """Of the facts that the controller has: the same ones are not sent again."""
    instances: Mapping[str, Expected]
    jobs: Mapping[str, str] = field(default_factory=dict)
    """Name -> digest."""
    owners: Mapping[str, OwnerAsked] = field(default_factory=dict)
    images: Sequence[str] = ()


# -- the answer ----------------------------------------------------------------------------------------------------------


# What templates print of a node is in these forms, so that it stays what it is printed as.


def _parsed(parse: Callable[[str], object], text: str) -> bool:
    try:
        return bool(re.fullmatch(r"[0-9a-fA-F:./]+", text) and parse(text))
    except ValueError:
        return False


def _lines(texts: Iterable[str]) -> bool:
    return all(len(one) <= 255 and one.isprintable() for one in texts)


Line = Annotated[str, Rule(lambda text: _lines([text]), "a line of at most 255 printable characters")]
Word = Annotated[str, Rule(re.compile(r"[a-z0-9._-]{0,64}").fullmatch, "a word as os-release(5) has them")]
Device = Annotated[str, Rule(re.compile(r"/[!-~]{1,254}").fullmatch, "the path of a device")]
Nic = Annotated[str, Rule(re.compile(r"[!-.0-9;-~]{0,15}").fullmatch, "the name of a network interface")]
Prefixed = Annotated[str, Rule(partial(_parsed, ipaddress.ip_interface), "an address with its prefix length")]
Resolver = Annotated[str, Rule(partial(_parsed, ipaddress.ip_address), "an address")]
Count = Annotated[int, Rule(lambda number: 0 <= number < 1 << 53, "a count")]
Named = Rule(lambda data: len(data) <= 64 and _lines(data), "a mapping of at most 64 names")
Few = Rule(lambda data: len(data) <= 4096, "a list of at most 4096")


class System(TypedDict):
    id: Word
    version: Word
    codename: Word


class Cpu(TypedDict):
    model: Line
    count: Annotated[int, Rule(lambda number: 1 <= number < 1 << 20, "a number of processors")]
    threads_per_core: Annotated[int, Rule(lambda number: 1 <= number < 1 << 10, "a number of threads")]
    flags: Annotated[Sequence[Line], Few]


class DiskFacts(TypedDict):
    name: Line
    path: Device
    size: Count
    serial: Line
    model: Line
    rotational: bool
    in_use: bool


class InterfaceFacts(TypedDict):
    """``vlan`` and ``parent`` of a VLAN; ``addresses`` with their prefix length."""

    name: Nic
    mac: Line
    mtu: int
    kind: Line
    vlan: int | None
    parent: Nic
    speed: int
    addresses: Annotated[Sequence[Prefixed], Few]


class Cgroup(TypedDict):
    mode: Literal["v2", "hybrid", "v1"]
    controllers: Annotated[Sequence[Line], Few]


class LimitFacts(TypedDict):
    nofile: int
    nproc: int


class Features(TypedDict):
    """By existence: loaded, built in, or loadable from the node's modules folder."""

    openvswitch: bool
    geneve: bool
    vxlan: bool
    bonding: bool
    vlan: bool
    rbd: bool
    nbd: bool
    dm: bool
    vhost: bool
    kvm: bool
    tun: bool


class Facts(TypedDict):
    """What stays the same from look to look; templates see it as it is on the wire."""

    os: System
    kernel: Line
    architecture: Line
    hostname: Line
    python: Line
    cpu: Cpu
    memory_mib: Count
    """Rounded down to 64."""
    disks: Annotated[Sequence[DiskFacts], Few]
    interfaces: Annotated[Sequence[InterfaceFacts], Few]
    """Without addresses that are VIPs (/32, /128), and without interfaces of guests and containers."""
    resolvers: Annotated[Sequence[Resolver], Few]
    """That other machines can ask too."""
    cgroup: Cgroup
    engines: Annotated[Mapping[str, Line], Named]
    """Debian package -> version."""
    kernel_features: Features
    ntp: Annotated[Mapping[str, Line], Named]
    """Time service -> state of its unit."""
    virtualization: Line
    limits: LimitFacts
    clock_settable: bool


class Listener(NamedTuple):
    protocol: str
    """tcp, tcp6, udp or udp6."""
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Live:
    """What changes all the time: seconds of the epoch, free bytes of file systems, listening ports."""

    time: float
    boot_id: str
    free_bytes: Mapping[str, int]
    listening: Sequence[Listener]


@dataclass(frozen=True, slots=True)
class EngineSeen:
    """Not ``ok``: no container is known, so nothing runs that we can see."""

    state: Literal["ok", "missing", "unreachable"]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who changes the node right now, since when (seconds of the epoch), and the folder that its code was unpacked to."""

    holder: str
    run: str
    since: float = 0.0
    pid: int = 0
    code: str = ""


TEXT_LIMIT, LINES_LIMIT = 256 * 1024, 10_000
"""Bytes and lines: content above this is never sent back for a diff."""

Shown = Annotated[
    str,
    Rule(
        lambda text: (
            len(text) <= 2 * TEXT_LIMIT and len(text.splitlines()) <= 2 * LINES_LIMIT
        ),  # masks may make it longer
        "a text that can be compared",
    ),
]


@dataclass(frozen=True, slots=True)
class FileSeen:
    """A file that differs; ``text`` is its masked content, None where that is the same, or cannot or must not be shown."""

    state: Literal["absent", "differs"]
    mode: str = ""
    uid: int = 0
    gid: int = 0
    same_content: bool = False
    text: Shown | None = None
    changed: float = 0.0
    """When, in seconds of the epoch."""


@dataclass(frozen=True, slots=True)
class FolderSeen:
    state: Literal["absent", "differs"]
    mode: str = ""
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class UnitSeen:
    active: str = ""
    enabled: str = "absent"
    """``enabled``, ``generated``, ``disabled``, … or ``absent``."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process and the digests of the input that it was started from and has reloaded since; see docs/contracts.md."""

    id: str
    image: str
    start: str
    reload: str
    since: float
    restarts: int
    engine: str = ""
    """That its container runs under."""


@dataclass(frozen=True, slots=True)
class Missing:
    missing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ClusterSeen:
    """What the probe of a member says that is not healthy."""

    state: Literal["empty", "member", "alone", "unknown"]
    position: int = -1
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """How an instance is: of files and folders only those that differ."""

    unit: UnitSeen
    running: Running | None
    healthy: bool | None
    recorded: bool
    """False: the node's manifest or the file of labels does not say what is wanted."""
    why: str = ""
    files: Mapping[str, FileSeen] = field(default_factory=dict)
    dirs: Mapping[str, FolderSeen] = field(default_factory=dict)
    packages: Missing = Missing()
    devices: Missing = Missing()
    extra: Sequence[str] = ()
    """Files that it no longer has, or that a killed run left half-written, wherever they lie."""
    cluster: ClusterSeen | None = None
    version: Annotated[str, Rule(re.compile(r"[A-Za-z0-9.+:~-]{0,100}").fullmatch, "a Debian version")] = ""
    """By which version of ``ContainerExpected.package`` its data was written last, where anybody knows."""


@dataclass(frozen=True, slots=True)
class Managed:
    """The node's record of an instance: all its files and data folders."""

    unit: str = ""
    kind: InstanceKind = "container"
    files: Sequence[str] = ()
    data: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Recorded(Managed):
    version: str = ""
    """Of the package that its data was written by, at its last start."""
    mask: Mapping[str, Sequence[str]] = field(default_factory=dict)
    opaque: Sequence[str] = ()
    """As in ``Expected``, for its files as they were last written; unknown where an earlier version wrote them."""


@dataclass(frozen=True, slots=True)
class Unexpected:
    """What nobody asked for: recorded instances, files below the managed folder, containers with our label and no instance."""

    instances: Mapping[str, Managed] = field(default_factory=dict)
    files: Sequence[str] = ()
    containers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class JobRecord:
    state: Literal["never", "started", "done"] = "never"
    digest: str = ""


@dataclass(frozen=True, slots=True)
class OwnerSeen:
    state: Literal["ok", "unknown"]
    why: str = ""
    items: Mapping[str, Sequence[ItemSeen]] = field(default_factory=dict)
    """Kind -> the wanted ones that exist, and those that are managed and wanted no longer."""


@dataclass(frozen=True, slots=True)
class Answer:
    facts: Facts | None
    """None: those whose digest was in the question."""
    facts_digest: str
    live: Live
    lock: Holder | None
    engine: EngineSeen
    instances: Mapping[str, Seen]
    unexpected: Unexpected
    jobs: Mapping[str, JobRecord]
    owners: Mapping[str, OwnerSeen]
    images: Sequence[str]
