"""The model of ``roles/<service>/service.yml``: a service is a description, and this is its whole vocabulary.

String values marked *(template)* are Jinja2 and see the context documented in ``scs_deploy/render/context.py``.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from scs_deploy.catalogue.users import User

Name = str
NeedScope = Literal["", "same-node", "any", "quorum", "all"]
SHARED_FILE = re.compile(r"([^/]+)/(templates|programs)/(.+)")
"""How a description names a file of another role."""


class Description(BaseModel):
    """Frozen, and every unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Image(Description):
    """A container image built from Debian packages; its suite comes from the release file only."""

    parent: Name = Field("base", description="Layer it starts from: base, openstack or another image")
    packages: tuple[str, ...] = ()
    commands: tuple[str, ...] = Field((), description="Shell lines run after the packages are installed")


class DataFolder(Description):
    """A host folder below the data root that outlives its container: ``DATA_ROOT/<instance>/<name>``."""

    name: Name
    target: str = Field(description="Path inside the container")
    user: str = Field("root", description="Owner, by its name in the UID table")
    mode: str = "0750"
    shared: bool = Field(False, description="One folder for all components of the service: DATA_ROOT/<service>/<name>")


class HostMount(Description):
    """A host path that is not data: devices, /run folders, kernel files."""

    source: str = Field(description="(template)")
    target: str = Field("", description="(template); default: the source")
    mode: Literal["ro", "rw"] = "ro"
    propagation: Literal["", "shared", "rslave", "rshared"] = ""
    create: bool = Field(False, description="Create the host folder (at each boot when it lies below /run)")
    user: str = "root"
    create_mode: str = "0755"

    @property
    def inside(self) -> str:
        return self.target or self.source


class ConfigFile(Description):
    """One file: rendered from a template of the role, or the value of a secret.

    A secret whose value is a mapping becomes a folder with one file per key.
    """

    template: str = Field(
        "",
        description="File below the role's templates/, or below programs/, which is taken as it is; of another role by "
        "<service>/templates/<file>",
    )
    values: dict[str, Any] = Field(
        {}, description="What a template that serves several files sees as ``values`` (texts are templates)"
    )
    secret: Name = Field("", description="Name of a secret instead of a template")
    target: str = Field(description="Path inside the container; for a host component, on the node")
    format: Literal["ini", "uwsgi", "ceph", "my", "yaml", "json", "python", "raw"] = Field(
        "raw",
        description="Who reads it, and so how values are spelled: scs_deploy/documents/config_formats.py; ini is that of oslo.config",
    )
    user: str = Field("root", description="Owner, by its name in the UID table")
    group: str = Field("", description="Group, by its name in the UID table; default: that of the component's user")
    mode: str = "0640"
    effect: Literal["restart", "reload", "none"] = "restart"
    executable: bool = False
    verify: tuple[str, ...] = Field(
        (),
        description="Command on the node, given the path of the new file, that must accept it before it replaces the one that "
        "there is (template)",
    )
    jobs_only: bool = Field(False, description="Only the containers of jobs that share this component's files see it")

    @property
    def name(self) -> str:
        """How an operator's change names it, besides its target: the template without folders."""
        return self.template.rpartition("/")[2]

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.template) == bool(self.secret):
            raise ValueError("give exactly one of template and secret")
        return self


class SettledCheck(Description):
    """What must be so again after a restart took an instance away, before another one is restarted: such as copies made whole."""

    command: tuple[str, ...] = Field(description="Inside the container; asked until it succeeds, says what is missing")
    timeout: int = Field(600, description="Seconds to wait; the region's patience factor multiplies it")


class HealthCheck(Description):
    """How an instance shows that it works, asked from outside the container: cheap, and the gate of a wave."""

    tcp: str = Field("", description="Name of a port that must accept a connection")
    http: str = Field("", description="Name of a port that must answer ``path`` with status 2xx or 3xx")
    path: str = "/"
    frontend: bool = Field(False, description="With http: after a start, the port's frontend must answer as well")
    unix: str = Field("", description="Host path (template) of a socket that must accept a connection")
    client: str = Field("", description="Name of another service's port that the container must hold a connection to")
    command: tuple[str, ...] = Field(
        (),
        description="(template) In the container, where it costs an exec, so the last resort; of a host component on the node: it "
        "tells what is not in force, which is drift and brought into force again",
    )
    timeout: int = Field(60, description="Seconds to wait after a start; the region's patience factor multiplies it")
    settled: SettledCheck | None = None


class Need(Description):
    """What must be healthy before an instance of this component is started; a name alone will do."""

    component: Name
    scope: NeedScope = Field(
        "",
        description="same-node: its members on the same node; any, quorum, all: one of its members, more than half of them, all "
        "that change. Default: a quorum of those that vote, else any; all of a host part",
    )

    @model_validator(mode="before")
    @classmethod
    def _a_name_alone(cls, said: Any) -> Any:
        return {"component": said} if isinstance(said, str) else said


