"""Merges what an operator says about a configuration file over what its template gives: once, after rendering."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from scs_deploy.documents.config_formats import (
    FORMATS,
    Format,
    UnfitError,
    check_option,
    check_section,
    check_text,
    option_text,
)
from scs_deploy.errors import InputError
from scs_deploy.region.services import Override
from scs_deploy.secrets.placeholders import OPEN

_SECTION = re.compile(r"^\[(?P<name>[^\]]+)\]\s*$")
_OPTION = re.compile(r"^(?P<name>[^\s#;=:\[][^=:]*?)\s*([=:]|$)")
"""Also an option without a value, as MySQL files have them."""

FIX = "change it; append and replace write text as it is"


def merge(text: str, file_format: str, override: Override, where: str) -> str:
    """Return the text with the override applied; ``file_format`` is one of ``formats.FORMATS``.

    Raises ``InputError`` when the kind of override does not fit the format, or the format cannot spell a value.
    """
    for path, why in unfit(override, file_format):
        raise InputError("cannot be written", where=f"{where}.{'.'.join(map(str, path))}", why=why, fix=FIX)
    kinds = FORMATS[file_format].overrides
    if override.replace is not None:
        return override.replace
    if override.append is not None:
        return text + ("" if text.endswith("\n") or not text else "\n") + override.append
    if override.options is not None:
        if "options" not in kinds:
            raise InputError(
                f"options do not fit a file of format {file_format}", where=where, fix="use merge, append or replace"
            )
        return ini(text, override.options, FORMATS[file_format])
    if "merge" not in kinds:
        raise InputError(
            f"merge does not fit a file of format {file_format}", where=where, fix="use options, append or replace"
        )
    return _deep(text, file_format, override.merge or {})


def unfit(override: Override, file_format: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield where an override holds what no file of a format can say, and why; the paths begin below the override."""
    spelled = FORMATS.get(file_format, FORMATS["raw"])
    for section, wanted in (override.options or {}).items():
        yield from _tried(("options", section), check_section, section)
        for name, value in wanted.items():
            path = ("options", section, name)
            yield from _tried(path, check_option, name)
            if spelled.value and isinstance(value, list):
                for index, one in enumerate(value):
                    yield from _tried((*path, index), spelled.value, option_text(one))
            elif spelled.value and value is not None:
                yield from _tried(path, spelled.value, option_text(value))
    for key in ("append", "replace"):
        yield from _tried((key,), check_text, getattr(override, key) or "")
    yield from _unfit_texts(("merge",), override.merge)


def _unfit_texts(path: tuple[str | int, ...], value: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield from _tried(path, check_text, value)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _tried((*path, key), check_text, str(key))
            yield from _unfit_texts((*path, key), one)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _unfit_texts((*path, index), one)


def _tried(
    path: tuple[str | int, ...], spell: Callable[[str], object], text: str
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    try:
        spell(text)
    except UnfitError as error:
        yield path, str(error)


def ini(text: str, options: Mapping[str, Mapping[str, Any]], spelled: Format) -> str:
    """Set, repeat (list) or remove (null) options of an INI text; everything else keeps its place."""
    lines = text.removesuffix("\n").split("\n")
    for section, wanted in options.items():
        if not (places := _sections(lines, section)):
            lines += ["", f"[{section}]"]
            places = [(len(lines), len(lines))]
        for start, end in reversed(places):  # of a section that stands there twice, the first one has the new options
            body = lines[start:end]
            for name, value in wanted.items():
                body = _set(body, name, value if start == places[0][0] else None, spelled)
            lines[start:end] = body
    return "\n".join(lines) + "\n"


def _sections(lines: list[str], section: str) -> list[tuple[int, int]]:
    """Return the ranges of the lines of every section of a name, without their trailing blank lines."""
    heads = [(number, found["name"]) for number, line in enumerate(lines) if (found := _SECTION.match(line))]
    ends = [*(number for number, _ in heads), len(lines)][1:]
    places: list[tuple[int, int]] = []
    for (head, name), end in zip(heads, ends, strict=True):
        if name == section:
            while not lines[end - 1].strip():
                end -= 1
            places.append((head + 1, end))
    return places


def _set(body: list[str], name: str, value: Any, spelled: Format) -> list[str]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    assert spelled.value  # noqa: S101 - formats that take options have it
    new = [line for one in values for line in f"{name} = {spelled.value(option_text(one))}".split("\n")]
    kept: list[str] = []
    place: int | None = None
    dropping = False
    for line in body:
        found = _OPTION.match(line)
        if found:
            dropping = found["name"] == name
            if dropping and place is None:
                place = len(kept)
        elif dropping and not line[:1].isspace():
            dropping = False
        if not dropping:
            kept.append(line)
    at = len(kept) if place is None else place
    return kept[:at] + new + kept[at:]


class _Dumper(yaml.SafeDumper):
    """Puts a text with a secret within double quotes, where its value is spelled as it is to be read (``scs_deploy.documents.config_formats``)."""


def _quoted(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if OPEN in text else None)


_Dumper.add_representer(str, _quoted)


def _deep(text: str, file_format: str, changes: Mapping[str, Any]) -> str:
    base = json.loads(text) if file_format == "json" else yaml.safe_load(text)
    result = _changed(base or {}, changes)
    if file_format == "json":
        return json.dumps(result, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return yaml.dump(result, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf)


def _changed(base: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings key by key, at any depth; null removes a key, everything else is replaced."""
    result = dict(base) if isinstance(base, Mapping) else {}
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _changed(result.get(key), value) if isinstance(value, Mapping) else value
    return result
