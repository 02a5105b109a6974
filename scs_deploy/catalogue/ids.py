"""Ids of what stands, and of what is done, on nodes: values that know their parts, and are one text in events, saved plans and records.

That text is as old as the first region, and kept: what was recorded is read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

_RESOURCES = " resources of "


class Id(str):
    """``node/name``: an instance, or a step on a node."""

    __slots__ = ("name", "node")

    node: str
    name: str

    def __new__(cls, node: str, name: str) -> Self:
        made = super().__new__(cls, f"{node}/{name}")
        made.node, made.name = node, name
        return made

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Self:
        return self

    def __getnewargs__(self) -> Any:
        return self.node, self.name

    @property
    def files(self) -> Id:
        """The step that writes the files of an instance before the step of the instance itself."""
        return Id(self.node, f"{self.name}#files")


class ResourcesId(Id):
    """What a service declares with an owner."""

    __slots__ = ("owner", "service")

    owner: str
    service: str

    def __new__(cls, node: str, owner: str, service: str) -> Self:
        made = super().__new__(cls, node, f"{owner}{_RESOURCES}{service}")
        made.owner, made.service = owner, service
        return made

    def __getnewargs__(self) -> Any:
        return self.node, self.owner, self.service


def image_id(node: str, reference: str) -> Id:
    return Id(node, f"image {reference}")


def read(text: str) -> Id:
    """Return the id that a record holds as text."""
    node, _, name = text.partition("/")
    owner, found, service = name.partition(_RESOURCES)
    return ResourcesId(node, owner, service) if found else Id(node, name)