class Frontend(Description):
    """What a load balancer offers in front of a port; whoever balances reads all of these."""

    networks: tuple[Name, ...] = ("api",)
    sources: tuple[Name, ...] = Field(
        (), description="Groups of nodes that may connect inside the port's own network; default: all of it"
    )
    mode: Literal["http", "tcp"] = "http"
    port: int = Field(0, description="Default: the port itself")
    check_path: str = "/"
    check: Literal["http", "tcp"] = "http"
    check_port: Name = Field(
        "",
        description="Port of this service that answers the check by HTTP in this one's place, on every node that has this one: "
        "where a connection does not tell whether the service works",
    )
    logins: str = Field(
        "",
        description="What the paths of logins, which are POST, have in them: how many a client may try in a minute is limited",
    )
    single_writer: bool = Field(False, description="All traffic to one member, the others are backups")
    timeout: int = Field(60, description="Idle seconds of client and server")
    tls: bool = Field(True, description="Terminate TLS at the frontend (http) or pass the stream through (tcp)")

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.mode == "tcp" and self.check == "http" and not self.check_port:
            raise ValueError("a stream cannot be asked by HTTP: give check_port, or check: tcp")
        if self.check == "tcp" and self.check_port:
            raise ValueError("check_port is asked by HTTP: leave check out")
        return self


class Port(Description):
    """A listener: which network, whether TLS, who may come."""

    name: Name
    port: int = Field(ge=1, le=65535)
    last: int = Field(0, ge=0, le=65535, description="End of a range of ports, of which the process takes some")
    network: Name = "api"
    protocol: Literal["tcp", "udp"] = "tcp"
    tls: bool = True
    plain_reason: str = Field("", description="Why there is no TLS: the committed exception")
    sources: tuple[Name, ...] = Field(
        (),
        description="Groups of nodes that may connect, such as control; of those that grow with the region none is named, since their "
        "addresses stand on every node that has it. Default: nodes that balance, where it has a frontend and they a VIP, else all of "
        "the port's own network",
    )
    frontend: Frontend | None = None

    @model_validator(mode="after")
    def _exception_has_a_reason(self) -> Self:
        if not self.tls and not self.plain_reason:
            raise ValueError("a port without TLS needs plain_reason")
        if self.last and (self.last < self.port or self.frontend):
            raise ValueError("last is not below port, and a range has no frontend")
        return self


class Egress(Description):
    """A user of the node that opens connections to these ports of the region, and to nothing else."""

    user: str = Field(description="By its name in the UID table")
    ports: tuple[Name, ...]


class Limits(Description):
    nofile: int = Field(16384, description="Open files; 0 leaves it to the engine")
    nproc: int = 0
    memory: str = Field("", description="Such as 512m (template); applied where the node's facts say it can be")
    shm: str = ""


class OneWay(Description):
    """A newer series of the program changes the data for good: the plan tells that step, and the way back is refused.

    The series is the first two numbers of the package's upstream version.
    """

    package: str = Field(description="Debian package in the image whose version counts")
    why: str = Field(description="What cannot be undone, and when that point is reached, for the plan")


class Stop(Description):
    timeout: int = Field(15, description="Seconds between the stop signal and SIGKILL")
    signal: str = "SIGTERM"


class Reload(Description):
    """How a running instance takes files whose effect is ``reload``."""

    signal: str = ""
    command: tuple[str, ...] = Field((), description="Inside the container (template)")


class Cluster(Description):
    """Members that form a cluster once and join it ever after; the entry script of a new member waits for one or the other."""

    member_when: str = Field(
        description="Host path, with wildcards (template): a folder, or a file that is not empty, there is where a member has data"
    )
    order: str = Field(
        description="Host path below /run (template) of a file that makes the next start form the cluster, and is used up by it"
    )


class Job(Description):
    """A one-shot container; it runs again when ``digest`` of what it depends on changed, so it must be re-runnable."""

    name: Name
    component: Name = Field(
        "", description="Whose image, files, user and mounts it uses; default: the first of ``before``"
    )
    command: tuple[str, ...] = Field((), description="(template)")
    entry: str = Field(
        "", description="Script of the role's programs/, or templates/, that runs instead of the command"
    )
    depends: tuple[Literal["image", "config", "secrets", "packages"], ...] = Field(
        ("packages",),
        description="What its identity is made of, besides its command; secrets are those of files with jobs_only",
    )
    needs: tuple[Need, ...] = ()
    resources: tuple[str, ...] = Field((), description="Kinds of this service's resources that must exist before")
    before: tuple[Name, ...] = Field((), description="Components of this service that start only when it is done")
    after: tuple[Name, ...] = Field((), description="Jobs of this service that must be done first")
    timeout: int = 300
    environment: dict[str, str] = {}
    user: str = ""
    capabilities: tuple[str, ...] = ()

    @property
    def home(self) -> Name:
        """The component whose first instance's node runs the job."""
        return self.component or next(iter(self.before), "")


