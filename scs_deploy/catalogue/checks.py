"""Checks that the services of a catalogue fit together: every name that one uses must exist somewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import jsonschema

from scs_deploy.catalogue.service import SHARED_FILE, Component, ContainerComponent, Job, Service
from scs_deploy.catalogue.users import UserTable
from scs_deploy.documents.fields import NETWORK_NAMES
from scs_deploy.documents.findings import choose, of_jsonschema
from scs_deploy.documents.source import PathTuple, Source
from scs_deploy.errors import Finding

BUILT_IN_IMAGES = ("base", "openstack")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A service with where it came from."""

    service: Service
    folder: Path
    source: Source

    def known(self, path: PathTuple, kind: str, name: str, names: Collection[str]) -> Iterator[Finding]:
        """A finding when ``name`` is not one of ``names``; an empty name means none was given."""
        if name and name not in names:
            yield self.source.finding(path, f"there is no {kind} {name}", fix=choose(name, names))

    def file(self, path: PathTuple, name: str, *folders: str) -> Iterator[Finding]:
        if name and not any((self.folder / folder / name).is_file() for folder in folders):
            what = f"there is no file {' or '.join(f'{folder}/{name}' for folder in folders)} in {self.folder.name}"
            yield self.source.finding(path, what, fix="add it, or correct the name")


@dataclass(frozen=True, slots=True)
class _Names:
    services: Collection[str]
    components: Collection[str]
    images: Collection[str]
    secrets: Collection[str]
    kinds: Collection[str]
    users: Collection[str]
    groups: Collection[str]
    ports: Collection[str]
    carriers: Collection[str]
    """Groups of nodes."""
    folders: Mapping[str, Path]


def cross_check(loaded: dict[str, Loaded], table: UserTable) -> Iterator[Finding]:
    """Findings of all services together; ``table`` holds the users of all of them."""
    services = [one.service for one in loaded.values()]
    names = _Names(
        set(loaded),
        {name for service in services for name in service.components},
        {*BUILT_IN_IMAGES, *(name for service in services for name in service.images)},
        {name for service in services for name in service.secrets},
        {f"{service.name}.{kind}" for service in services if service.owns for kind in service.owns.kinds},
        set(table.users),
        {*table.users, *table.groups},
        {port.name for service in services for component in service.components.values() for port in component.ports},
        {group for service in services for component in service.components.values() for group in component.groups},
        {name: one.folder for name, one in loaded.items()},
    )
    yield from _duplicates(loaded)
    for one in loaded.values():
        yield from _settings(one)
        yield from _service(one, names)
        for name, component in one.service.components.items():
            yield from _component(one, ("components", name), component, names)


def _duplicates(loaded: dict[str, Loaded]) -> Iterator[Finding]:
    """Components, images and jobs have one name each in the whole catalogue."""
    for kind in ("components", "images", "jobs"):
        seen: dict[str, Loaded] = {}
        for one in loaded.values():
            items = getattr(one.service, kind)
            for index, item in enumerate(items):
                name, path = (item.name, (kind, index, "name")) if isinstance(item, Job) else (item, (kind, item))
                if name in seen:
                    why = f"it is already in {seen[name].source.name}"
                    what = f"the {kind[:-1]} {name} is given twice"
                    yield one.source.finding(path, what, why=why, fix="rename one of them", key=True)
                seen.setdefault(name, one)


def _settings(one: Loaded) -> Iterator[Finding]:
    meta = jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA)
    for name, schema in one.service.settings.items():
        path = ("settings", name)
        errors = list(of_jsonschema(one.source, path, meta.iter_errors(schema)))
        yield from errors
        for key in ("description", "default"):
            if key not in schema:
                yield one.source.finding(
                    path, f"the key {key} is missing", fix=f"add {key}: people read it in docs and editor", key=True
                )
        if "default" in schema and not errors:
            found = jsonschema.Draft202012Validator(schema).iter_errors(schema["default"])
            yield from of_jsonschema(one.source, (*path, "default"), found)
        if (component := schema.get("x-max-failure-domains")) and component not in one.service.components:
            fix = choose(str(component), one.service.components)
            yield one.source.finding(
                (*path, "x-max-failure-domains"), f"there is no component {component} in this service", fix=fix
            )


