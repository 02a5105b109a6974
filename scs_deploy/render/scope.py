"""What rendering is given for a region, and the world as one instance in it sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scs_deploy.catalogue import names
from scs_deploy.catalogue.service import SHARED_FILE, ContainerComponent, DataFolder, HostComponent, Service
from scs_deploy.errors import InputError
from scs_deploy.region.placement import Placed
from scs_deploy.region.region import Node
from scs_deploy.render.context import SHARED, Topology, context_for
from scs_deploy.render.templates import TemplateSet
from scs_deploy.secrets import account_names
from scs_deploy.secrets.placeholders import Reference, certificate_name, find, reference
from scs_deploy.secrets.vault import PUBLIC_KEY

SECRET_MAPPINGS = {"fernet", "ssh-key"}
"""Types of secrets whose value is a mapping: such a secret becomes a folder of files."""


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """The image of a component as images.lock names it."""

    id: str
    reference: str
    packages_digest: str
    packages: Mapping[str, str] = field(default_factory=dict)
    """Name -> Debian version."""


@dataclass(frozen=True, slots=True)
class Given:
    """What does not change between instances."""

    topology: Topology
    templates: TemplateSet
    images: Mapping[str, ImageChoice]
    secret_keys: Mapping[str, tuple[str, ...]]
    """Secret whose value is a mapping -> its keys."""
    facts: Mapping[str, Mapping[str, Any]]
    """Node -> facts, of the nodes whose facts are known."""
    standings: account_names.Standings = field(default_factory=dict)
    """Secret -> under which of its two names its account logs in."""
    _first: dict[tuple[str, str], tuple[str, frozenset[str]]] = field(default_factory=dict, repr=False, compare=False)
    """Service and template -> what it was for the first instance, and the secrets that it asked for: only a second one makes it worth
    to find out what it uses."""

    def secret_type(self, name: str) -> str:
        """Return the type of a secret; empty where no service declares it."""
        services = self.topology.catalogue.services.values()
        return next((service.secrets[name].type for service in services if name in service.secrets), "")

    def deployed(self) -> list[Service]:
        """Return the services that have an instance somewhere, in the order of the catalogue."""
        placed = {one.service for one in self.topology.placement.placed}
        return [service for name, service in self.topology.catalogue.services.items() if name in placed]

    def scope(self, placed: Placed) -> InstanceScope:
        """Return the world of one instance."""
        node = self.topology.by_name[placed.node]
        service, component = self.topology.catalogue.component(placed.component)
        context = context_for(self.topology, node, placed, component, self.facts.get(node.name, {}))
        scope: InstanceScope
        if component.kind == "host":
            scope = HostScope(self, node, placed, service, component, context)
        else:
            scope = ContainerScope(self, node, placed, service, component, context)
        context |= {"login_name": self.login_name, "secret": scope.secret, "secret_hash": scope.secret}
        return scope

    def login_name(self, name: str, secret: str) -> str:
        """Return the name under which consumers log in: ``name``, or its second name while that has the valid password."""
        return name + account_names.names(secret, self.standings)[0].suffix

    def image(self, name: str) -> ImageChoice:
        """Return the image that was built under a name; raises ``InputError`` if none was."""
        try:
            return self.images[name]
        except KeyError:
            raise InputError(
                f"image {name} is not in images.lock",
                why="it was never built for this region",
                fix=f"scs-deploy image build {name}",
            ) from None

    def user(self, name: str) -> str:
        """Return ``uid:gid`` of a user."""
        return f"{self.topology.users.uid(name)}:{self.topology.users.gid(name)}"

    def text(self, service: str, name: str, context: Mapping[str, Any], asked: set[str]) -> str:
        """Render a template, once where every instance would get the same text: /etc/hosts has a line per node on every node.

        The secrets that it asks for are added to ``asked``.
        """
        first = self._first.get((service, name))
        if first is not None and (used := self.templates.uses(service, name)) is not None and used <= SHARED:
            asked |= first[1]
            return first[0]
        before = frozenset(asked)
        asked.clear()
        text = self.templates.file(service, name, context)
        self._first.setdefault((service, name), (text, frozenset(asked)))
        asked |= before
        return text


@dataclass(frozen=True, slots=True)
class _Scope:
    given: Given
    node: Node
    placed: Placed
    service: Service
    component: ContainerComponent | HostComponent
    context: Mapping[str, Any]
    asked: set[str] = field(default_factory=set)
    """Secrets that were asked for while something was rendered for it: it is given these and no others."""

    def secret(self, name: str, derivation: str = "") -> Reference:
        """Return a reference to a secret, or to a value derived from it; raises ``InputError`` for one that no service declares."""
        if name != PUBLIC_KEY and not self.given.secret_type(name):
            raise InputError(
                f"no service declares the secret {name}",
                where=f"roles/{self.service.name}",
                fix="add it to secrets in a service.yml, or correct the name",
            )
        self.asked.add(name)
        return reference(name, derivation)

    def certificate(self) -> Reference:
        """Return a reference to its certificate."""
        name = certificate_name(self.node.name, self.placed.name)
        self.asked.add(name)
        return reference(name)

    def check(self, texts: Iterable[str]) -> None:
        """Raise ``InputError`` where a text refers to a secret that was not asked for: it came in from somewhere else."""
        strange = {name.partition("/")[0] for text in texts for name in find(text)} - self.asked
        if strange:
            raise InputError(
                f"{self.placed.name} on {self.node.name} would get secrets that nothing asked for: {', '.join(sorted(strange))}",
                where=f"roles/{self.service.name}",
                fix="print them with secret(...) where they are needed",
            )

    @property
    def folder(self) -> str:
        """The folder on the host that holds the files of the instance."""
        return names.instance_folder(self.placed.name)

    def string(self, text: str) -> str:
        """Render a string of service.yml."""
        return self.given.templates.string(self.service.name, text, self.context)

    def text(self, template: str, values: Mapping[str, Any] | None = None) -> str:
        """Render a template file of the service, or of the one that its name begins with; a program is taken as it is."""
        found = SHARED_FILE.fullmatch(template)
        owner, name = (found[1], found[3]) if found else (self.service.name, template)
        if (program := self.given.templates.texts.get(f"{owner}/programs/{name}")) is not None:
            return program
        context = (
            {**self.context, "values": {key: self._value(one) for key, one in values.items()}}
            if values
            else self.context
        )
        return self.given.text(owner, name, context, self.asked)

    def _value(self, value: Any) -> Any:
        return self.string(value) if isinstance(value, str) else value

    def is_mapping(self, secret: str) -> bool:
        """Tell whether a secret of the service is a folder of files."""
        return self.service.secrets[secret].type in SECRET_MAPPINGS


@dataclass(frozen=True, slots=True)
class ContainerScope(_Scope):
    component: ContainerComponent

    @property
    def user(self) -> str:
        """Whose group has files that name none."""
        return self.component.user

    def host_path(self, target: str) -> str:
        """Where a file lies on the host that the container sees as ``target``."""
        return f"{self.folder}/{target.lstrip('/')}"

    def data_path(self, data: DataFolder) -> str:
        """Where a data folder lies on the host."""
        return f"{names.DATA_ROOT}/{self.placed.service if data.shared else self.placed.name}/{data.name}"


@dataclass(frozen=True, slots=True)
class HostScope(_Scope):
    component: HostComponent

    @property
    def user(self) -> str:
        return "root"

    def host_path(self, target: str) -> str:
        return target


InstanceScope = ContainerScope | HostScope
"""One instance: where it is, what describes it and what its templates see."""
