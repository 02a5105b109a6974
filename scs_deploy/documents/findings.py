"""Turns the errors of pydantic and jsonschema into findings that say where, what and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from scs_deploy.documents.fields import NOT_YET
from scs_deploy.documents.source import PathTuple, Source, describe
from scs_deploy.errors import Finding

if TYPE_CHECKING:
    import jsonschema

Schema = Mapping[str, Any]

_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "tuple_type": "a list",
    "list_type": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping (key: value)",
    "array": "a list",
    "null": "nothing",
}


def suggest(word: str, known: Iterable[str]) -> str:
    """The known name that was most likely meant, or an empty text."""
    names = {name.lower().replace("-", "_"): name for name in known}
    close = difflib.get_close_matches(str(word).lower().replace("-", "_"), names, n=1, cutoff=0.6)
    return names[close[0]] if close else ""


def choose(word: str, known: Iterable[str]) -> str:
    """What to do about an unknown name: the likely one, else all of them."""
    names = sorted(known)
    if close := suggest(word, names):
        return f"did you mean {close}?"
    return f"use one of: {', '.join(names)}" if names else "remove it"


def of_pydantic(
    source: Source, error: ValidationError, schema: Schema, renamed: Mapping[str, str]
) -> Iterator[Finding]:
    """Findings of a model; ``schema`` is the model's JSON Schema, ``renamed`` names successors of keys."""
    details = error.errors(include_url=False)
    for detail in details:
        kind, value = detail["type"], detail["input"]
        if kind == "too_short" and any(one["loc"][:-1][: len(detail["loc"])] == detail["loc"] for one in details):
            continue  # the item is there and wrong, which is told
        path, is_key = real_path(source.data, detail["loc"])
        context = detail.get("ctx", {})
        if kind == "extra_forbidden":
            yield unknown_key(source, path, schema, renamed)
        elif kind == "missing":
            name = str(detail["loc"][-1])
            about = describe_key(schema, path, name)
            yield source.finding(
                path, f"the key {name} is missing", fix=f"add {name}" + (f": {about}" if about else "")
            )
        elif kind in {"literal_error", "union_tag_invalid"}:
            if kind == "union_tag_invalid":
                path, value = (*path, "kind"), context["tag"]
            expected = context.get("expected") or context["expected_tags"]
            options = [a or b for a, b in re.findall(r"'([^']*)'|(\d+)", expected)]
            said = f"{path[-1]}: {value}"
            what = f"{said} is not implemented yet" if said in NOT_YET else f"{describe(value)} is not known here"
            why = NOT_YET.get(said, "")
            yield source.finding(path, what, why=why, fix=choose(str(value), options), key=is_key)
        elif kind in _TYPES:
            yield wrong_type(source, path, value, _TYPES[kind], key=is_key)
        elif kind == "string_pattern_mismatch":
            fix = str(find(schema, path).get("x-hint", "")) or f"it must match {context['pattern']}"
            yield source.finding(path, f"{describe(value)} does not have the right form", fix=fix, key=is_key)
        else:
            what = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            what = f"must be {what}, not {describe(value)}" if detail["msg"].startswith("Input should") else what
            yield source.finding(path, what, fix=str(context.get("fix", "")) or "correct the value", key=is_key)


def of_jsonschema(source: Source, base: PathTuple, errors: Iterable[jsonschema.ValidationError]) -> Iterator[Finding]:
    """Findings of settings that were checked against a JSON Schema; ``base`` is where the settings stand."""
    for error in errors:
        path = (*base, *error.absolute_path)
        schema: Schema = error.schema if isinstance(error.schema, Mapping) else {}
        allowed: Any = error.validator_value
        if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
            known = schema.get("properties", {})
            for name in sorted(set(error.instance) - set(known)):
                yield unknown_key(source, (*path, name), {"properties": known}, {}, parent=())
        elif error.validator == "enum":
            options = [str(option) for option in allowed]
            yield source.finding(
                path, f"{describe(error.instance)} is not known here", fix=choose(str(error.instance), options)
            )
        elif error.validator == "type":
            wanted = allowed if isinstance(allowed, list) else [allowed]
            yield wrong_type(source, path, error.instance, " or ".join(_TYPES[name] for name in wanted))
        elif error.validator == "format":
            fix = (
                str((getattr(error.cause, "context", None) or {}).get("fix", "")) or f"give one of the format {allowed}"
            )
            yield source.finding(path, str(error.cause), fix=fix)
        else:
            about = str(schema.get("description", ""))
            fix = str(schema.get("x-hint", ""))
            fix = fix or f"{error.validator}: {str(allowed)[:120]}" + (f" ({about})" if about else "")
            yield source.finding(path, f"{describe(error.instance)} is not allowed here", fix=fix)


