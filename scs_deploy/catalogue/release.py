"""What a release pins, and the one UID/GID table of all images: loaders of ``<release>.yml`` and ``users.yml``."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scs_deploy.documents.yaml_data import Loader
from scs_deploy.errors import Finding, InputError

FOLDER = Path(__file__).parent / "releases"
USERS = "users"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Release(_Frozen):
    """One ``<release>.yml``: where packages come from and which upstream series they must be."""

    format: Literal[1]
    name: str
    suite: str = Field(description="Debian suite of all images and nodes")
    suites: dict[str, str] = Field({}, description="Image name -> suite, where it differs")
    mirror: str = Field(description="Debian mirror, unless the region or the host names another")
    security: bool = Field(True, description="Also <suite>-updates, and <suite>-security from <mirror>-security")
    series: dict[str, str] = Field({}, description="Package -> upstream version prefix that an image must contain")


class User(_Frozen):
    """One service user; its group has the same name and, unless given, the same number."""

    uid: int = Field(ge=0, le=65534)
    gid: int = Field(-1, ge=-1, le=65534)
    home: str = "/nonexistent"
    shell: str = "/usr/sbin/nologin"
    groups: tuple[str, ...] = Field((), description="Further groups it is a member of")
    builtin: bool = Field(False, description="Debian's base-passwd makes it; images do not")

    @property
    def primary_gid(self) -> int:
        return self.uid if self.gid < 0 else self.gid


class UserTable(_Frozen):
    """``users.yml``: fixed numbers, since Debian's dynamic ones shift between builds and data would change owner."""

    format: Literal[1]
    users: dict[str, User]
    groups: dict[str, int] = {}

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        for what, numbers in (
            ("uid", [user.uid for user in self.users.values()]),
            ("gid", [*(user.primary_gid for user in self.users.values()), *self.groups.values()]),
        ):
            twice = [str(number) for number, count in Counter(numbers).items() if count > 1]
            if twice:
                raise ValueError(f"{what} {', '.join(twice)} is given twice")
        for name, user in self.users.items():
            missing = set(user.groups) - set(self.groups) - set(self.users)
            if missing:
                raise ValueError(f"user {name} is in the unknown group {', '.join(sorted(missing))}")
        if twice := sorted(set(self.groups) & set(self.users)):
            raise ValueError(f"group {', '.join(twice)} is already the group of a user")
        return self

    def uid(self, name: str) -> int:
        """The number of a user. Raises InputError with the near names when the table does not hold it."""
        return self._user(name).uid

    def gid(self, name: str) -> int:
        """The number of a group, or the primary group of a user of that name."""
        return self.groups[name] if name in self.groups else self._user(name).primary_gid

    def _user(self, name: str) -> User:
        if name not in self.users:
            raise InputError(
                Finding(
                    f"no user or group named {name} in the UID table",
                    file=str(FOLDER / "users.yml"),
                    fix=f"use one of {', '.join(sorted(self.users))}, or add it with a number of its own",
                )
            )
        return self.users[name]


def release_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yml") if path.stem != USERS))


@functools.cache
def load_release(name: str) -> Release:
    """Read ``<name>.yml``. Raises InputError that lists the known releases when there is none of that name."""
    if name not in release_names():
        raise InputError(Finding(f"unknown release {name}", fix=f"use one of {', '.join(release_names())}"))
    return _load(FOLDER / f"{name}.yml", Release)


@functools.cache
def load_users() -> UserTable:
    return _load(FOLDER / f"{USERS}.yml", UserTable)


Model = TypeVar("Model", bound=BaseModel)


def _load(path: Path, model: type[Model]) -> Model:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)  # noqa: S506 - a subclass of the safe loader
        return model.model_validate(data)
    except yaml.YAMLError as error:
        raise InputError(Finding("not valid YAML", file=str(path), why=str(error))) from error
    except ValidationError as error:
        raise InputError(
            [
                Finding(found["msg"], file=str(path), path=".".join(str(part) for part in found["loc"]))
                for found in error.errors()
            ]
        ) from error
