"""What an image is made of, as data: the catalogue's images and the layers below them, resolved and in order."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Protocol

from scs_deploy.catalogue.release import Release
from scs_deploy.catalogue.service import Service
from scs_deploy.catalogue.users import UserTable
from scs_deploy.errors import Finding, InputError

FORMAT = 1
"""Raised when the way images are made changes, so that all of them are built anew."""

FRAGMENTS = Path(__file__).parent / "files"
LAYERS = ("debian", "base", "openstack")

BASE_PACKAGES = ("ca-certificates", "iproute2", "procps")
OPENSTACK_PACKAGES = (
    "dbconfig-common",
    "python3-keystonemiddleware",
    "python3-memcache",
    "python3-openstackclient",
    "python3-oslo.cache",
    "python3-oslo.db",
    "python3-oslo.messaging",
    "python3-oslo.policy",
    "python3-oslo.privsep",
    "python3-oslo.service",
    "python3-pastescript",
    "python3-pymemcache",
    "python3-pymysql",
    "q-text-as-data",
    "uwsgi-core",
    "uwsgi-plugin-python3",
)
SSL_ERRORS = "/usr/local/lib/scs-deploy/_ssl_errors.py"
"""Where a part of Python's ssl lies that its own one lacks; ``python/_ssl_errors.py`` says why."""

OPENSTACK_COMMANDS = (
    f"cd /usr/lib/python3.[0-9]* && cp {SSL_ERRORS} . && echo 'import _ssl_errors' >> ssl.py && "
    "python3 -m py_compile ssl.py _ssl_errors.py",
)