def wrong_type(source: Source, path: PathTuple, value: Any, wanted: str, *, key: bool = False) -> Finding:
    fix = f"give {wanted}"
    if wanted == "text" and isinstance(value, int | float) and not isinstance(value, bool):
        fix = f'put it in quotes: "{value}"'
    elif value is None:
        fix = f"give {wanted}, or remove the key"
    elif wanted == "true or false" and str(value).lower() in ("yes", "on", "no", "off"):
        fix = "write " + ("true" if str(value).lower() in ("yes", "on") else "false")
    return source.finding(path, f"must be {wanted}, not {describe(value)}", fix=fix, key=key)


def unknown_key(
    source: Source, path: PathTuple, schema: Schema, renamed: Mapping[str, str], parent: PathTuple | None = None
) -> Finding:
    name = str(path[-1])
    known = list(find(schema, path[:-1] if parent is None else parent).get("properties", {}))
    if name in NOT_YET and parent is None:
        what = f"the key {name} is not implemented yet"
        return source.finding(path, what, why=NOT_YET[name], fix=f"remove {name}", key=True)
    if name in renamed and (renamed[name] in known or parent is not None):
        return source.finding(
            path, f"the key {name} is now called {renamed[name]}", fix=f"write {renamed[name]}", key=True
        )
    if name in known:
        what, fix = f"the key {name} belongs to another kind", "remove it, or correct kind"
        return source.finding(path, what, fix=fix, key=True)
    return source.finding(path, f"the key {name[:80]} is not known here", fix=choose(name, known), key=True)


def find(schema: Schema, path: Sequence[str | int]) -> Schema:
    """The part of a JSON Schema that describes ``path``, references resolved; empty where it says nothing."""
    here = _resolved(schema, schema)
    for step in path:
        if isinstance(step, int):
            inner = here.get("items", {})
        else:
            others: Any = here.get("additionalProperties") or next(iter(here.get("patternProperties", {}).values()), {})
            inner = here.get("properties", {}).get(step, others)
        here = _resolved(schema, inner if isinstance(inner, Mapping) else {})
    return here


def describe_key(schema: Schema, path: PathTuple, name: str) -> str:
    raw = find(schema, path).get("properties", {}).get(name, {})
    return str(raw.get("description") or find(schema, (*path, name)).get("description", "")).partition("\n")[0]


def _resolved(root: Schema, node: Schema) -> Schema:
    while True:
        if "$ref" in node:
            node = root["$defs"][node["$ref"].rpartition("/")[2]]
        elif options := node.get("anyOf"):
            node = next((option for option in options if option.get("type") != "null"), {})
        elif options := node.get("oneOf"):
            known = [_resolved(root, option).get("properties", {}) for option in options]
            node = {"properties": {name: one for properties in known for name, one in properties.items()}}
        else:
            return node


def real_path(data: Any, loc: Sequence[str | int]) -> tuple[PathTuple, bool]:
    """The part of a pydantic location that exists in the data, and whether it is about a key."""
    path: list[str | int] = []
    here = data
    for step in loc:
        if step == "[key]":
            return tuple(path), True
        if isinstance(here, list):
            here = dict(enumerate(here))
        if isinstance(here, Mapping) and step in here:
            here = here[step]
            path.append(step)
    return tuple(path), False
