"""The one UID/GID table of all images: fixed numbers, since Debian's dynamic ones shift between builds and data would change owner."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from scs_deploy.catalogue.release import Frozen, load_model
from scs_deploy.errors import Finding, InputError

FILE = Path(__file__).with_name("users.yml")

_OF_DEBIAN = range(64000, 65000)
"""Numbers that Debian itself gives away for good."""


class User(Frozen):
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


class UserTable(Frozen):
    """All users and groups, of services and of none."""

    format: Literal[1]
    users: dict[str, User]
    groups: dict[str, int] = Field({}, description="Those that are not of a user, with their numbers")
    retired: dict[str, User] = Field(
        {}, description="Nobody's any more; images hold them, and their numbers stay taken"
    )

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        users = {**self.users, **self.retired}
        for what, numbers in (
            ("uid", [user.uid for user in users.values()]),
            ("gid", [*(user.primary_gid for user in users.values()), *self.groups.values()]),
        ):
            twice = [str(number) for number, count in Counter(numbers).items() if count > 1]
            if twice:
                raise ValueError(f"{what} {', '.join(twice)} is given twice")
        for name, user in users.items():
            missing = set(user.groups) - set(self.groups) - set(self.users)
            if missing:
                raise ValueError(f"user {name} is in the unknown group {', '.join(sorted(missing))}")
        if twice := sorted(set(self.groups) & set(users)):
            raise ValueError(f"group {', '.join(twice)} is already the group of a user")
        return self

    @property
    def accounts(self) -> dict[str, User]:
        """Those that images make, in an order that does not depend on who declares them."""
        ours = {name: user for name, user in {**self.users, **self.retired}.items() if not user.builtin}
        return dict(sorted(ours.items(), key=lambda one: (one[1].uid not in _OF_DEBIAN, one[1].uid)))

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
                    fix=f"use one of {', '.join(sorted(self.users))}, or declare it in the service.yml it belongs to",
                )
            )
        return self.users[name]

    def clashes(self, users: Mapping[str, User], groups: Mapping[str, int]) -> Iterator[tuple[str, str]]:
        """Names among more users and groups that are taken, or whose number is, with what is wrong."""
        known = {**self.users, **self.retired}
        uids = {user.uid: name for name, user in known.items()}
        gids = {user.primary_gid: name for name, user in known.items()} | {
            gid: name for name, gid in self.groups.items()
        }
        numbers = [(name, user.uid, uids, "uid") for name, user in users.items()]
        numbers += [(name, user.primary_gid, gids, "gid") for name, user in users.items()]
        numbers += [(name, gid, gids, "gid") for name, gid in groups.items()]
        for name, number, taken, what in numbers:
            if name in known or name in self.groups:
                yield name, f"there is a user or group {name} already"
            elif number in taken:
                yield name, f"the {what} {number} is that of {taken[number]}"
            taken.setdefault(number, name)

    def joined(self, users: Mapping[str, User], groups: Mapping[str, int]) -> UserTable:
        """The table with more users and groups, which do not clash."""
        numbered = dict(sorted({**self.groups, **groups}.items(), key=lambda one: one[1]))
        return self.model_copy(update={"users": {**self.users, **users}, "groups": numbered})


@functools.cache
def system_users() -> UserTable:
    """Users and groups of no service."""
    return load_model(FILE, UserTable)
