"""Merges what an operator says about a configuration file over what its template gives: once, after rendering."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from scs_deploy.errors import InputError
from scs_deploy.model.services import Override

_SECTION = re.compile(r"^\s*\[(?P<name>[^\]]+)\]\s*$")
_OPTION = re.compile(r"^(?P<name>[^\s#;=:\[][^=:]*?)\s*([=:]|$)")
"""Also an option without a value, as MySQL files have them."""


def merge(text: str, file_format: str, override: Override, where: str) -> str:
    """Return the text with the override applied; ``file_format`` is ini, yaml, json or raw.

    Raises ``InputError`` when the kind of override does not fit the format.
    """
    if override.replace is not None:
        return override.replace
    if override.append is not None:
        return text + ("" if text.endswith("\n") or not text else "\n") + override.append
    if override.options is not None:
        if file_format != "ini":
            raise InputError(
                f"options do not fit a file of format {file_format}", where=where, fix="use merge, append or replace"
            )
        return ini(text, override.options)
    if file_format not in {"yaml", "json"}:
        raise InputError(
            f"merge does not fit a file of format {file_format}", where=where, fix="use options, append or replace"
        )
    return _deep(text, file_format, override.merge or {})


def ini(text: str, options: Mapping[str, Mapping[str, Any]]) -> str:
    """Set, repeat (list) or remove (null) options of an INI text; everything else keeps its place."""
    lines = text.splitlines()
    for section, wanted in options.items():
        start, end = _section_bounds(lines, section)
        body = lines[start:end]
        for name, value in wanted.items():
            body = _set(body, name, value)
        lines[start:end] = body
    return "\n".join(lines) + "\n"


def _section_bounds(lines: list[str], section: str) -> tuple[int, int]:
    """Return the range of a section's lines, without its trailing blank lines; a missing section is added at the end."""
    start = next(
        (
            number + 1
            for number, line in enumerate(lines)
            if (found := _SECTION.match(line)) and found["name"] == section
        ),
        None,
    )
    if start is None:
        lines += ["", f"[{section}]"]
        return len(lines), len(lines)
    end = next((number for number in range(start, len(lines)) if _SECTION.match(lines[number])), len(lines))
    while end > start and not lines[end - 1].strip():
        end -= 1
    return start, end


def _set(body: list[str], name: str, value: Any) -> list[str]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    new = [f"{name} = {_plain(one)}" for one in values]
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


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _deep(text: str, file_format: str, changes: Mapping[str, Any]) -> str:
    base = json.loads(text) if file_format == "json" else yaml.safe_load(text)
    result = _changed(base or {}, changes)
    if file_format == "json":
        return json.dumps(result, indent=2, sort_keys=True) + "\n"
    return yaml.safe_dump(result, sort_keys=False, allow_unicode=True)


def _changed(base: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings key by key, at any depth; null removes a key, everything else is replaced."""
    result = dict(base) if isinstance(base, Mapping) else {}
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _changed(result.get(key), value) if isinstance(value, Mapping) else value
    return result
