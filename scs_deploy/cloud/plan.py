"""What differs between the cloud that is wanted and the one that is there: pure comparison, and the words for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from scs_deploy.cloud.spec import CloudSection, ImageSection, known_images
from scs_deploy.region.region import Region

Op = Literal["create", "update", "replace", "keep", "wrong"]
Attrs = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ContentInputs:
    """What the wanted content follows from."""

    region: Region
    spec: CloudSection
    types: frozenset[str]
    """APIs in the catalogue."""
    extensions: frozenset[str] = frozenset()
    """Of the network API."""
    checksums: Mapping[str, str] = field(default_factory=dict)
    """Checksum of the file of each image that shall be there."""

    @property
    def images(self) -> tuple[ImageSection, ...]:
        known = known_images() if self.spec.standard_images else {}
        return (*(known[name] for name in self.spec.standard_images), *self.spec.images)


@dataclass(frozen=True, slots=True)
class ContentItem:
    """One object. ``attrs`` are compared and shown; ``once`` only counts when it is created."""

    name: str
    attrs: dict[str, Any]
    once: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContentDifference:
    what: str
    found: Any
    wanted: Any

    def __str__(self) -> str:
        return f"{self.what}: {_text(self.found)}, wanted {_text(self.wanted)}"

    @property
    def shown_wanted(self) -> str:
        return _text(self.wanted)


@dataclass(frozen=True, slots=True)
class ContentChange:
    """What happens to one object; ``wrong``: it differs and only a person may decide."""

    kind: str
    item: ContentItem
    op: Op
    differences: tuple[ContentDifference, ...] = ()
    current: Attrs = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        differences = [{"what": one.what, "is": one.found, "wanted": one.wanted} for one in self.differences]
        return {"kind": self.kind, "name": self.item.name, "op": self.op, "differences": differences}


class ContentKind(ABC):
    """Objects of one kind behind one API."""

    title: ClassVar[str]
    api: ClassVar[tuple[str, ...]]
    """Types in the catalogue that must all be there; otherwise the kind is left out and that is said."""
    fixed: ClassVar[frozenset[str]] = frozenset()
    """Attributes that cannot be changed: the object is made anew, or is wrong when ``replaceable`` is False."""
    replaceable: ClassVar[bool] = False
    asserted: ClassVar[bool] = False
    """Only looked at: whatever differs is wrong."""

    @abstractmethod
    def wanted(self, world: ContentInputs) -> Sequence[ContentItem]:
        """What shall be there; pure."""

    @abstractmethod
    def current(self, api: Any, wanted: Sequence[ContentItem]) -> Mapping[str, Attrs]:
        """What is there, by name; ``id`` is kept for the changes."""

    @abstractmethod
    def create(self, api: Any, item: ContentItem) -> None: ...

    def update(self, api: Any, change: ContentChange) -> None:
        """Only called for kinds whose objects can differ."""
        raise NotImplementedError(self.title)

    def replace(self, api: Any, change: ContentChange) -> None:
        raise NotImplementedError(self.title)

    def fix(self, change: ContentChange) -> str:
        """What a person may do about a wrong one."""
        return f"correct {self.title} {change.item.name} by hand, or remove it and run scs-deploy cloud setup again"


def compare(kind: ContentKind, wanted: Iterable[ContentItem], current: Mapping[str, Attrs]) -> list[ContentChange]:
    """One change for each wanted object, in order."""
    changes = []
    for item in wanted:
        there = current.get(item.name)
        if there is None:
            differences = tuple(
                ContentDifference(what, None, new) for what, new in item.attrs.items() if new is not None
            )
            changes.append(ContentChange(kind.title, item, "wrong" if kind.asserted else "create", differences))
            continue
        differences = tuple(
            ContentDifference(what, there.get(what), new)
            for what, new in item.attrs.items()
            if _plain(there.get(what)) != _plain(new)
        )
        changes.append(ContentChange(kind.title, item, _op(kind, differences), differences, there))
    return changes


def _op(kind: ContentKind, differences: Sequence[ContentDifference]) -> Op:
    if not differences:
        return "keep"
    if kind.asserted:
        return "wrong"
    if any(one.what in kind.fixed for one in differences):
        return "replace" if kind.replaceable else "wrong"
    return "update"


@dataclass(frozen=True, slots=True)
class ContentPlan:
    """All changes in the order in which they are made; ``left_out``: kinds without an API, and why."""

    changes: tuple[ContentChange, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return all(change.op == "keep" for change in self.changes)

    def of(self, *ops: Op) -> list[ContentChange]:
        return [change for change in self.changes if change.op in ops]

    def summary(self) -> str:
        counts = (
            (len(self.of("create")), "to create"),
            (len(self.of("update", "replace")), "to change"),
            (len(self.of("keep")), "as wanted"),
            (len(self.of("wrong")), "wrong"),
        )
        shown = [f"{count} {what}" for count, what in counts if count or what != "wrong"]
        return f"{', '.join(shown)}" + (f"; without {', '.join(self.left_out)}" if self.left_out else "")

    def as_json(self) -> dict[str, Any]:
        return {
            "empty": self.empty,
            "changes": [change.as_json() for change in self.changes],
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
            "summary": self.summary(),
        }


def _plain(value: Any) -> Any:
    """Lists in any order are the same."""
    if isinstance(value, list | tuple | set | frozenset):
        return sorted((_plain(one) for one in value), key=repr)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return value


def _text(value: Any) -> str:
    if value is None or value == "":
        return "nothing"
    if isinstance(value, list | tuple):
        return ", ".join(_text(one) for one in value) or "nothing"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={one}" for key, one in value.items())
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