class Resource(Description):
    """Something behind an API, declared as data by whoever needs it and kept by the owner of its kind.

    ``kind`` is ``<owner service>.<kind>``; the owner's ``resources/<kind>.py`` lists, compares and applies. Templates see the
    first instance of the service, without facts: what is not declared is deleted, so it must not depend on which nodes answer.
    """

    kind: str = Field(pattern=r"^[a-z][a-z0-9-]*\.[a-z][a-z0-9_]*$")
    name: str = Field(description="(template)")
    attrs: dict[str, Any] = Field({}, description="Values of strings are templates")
    secret: Name = Field("", description="Secret this resource is set to, such as a password")
    each: str = Field("", description="Template expression that gives a list; ``item`` is then known")
    keep: bool = Field(False, description="Holds data: removed only with --purge")


class ResourceOwner(Description):
    """The component that keeps resources of some kinds; its first instance is their home node."""

    kinds: tuple[str, ...] = Field(
        description="In the order in which they are made, so that what a kind names is there before it"
    )
    component: Name
    context: dict[str, str] = Field({}, description="What the reconciler is given (templates; may hold secrets)")
    accounts: dict[str, tuple[str, ...]] = Field(
        {},
        description="Kinds that log in with their secret, so that a second one by another name can stand in while a password is "
        "rotated -> kinds that name such an account in an attribute called like its kind",
    )


class Secret(Description):
    """A generated secret; the region's vault keeps its value."""

    type: Literal["password", "fernet", "hex", "uuid", "cookie", "ssh-key", "cephx"] = "password"
    length: int = Field(32, ge=8)
    count: int = Field(3, description="Keys of a fernet repository")
    valid_minutes: int = Field(
        0,
        ge=0,
        description="Fernet: what its keys sign is worthless after so many minutes, so they can be rotated without an outage; "
        "0: what they encrypt is kept",
    )
    description: str = ""


class Tls(Description):
    """A certificate of the internal CA, placed below TLS_TARGET as ca.pem, cert.pem, key.pem and bundle.pem."""

    user: str = Field("", description="Owner, by its name in the UID table; default: the component's user")
    vips: bool = Field(
        False,
        description="The names and addresses of the VIPs that its ports are behind, or of all, are added to the certificate",
    )
    names: tuple[str, ...] = Field((), description="More DNS names (template)")
    effect: Literal["restart", "reload"] = "restart"


class Each(Description):
    """Several instances of a component on one node, one per item: such as one per disk. Templates see ``item``."""

    of: str = Field(description="Expression on node, region and settings that gives a list; no item, no instance")
    index: str = Field(
        "item", description="Expression on item (and node): what tells its instance apart, for names and folders"
    )
    what: str = Field(description="What an item is, for the message when no node has one: such as 'disk with use osd'")


class Demand(Description):
    """What a node must be able to do for an instance; where it cannot, nothing is started there and the plan says so."""

    that: str = Field(description="Expression on settings, facts and whatever else templates see")
    what: str = Field(description="What is wrong where it is false (template)")
    why: str = Field(description="(template)")
    fix: str = Field(description="(template)")


class _Component(Description):
    """What both kinds say."""

    group: Name | tuple[Name, ...] = Field(
        description="Group of nodes that carries it, or several of them; ``all`` means every node"
    )
    cardinality: Literal["one", "all", "odd"] = Field(
        "all",
        description="one: a single node; odd: as many nodes as give a quorum (1, 3 or 5); all: every node of the group",
    )
    beside: Name = Field(
        "",
        description="Component of this service, declared before: it is placed on the nodes of that one, whichever they are",
    )
    quorum: bool = Field(False, description="Members vote: two of them never restart in one wave")
    when: str = Field("", description="Template expression on settings and facts; empty means always")
    each: Each | None = None
    files: tuple[ConfigFile, ...] = ()
    tls: Tls | None = None
    health: HealthCheck = HealthCheck()
    stop: Stop = Stop()
    reload: Reload | None = None
    needs: tuple[Need, ...] = ()
    demands: tuple[Demand, ...] = ()
    ports: tuple[Port, ...] = ()
    egress: Egress | None = None
    balances: bool = Field(
        False, description="Offers the frontends of all ports: it learns of a check_port when who answers there runs"
    )
    carries_frontends: bool = Field(
        False,
        description="Frontends are reached through it: whoever needs a component that has one, or is asked at its own, needs this too",
    )
    pause: str = Field("", description="What a restart interrupts, for the plan: such as 'API requests fail for 2 s'")

    @property
    def groups(self) -> tuple[Name, ...]:
        return (self.group,) if isinstance(self.group, str) else self.group

    @property
    def groups_text(self) -> str:
        """Its groups as messages name them."""
        return " or ".join(self.groups)

    @model_validator(mode="after")
    def _placed_one_way(self) -> Self:
        if self.beside and self.cardinality != "all":
            raise ValueError("beside says where it is placed, so leave cardinality out")
        return self


