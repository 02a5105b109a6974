"""No text of region.yml holds what could end a line where a template prints it, or pass for a secret; overrides are files' own text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from scs_deploy.documents.config_formats import UnfitError, check_text
from scs_deploy.documents.source import PathTuple, Source
from scs_deploy.errors import Finding

_BREAKS = re.compile(r"[\n\t\u0085\u2028\u2029]")


def check_texts(source: Source) -> Iterator[Finding]:
    """Findings of all names and values; works on raw data, so that it needs no valid model."""
    yield from _texts(source, (), source.data)


def _texts(source: Source, path: PathTuple, value: Any) -> Iterator[Finding]:
    if isinstance(value, str):
        yield from _text(source, path, value)
    elif isinstance(value, Mapping):
        for name, one in value.items():
            if isinstance(name, str):
                yield from _text(source, (*path, name), name, key=True)
            yield from _texts(source, (*path, name), one)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _texts(source, (*path, index), one)


def _text(source: Source, path: PathTuple, text: str, *, key: bool = False) -> Iterator[Finding]:
    what = "a name" if key else "a value"
    try:
        check_text(text)
    except UnfitError as error:
        yield source.finding(path, f"{what} cannot be used", why=str(error), fix="remove it", key=key)
        return
    if _BREAKS.search(text) and not _of_override(path):
        why = "a template would print what stands behind it as a line of its own"
        fix = "write it in one line; YAML's | and > add a line break at the end"
        yield source.finding(path, f"{what} holds a line break or a tab", why=why, fix=fix, key=key)


def _of_override(path: PathTuple) -> bool:
    """Overrides are checked by the format of their file."""
    return any(path[at] == "services" and path[at + 2 : at + 3] == ("config",) for at in range(len(path)))