def _service(one: Loaded, names: _Names) -> Iterator[Finding]:
    service = one.service
    if service.name != one.folder.name:
        yield one.source.finding(("name",), f"the folder is called {one.folder.name}", fix=f"call both {service.name}")
    for index, name in enumerate(service.needs):
        yield from one.known(("needs", index), "service", name, names.services)
    for name, image in service.images.items():
        yield from one.known(("images", name, "parent"), "image", image.parent, names.images)
    for name, user in service.users.items():
        for index, group in enumerate(user.groups):
            yield from one.known(("users", name, "groups", index), "group in the UID table", group, names.groups)
    jobs = {job.name for job in service.jobs}
    kinds = {kind for one_of in service.resources for kind in (one_of.kind, one_of.kind.partition(".")[2])}
    for number, job in enumerate(service.jobs):
        at: PathTuple = ("jobs", number)
        for index, need in enumerate(job.needs):
            yield from one.known((*at, "needs", index, "component"), "component", need.component, names.components)
        for index, name in enumerate(job.after):
            yield from one.known((*at, "after", index), "job in this service", name, jobs)
        for index, kind in enumerate(job.resources):
            yield from one.known((*at, "resources", index), "resource of this kind in this service", kind, kinds)
        yield from one.known((*at, "user"), "user in the UID table", job.user, names.users)
        yield from one.file((*at, "entry"), job.entry, "templates", "programs")
    for index, resource in enumerate(service.resources):
        yield from one.known(("resources", index, "kind"), "owner of the kind", resource.kind, names.kinds)
        yield from one.known(("resources", index, "secret"), "secret", resource.secret, names.secrets)
    if service.owns:
        for index, kind in enumerate(service.owns.kinds):
            yield from one.file(("owns", "kinds", index), f"{kind}.py", "resources")
        for kind, hanging in service.owns.accounts.items():
            for name in (kind, *hanging):
                yield from one.known(("owns", "accounts", kind), "kind in this service", name, service.owns.kinds)


def _component(one: Loaded, at: PathTuple, component: Component, names: _Names) -> Iterator[Finding]:
    before = list(takewhile(lambda name: name != at[-1], one.service.components))
    yield from one.known((*at, "beside"), "component of this service before it", component.beside, before)
    for index, need in enumerate(component.needs):
        yield from one.known((*at, "needs", index, "component"), "component", need.component, names.components)
    for index, spec in enumerate(component.files):
        where = (*at, "files", index)
        yield from one.known((*where, "secret"), "secret", spec.secret, names.secrets)
        yield from one.known((*where, "user"), "user in the UID table", spec.user, names.users)
        yield from one.known((*where, "group"), "group in the UID table", spec.group, names.groups)
        yield from _template(one, (*where, "template"), spec.template, names)
    if component.tls:
        yield from one.known((*at, "tls", "user"), "user in the UID table", component.tls.user, names.users)
    if component.egress:
        yield from one.known((*at, "egress", "user"), "user in the UID table", component.egress.user, names.users)
        for index, port in enumerate(component.egress.ports):
            yield from one.known((*at, "egress", "ports", index), "port", port, names.ports)
    yield from _ports(one, at, component, names)
    if component.kind == "container":
        yield from _container(one, at, component, names)


def _container(one: Loaded, at: PathTuple, component: ContainerComponent, names: _Names) -> Iterator[Finding]:
    yield from one.known((*at, "image"), "image", component.image, names.images)
    yield from one.known((*at, "user"), "user in the UID table", component.user, names.users)
    yield from one.file((*at, "entry"), component.entry, "templates", "programs")
    for index, folder in enumerate(component.data):
        yield from one.known((*at, "data", index, "user"), "user in the UID table", folder.user, names.users)
    for index, mount in enumerate(component.mounts):
        yield from one.known((*at, "mounts", index, "user"), "user in the UID table", mount.user, names.users)


def _template(one: Loaded, at: PathTuple, name: str, names: _Names) -> Iterator[Finding]:
    if (shared := SHARED_FILE.fullmatch(name)) and shared[1] in names.folders:
        yield from replace(one, folder=names.folders[shared[1]]).file(at, shared[3], shared[2])
    else:
        yield from one.file(at, name, "templates", "programs")


def _ports(one: Loaded, at: PathTuple, component: Component, names: _Names) -> Iterator[Finding]:
    ports = {port.name for port in component.ports}
    yield from one.known((*at, "health", "tcp"), "port in this component", component.health.tcp, ports)
    yield from one.known((*at, "health", "http"), "port in this component", component.health.http, ports)
    for index, port in enumerate(component.ports):
        where = (*at, "ports", index)
        yield from one.known((*where, "network"), "network", port.network, NETWORK_NAMES)
        for number, name in enumerate(port.sources):
            yield from one.known((*where, "sources", number), "group of nodes", name, names.carriers)
        if port.frontend:
            for number, name in enumerate(port.frontend.sources):
                yield from one.known((*where, "frontend", "sources", number), "group of nodes", name, names.carriers)
            for number, name in enumerate(port.frontend.networks):
                yield from one.known((*where, "frontend", "networks", number), "network", name, NETWORK_NAMES)
            others = {other.name for one_of in one.service.components.values() for other in one_of.ports}
            check = port.frontend.check_port
            yield from one.known((*where, "frontend", "check_port"), "port in this service", check, others)
