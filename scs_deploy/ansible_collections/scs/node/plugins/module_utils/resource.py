"""What reconcilers of resources are given and tell, in their processes and on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from .wire import Rule

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


def _shallow(data: Any, levels: int = 8) -> bool:
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return levels > 0 and all(type(one) not in (dict, list) or _shallow(one, levels - 1) for one in inner)


@dataclass(frozen=True, slots=True)
class ItemSeen:
    """A resource behind an API, as its reconciler tells it."""

    name: str
    attrs: Annotated[Mapping[str, Any], Rule(_shallow, "attributes of a few levels")] = field(default_factory=dict)
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