class HasServices(Protocol):
    """The part of the catalogue that images need."""

    @property
    def services(self) -> Mapping[str, Service]: ...

    @property
    def users(self) -> UserTable: ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image. ``files`` (path -> text; executable when it starts with ``#!``) and ``users`` are placed before the packages.

    An empty ``parent`` means a new Debian root filesystem.
    """

    name: str
    parent: str
    packages: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    suite: str = "trixie"
    users: Mapping[str, str] = field(default_factory=dict)

    def digest(self, parent_id: str) -> str:
        """Identity of the image's input, 64 hex digits: the same digest is never built twice."""
        made_of = {**asdict(self), "files": dict(self.files), "users": dict(self.users)}
        made_of |= {"parent": parent_id, "format": FORMAT, "fragments": _fragments()}
        del made_of["name"]
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def recipes(catalogue: HasServices, release: Release) -> dict[str, Recipe]:
    """All images of the catalogue and the layers they start from, parents first.

    Layers for another suite than the release's are called ``<layer>-<suite>``. Raises InputError with every finding.
    """
    declared = {
        name: (service.name, image) for service in catalogue.services.values() for name, image in service.images.items()
    }
    findings = _check(catalogue, declared.keys() | set(LAYERS))
    if findings:
        raise InputError(findings)
    order = _ordered({name: image.parent for name, (_, image) in declared.items()})
    found: dict[str, Recipe] = {}
    for name in order:
        service, image = declared[name]
        suite = release.suites.get(name, found[image.parent].suite if image.parent in declared else release.suite)
        parent = image.parent
        if parent in declared and found[parent].suite != suite:
            findings.append(
                Finding(
                    f"image {name} of {service} is from {suite}, its parent {parent} from {found[parent].suite}",
                    path=f"suites.{name}",
                    fix=f"give both the same suite in the release file of {release.name}",
                )
            )
            continue
        if parent in LAYERS:
            below = layers(parent, suite, release, catalogue.users)
            found |= {layer.name: layer for layer in below}
            parent = below[-1].name
        found[name] = Recipe(name, parent, tuple(sorted(image.packages)), image.commands, suite=suite)
    if findings:
        raise InputError(findings)
    return found or {layer.name: layer for layer in layers("base", release.suite, release, catalogue.users)}


def with_parents(names: Sequence[str], known: Mapping[str, Recipe]) -> dict[str, Recipe]:
    """The named recipes (all when none is named) and everything below them, parents first."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            fix = f"did you mean {near[0]}?" if near else f"use one of {', '.join(sorted(known))}"
            raise InputError(Finding(f"no image named {name}", fix=fix))
    wanted: set[str] = set()
    for name in names or known:
        while name and name not in wanted:
            wanted.add(name)
            name = known[name].parent
    return {name: recipe for name, recipe in known.items() if name in wanted}


def base_files() -> dict[str, str]:
    """What keeps packages from starting daemons, and docs and lists out of images."""
    return {
        "/usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
        "/etc/dpkg/dpkg.cfg.d/scs-deploy": (FRAGMENTS / "dpkg.cfg").read_text(),
        "/etc/apt/apt.conf.d/99scs-deploy": (FRAGMENTS / "apt.conf").read_text(),
        "/etc/adduser.conf": (FRAGMENTS / "adduser.conf").read_text(),
    }


def openstack_files() -> dict[str, str]:
    """What Python is given beside its packages."""
    return {SSL_ERRORS: (FRAGMENTS.parent / "python" / "_ssl_errors.py").read_text()}


def account_lines(users: UserTable) -> dict[str, str]:
    """The UID table as lines to append: account file -> text. Passwords are locked."""
    ours = users.accounts
    members: dict[str, list[str]] = {}
    for name, user in ours.items():
        for group in user.groups:
            members.setdefault(group, []).append(name)
    groups = {**{name: user.primary_gid for name, user in ours.items()}, **users.groups}
    return {
        "/etc/passwd": "".join(
            f"{name}:x:{user.uid}:{user.primary_gid}::{user.home}:{user.shell}\n" for name, user in ours.items()
        ),
        "/etc/shadow": "".join(f"{name}:!:20000::::::\n" for name in ours),
        "/etc/group": "".join(f"{name}:x:{gid}:{','.join(members.get(name, []))}\n" for name, gid in groups.items()),
        "/etc/gshadow": "".join(f"{name}:!::{','.join(members.get(name, []))}\n" for name in groups),
    }


def layers(upto: str, suite: str, release: Release, users: UserTable) -> list[Recipe]:
    """The shared layers from the root filesystem up to ``upto``."""
    tail = "" if suite == release.suite else f"-{suite}"
    made = [
        Recipe(f"debian{tail}", "", suite=suite),
        Recipe(f"base{tail}", f"debian{tail}", BASE_PACKAGES, (), base_files(), suite, account_lines(users)),
        Recipe(f"openstack{tail}", f"base{tail}", OPENSTACK_PACKAGES, OPENSTACK_COMMANDS, openstack_files(), suite),
    ]
    return made[: LAYERS.index(upto) + 1]


def _check(catalogue: HasServices, known: set[str]) -> list[Finding]:
    findings = []
    owner = dict.fromkeys(LAYERS, "the shared layers")
    for service in catalogue.services.values():
        for name, image in service.images.items():
            where = f"{service.name}: images.{name}"
            if name in owner:
                findings.append(
                    Finding(f"{owner[name]} already have an image {name}", path=where, fix="give it another name")
                )
            owner[name] = f"images of {service.name}"
            if image.parent not in known:
                near = difflib.get_close_matches(image.parent, known, n=1)
                fix = f"did you mean {near[0]}?" if near else f"use one of {', '.join(sorted(known))}"
                findings.append(Finding(f"unknown parent {image.parent}", path=f"{where}.parent", fix=fix))
    return findings


def _ordered(parents: Mapping[str, str]) -> list[str]:
    graph = {name: {parent} & parents.keys() for name, parent in sorted(parents.items())}
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise InputError(
            Finding(f"images are each other's parents: {circle}", fix="let one start from base")
        ) from error


def _fragments() -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(FRAGMENTS.iterdir()))).hexdigest()
