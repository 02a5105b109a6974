"""The one string that travels each way between controller and node: base64 of gzip of JSON, read strictly into the classes of ``messages``.

A value is of the type that its field has, a field that nobody knows is refused, and a text has a largest size: either side may be
of another version, and a node may be anybody's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import types
import typing
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, NoReturn, TypeVar, cast

VERSION = 2

LIMIT = 64 * 1024 * 1024
"""Bytes of JSON in one text, and characters of the text."""
LARGEST = 1 << 63
"""No number is larger, and none is infinite."""

T = TypeVar("T")
Convert = Callable[[Any], Any]

_GZIP = 31
_COMPRESSION = 4
_SHAPES = 1000
_NONE = type(None)
_JSON: dict[Any, frozenset[type]] = {
    str: frozenset({str}),
    int: frozenset({int}),
    float: frozenset({int, float}),
    bool: frozenset({bool}),
    _NONE: frozenset({_NONE}),
    Any: frozenset({str, int, float, bool, list, dict, _NONE}),
}


@dataclass(frozen=True)
class Rule:
    """What a value must be beyond its type, as ``Annotated[str, Rule(...)]``; ``words`` say it to people."""

    holds: Callable[[Any], object]
    words: str


class WireError(ValueError):
    """A text or data that cannot be read, or of another format version; ``path`` names the field that is wrong."""

    def __init__(self, what: str, *path: str | int) -> None:
        super().__init__(what)
        self.what, self.path = what, path

    def at(self, name: str | int) -> WireError:
        return WireError(self.what, name, *self.path)

    def __str__(self) -> str:
        where = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in self.path).lstrip(".")
        return f"{where}: {self.what}" if where else self.what


def encode(message: object) -> str:
    """Return the wire form of a message."""
    packed = zlib.compressobj(_COMPRESSION, wbits=_GZIP)
    content = packed.compress(dumps({"v": VERSION, **_fields(message)}).encode()) + packed.flush()
    return base64.b64encode(content).decode("ascii")


def decode(kind: type[T], text: str) -> T:
    """Return the message in ``text``; raise WireError when it is damaged, of another version or of another shape."""
    if len(text) > LIMIT:
        raise WireError("the payload is larger than allowed")
    try:
        unpacking = zlib.decompressobj(wbits=_GZIP)
        content = unpacking.decompress(base64.b64decode(text, validate=True), LIMIT)
        if not unpacking.eof:
            raise WireError("the payload is larger than allowed, or not complete")
        data = loads(content)
    except WireError:
        raise
    except (binascii.Error, zlib.error, ValueError, RecursionError) as error:
        raise WireError(f"the payload cannot be read: {error}") from error
    if type(data) is not dict:
        raise WireError("the payload is not an object")
    version = data.pop("v", None)
    if version != VERSION:
        raise WireError(f"the payload has format version {version!r}, this side speaks {VERSION}")
    return load(kind, data)


def load(kind: type[T], data: object) -> T:
    """Return what JSON data stands for; raise WireError with the path of what is of another shape."""
    return cast(T, _checked(data, *_reader(cast(Any, kind))))


def loads(text: bytes | str) -> Any:
    """Return the data of a JSON text; raises ``ValueError``, and ``RecursionError`` for one that is too deep."""
    return json.loads(text, parse_constant=_no_number, parse_float=_float, parse_int=_int)


def _checked(data: Any, accepted: frozenset[type], convert: Convert | None) -> Any:
    if type(data) not in accepted:
        raise WireError(_told(data, accepted))
    return convert(data) if convert else data


def dumps(data: object) -> str:
    """Return JSON of data that may hold messages."""
    return json.dumps(data, default=_fields)


def digest(data: object) -> str:
    """Return the SHA-256 of the canonical JSON of ``data``."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), default=_fields)
    return hashlib.sha256(text.encode()).hexdigest()


def _fields(message: Any) -> dict[str, Any]:
    """The fields of a message that do not hold their default; ``kind`` always, which tells classes apart."""
    found = ((name, getattr(message, name), default) for name, default in _defaults(message.__class__))
    return {name: value for name, value, default in found if value != default and (value != [] or default != ())}


@cache
def _defaults(kind: Any) -> list[tuple[str, Any]]:
    made = ((one, one.default if one.default_factory is MISSING else one.default_factory()) for one in fields(kind))
    return [(one.name, MISSING if one.name == "kind" else default) for one, default in made]


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _int(text: str) -> int:
    number = int(text)
    return number if abs(number) < LARGEST else _no_number("a number of that size")


def _float(text: str) -> float:
    number = float(text)
    return number if abs(number) < LARGEST else _no_number("a number of that size")


# Readers are made once per type. One names the JSON types that a value may have, and what makes of such a value what it stands for;
# none: it is taken as it is. So whole objects are checked with a look at the types of their values, without a call per field.


