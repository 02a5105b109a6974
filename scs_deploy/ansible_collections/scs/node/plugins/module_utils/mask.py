"""Hide secret values in a configuration text before anybody sees it; used for both sides of a diff."""

from __future__ import annotations

import re
from collections.abc import Sequence

HIDDEN = "***"

_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)([^\s\"'<>@/:]*):([^\s\"'<>]*)@")


def mask(text: str, keys: Sequence[str]) -> str:
    """Return ``text`` with ``***`` instead of the values of ``keys`` (``key = v``, ``key: v``, ``"key": "v"``, also when
    the value goes on in deeper indented lines) and of passwords in URLs."""
    if keys:
        text = _mask_keys(text, keys)
    return _URL.sub(rf"\1\2:{HIDDEN}@", text)


def _mask_keys(text: str, keys: Sequence[str]) -> str:
    names = "|".join(re.escape(key) for key in sorted(keys, key=len, reverse=True))
    json_string = re.compile(rf'(?i)("(?:{names})"\s*:\s*)"(?:\\.|[^"\\])*"')
    assignment = re.compile(
        rf"(?i)(?<![\w-])((?P<quote>[\"']?)(?:{names})(?P=quote)[ \t]*[=:][ \t]*+)(?!\"\*\*\*\")(.*)$"
    )
    lines: list[str] = []
    hidden_below = -1
    for line in json_string.sub(rf'\1"{HIDDEN}"', text).splitlines(keepends=True):
        body = line.rstrip("\r\n")
        indent = len(body) - len(body.lstrip())
        if 0 <= hidden_below < indent and body.strip():
            lines.append(body[:indent] + HIDDEN + line[len(body) :])
            continue
        if body.strip():
            hidden_below = indent if assignment.search(body) else -1
        lines.append(assignment.sub(_hide, body) + line[len(body) :])
    return "".join(lines)


def _hide(found: re.Match[str]) -> str:
    return found.group(1) + (HIDDEN if found.group(3).strip() else "")
