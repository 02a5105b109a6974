"""What reconcilers of resources are given and tell, in their processes and on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

Difference = TypedDict("Difference", {"what": str, "is": str, "wanted": str})
"""What ``apply`` would put right beyond the wanted attributes: texts for people, as in ``tags: administrator, wanted none``."""


class Item(TypedDict):
    """What a reconciler tells of a resource; see ``ItemSeen``."""

    name: str
    attrs: dict[str, Any]
    secret: str
    differences: NotRequired[list[Difference]]


class WantedItem(TypedDict):
    """What a reconciler is asked about; ``secret`` is the value."""

    kind: str
    name: str
    attrs: dict[str, Any]
    secret: str
    digest: str


class ItemChange(WantedItem):
    """What a reconciler is to do; see ``Operation``."""

    op: Literal["create", "update", "delete"]


@dataclass(frozen=True, slots=True)
class ItemSeen:
    """A resource behind an API, as its reconciler tells it."""

    name: str
    attrs: Mapping[str, Any] = field(default_factory=dict)
    differences: Sequence[Difference] = ()
    secret: str = ""
    """The wanted digest where the backend accepts the wanted secret; else ``differs``, ``unknown``, or nothing."""


@dataclass(frozen=True, slots=True)
class Operation:
    """On one resource; ``prune``, without a name, deletes what is ours and not wanted."""

    kind: str
    op: Literal["create", "update", "delete", "prune"]
    name: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    secret: str = ""
    digest: str = ""