@cache
def _reader(kind: Any) -> tuple[frozenset[type], Convert | None]:
    if kind in _JSON:
        return _JSON[kind], None
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        accepted, convert = _reader(inner[0])
        return accepted, _ruled(convert, inner[1])
    if origin is Literal:
        return frozenset({str}), _one_of(frozenset(inner))
    if origin in (types.UnionType, typing.Union):
        return _optional(inner[0]) if inner[1:] == (_NONE,) else (frozenset({dict}), _tagged(inner))
    if origin is Sequence:
        return frozenset({list}), _list(inner[0])
    if origin is Mapping:
        return frozenset({dict}), None if inner[1] is Any else _mapping(inner[1])
    if isinstance(kind, type) and is_dataclass(kind):
        required = {one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING}
        return frozenset({dict}), _object(kind, required, kind)
    if typing.is_typeddict(kind):
        return frozenset({dict}), _object(kind, kind.__required_keys__, None)
    if issubclass(kind, tuple):
        return frozenset({list}), _tuple(kind)
    raise TypeError(f"{kind} is not for the wire")


def _told(value: object, accepted: Iterable[type]) -> str:
    names = {
        str: "a text",
        int: "a number",
        float: "a number",
        bool: "true or false",
        list: "a list",
        dict: "an object",
        _NONE: "null",
    }
    wanted = dict.fromkeys(names[one] for one in names if one in accepted)
    return f"{names[type(value)]} where {' or '.join(wanted)} is wanted"


def _one_of(choices: frozenset[str]) -> Convert:
    def convert(value: str) -> str:
        if value not in choices:
            raise WireError(f"{value[:50]!r} is none of {', '.join(sorted(choices))}")
        return value

    return convert


def _ruled(convert: Convert | None, rule: Rule) -> Convert:
    def ruled(value: Any) -> Any:
        if not rule.holds(value):
            raise WireError(f"is not {rule.words}")
        return convert(value) if convert else value

    return ruled


def _optional(kind: Any) -> tuple[frozenset[type], Convert | None]:
    accepted, convert = _reader(kind)
    return accepted | {_NONE}, convert and (lambda value: None if value is None else convert(value))


def _tagged(kinds: Sequence[Any]) -> Convert:
    """One of several classes, told apart by their field ``kind``."""
    known = {one.__dataclass_fields__["kind"].default: _reader(one)[1] for one in kinds}

    def convert(value: dict[str, Any]) -> Any:
        tag = value.get("kind")
        read = known.get(tag) if isinstance(tag, str) else None
        if read is None:
            raise WireError(f"none of {', '.join(sorted(known))}", "kind")
        return read(value)

    return convert


def _list(kind: Any) -> Convert:
    accepted, convert = _reader(kind)

    def every(value: list[Any]) -> tuple[Any, ...]:
        if not value:
            return ()
        if not accepted.issuperset(map(type, value)):
            index = next(index for index, one in enumerate(value) if type(one) not in accepted)
            raise WireError(_told(value[index], accepted), index)
        if convert is None:
            return tuple(value)
        made: list[Any] = []
        try:
            for one in value:
                made.append(convert(one))
        except WireError as error:
            raise error.at(len(made)) from None
        return tuple(made)

    return every


def _mapping(kind: Any) -> Convert:
    accepted, convert = _reader(kind)

    def every(value: dict[str, Any]) -> Any:
        if not value:
            return value
        if not accepted.issuperset(map(type, value.values())):
            name = next(name for name, one in value.items() if type(one) not in accepted)
            raise WireError(_told(value[name], accepted), name)
        if convert is None:
            return value
        made, name = {}, ""
        try:
            for name, one in value.items():
                made[name] = convert(one)
        except WireError as error:
            raise error.at(name) from None
        return made

    return every


def _tuple(kind: Any) -> Convert:
    """A named tuple of plain values, which is a list on the wire."""
    hints = typing.get_type_hints(kind)
    accepted = [_reader(hints[name])[0] for name in kind._fields]

    def convert(value: list[Any]) -> Any:
        if len(value) != len(accepted):
            raise WireError(f"{len(value)} values where {len(accepted)} are wanted")
        for index, one in enumerate(value):
            if type(one) not in accepted[index]:
                raise WireError(_told(one, accepted[index]), kind._fields[index])
        return kind._make(value)

    return convert


def _object(kind: Any, required: Iterable[str], make: Callable[..., Any] | None) -> Convert:
    """``make`` is called with the fields that there are; None: the data itself stands for the object."""
    hints = typing.get_type_hints(kind, include_extras=True)
    readers = {name: _reader(hint) for name, hint in hints.items()}
    shapes: dict[tuple[Any, ...], list[tuple[str, Convert]]] = {}
    """Names and JSON types of the fields of an object that was checked -> its fields that stand for something else."""

    def check(value: dict[str, Any]) -> list[tuple[str, Convert]]:
        for name, one in value.items():
            if name not in readers:
                raise WireError("nothing of that name is known", name[:50])
            if type(one) not in readers[name][0]:
                raise WireError(_told(one, readers[name][0]), name)
        for name in required:
            if name not in value:
                raise WireError("is missing", name)
        return [(name, convert) for name in value if (convert := readers[name][1])]

    def convert(value: dict[str, Any]) -> Any:
        shape = (*value, *map(type, value.values()))
        converts = shapes.get(shape)
        if converts is None:
            converts = check(value)
            if len(shapes) < _SHAPES:
                shapes[shape] = converts
        made, name = dict(value), ""
        try:
            for name, one in converts:
                made[name] = one(made[name])
        except WireError as error:
            raise error.at(name) from None
        return make(**made) if make else value

    return convert