class ContainerComponent(_Component):
    """A container on each of its nodes."""

    kind: Literal["container"] = "container"
    image: Name
    command: tuple[str, ...] = Field((), description="(template)")
    entry: str = Field(
        "", description="Script of the role's programs/, or templates/, that runs instead of the command"
    )
    user: str = Field("root", description="User inside the container, by its name in the UID table")
    environment: dict[str, str] = Field({}, description="(template)")
    capabilities: tuple[str, ...] = ()
    devices: tuple[str, ...] = Field((), description="(template); one that renders to nothing is left out")
    security: tuple[str, ...] = Field(
        (), description="Options such as seccomp=unconfined or unmask=/proc/sys (template)"
    )
    pid: Literal["", "host"] = ""
    ipc: Literal["", "host"] = ""
    cgroupns: Literal["", "host"] = ""
    init: bool = Field(True, description="A minimal PID 1 that forwards signals and reaps")
    read_only: bool = True
    tmpfs: tuple[str, ...] = ("/tmp", "/run")  # noqa: S108 - inside the container
    mounts: tuple[HostMount, ...] = ()
    data: tuple[DataFolder, ...] = ()
    folders: tuple[str, ...] = Field(
        (), description="Targets mounted as a whole folder, so that a running process sees replaced files"
    )
    limits: Limits = Limits()
    cluster: Cluster | None = None
    one_way: OneWay | None = None


class HostComponent(_Component):
    """Packages, files and a unit of the node itself."""

    kind: Literal["host"]
    packages: tuple[str, ...] = Field((), description="Debian packages of the node")
    unit: str = Field("", description="systemd unit that is enabled and runs")
    apply: tuple[str, ...] = Field((), description="Command that brings the files into force (template)")

    @model_validator(mode="after")
    def _is_asked_at_once(self) -> Self:
        if self.health.settled:
            raise ValueError("health.settled belongs to containers")
        return self


def _kind(said: Any) -> str:
    return str(said.get("kind", "container")) if isinstance(said, dict) else getattr(said, "kind", "container")


Component = Annotated[
    Annotated[ContainerComponent, Tag("container")] | Annotated[HostComponent, Tag("host")], Discriminator(_kind)
]
"""What is placed on nodes; ``kind`` is that of a container where nothing else is said."""


class Offer(Description):
    """A word for others: a piece of a description that they write out by ``uses``."""

    about: str
    parameters: dict[Name, Any] = Field(
        {},
        description="With their defaults, which may name those before them; null: must be given. ``service`` is always there",
    )
    gives: dict[str, Any] = Field(description="In it ``$name`` stands for a parameter")


class Service(Description):
    """One ``service.yml``."""

    format: Literal[1]
    name: Name = Field(pattern=r"^[a-z][a-z0-9-]*$")
    summary: str
    enabled: bool = Field(True, description="Deployed unless the region says otherwise")
    needs: tuple[Name, ...] = Field((), description="Services that must be enabled too")
    uses: dict[str, dict[str, Any] | tuple[dict[str, Any], ...]] = Field(
        {},
        description="Words of other services (``<owner>.<word>``) with their parameters; several of them for several uses",
    )
    offers: dict[Name, Offer] = {}
    defaults: dict[str, Any] = Field({}, description="What all containers of this service have that say nothing else")
    settings: dict[str, dict[str, Any]] = Field(
        {}, description="JSON Schema properties, each with default and description"
    )
    secrets: dict[Name, Secret] = {}
    users: dict[Name, User] = Field(
        {}, description="Accounts with numbers of their own, which are never changed: data on nodes is owned by them"
    )
    groups: dict[Name, int] = Field({}, description="Groups that are not those of a user, with their numbers")
    images: dict[Name, Image] = {}
    components: dict[Name, Component]
    jobs: tuple[Job, ...] = ()
    resources: tuple[Resource, ...] = ()
    owns: ResourceOwner | None = None

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        for job in self.jobs:
            if not job.home:
                raise ValueError(f"job {job.name}: give component, or before")
            for name in (job.home, *job.before):
                if name not in self.components:
                    raise ValueError(f"job {job.name}: names the unknown component {name}")
            if self.components[job.home].kind != "container":
                raise ValueError(f"job {job.name}: {job.home} has no container whose image it could use")
        if self.owns and self.owns.component not in self.components:
            raise ValueError(f"owns.component names the unknown component {self.owns.component}")
        return self
