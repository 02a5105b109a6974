"""Hide secret values in a configuration text before anybody sees it; used for both sides of a diff."""

from __future__ import annotations

import re
from collections.abc import Sequence

HIDDEN = "***"

_SECRET = re.compile(r"(?i)pass|secret|key|kek|token|cookie")
_OPTION = re.compile(r"(?<![\w/-])([\"']?)([\w.-]++)\1[ \t]*+[=:][ \t]*+")
_JSON = re.compile(r'("([\w.-]++)"\s*:\s*)"(?:\\.|[^"\\])*"')
_URL = re.compile(r"(?i)\b[a-z][a-z0-9+.-]{0,30}://[^\s\"'<>]++")
_PEM = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)[^-]*+")


def mask(text: str, keys: Sequence[str]) -> str:
    """Return ``text`` with ``***`` instead of values (``key = v``, ``key: v``, ``"key": "v"``, also when the value goes on in deeper
    indented lines) of ``keys`` and of all that sound like secrets, of passwords in URLs and of private keys."""
    text = _JSON.sub(lambda found: f'{found[1]}"{HIDDEN}"' if _SECRET.search(found[2]) else found[0], text)
    text = _mask_lines(_PEM.sub(rf"\1\n{HIDDEN}\n", text), keys)
    return _URL.sub(_without_password, text)


def _mask_lines(text: str, keys: Sequence[str]) -> str:
    names = "|".join(re.escape(key) for key in sorted(keys, key=len, reverse=True)) or "(?!)"
    text = re.sub(rf'(?i)("(?:{names})"\s*:\s*)"(?:\\.|[^"\\])*"', rf'\1"{HIDDEN}"', text)
    given = re.compile(rf"(?i)(?<![\w-])(?P<quote>[\"']?)(?:{names})(?P=quote)[ \t]*[=:][ \t]*+(?!\"\*\*\*\")")
    lines: list[str] = []
    hidden_below = -1
    for line in text.splitlines(keepends=True):
        body = line.rstrip("\r\n")
        indent = len(body) - len(body.lstrip())
        if 0 <= hidden_below < indent and body.strip():
            lines.append(body[:indent] + HIDDEN + line[len(body) :])
            continue
        told, likely = given.search(body), _sounds_secret(body)
        if body.strip():
            hidden_below = indent if told or (likely and not body[: likely.start()].strip(" \t-")) else -1
        value = min((found.end() for found in (told, likely) if found), default=len(body))
        lines.append(body[:value] + (HIDDEN if body[value:].strip() else "") + line[len(body) :])
    return "".join(lines)


def _sounds_secret(line: str) -> re.Match[str] | None:
    if not _SECRET.search(line):
        return None
    found = (one for one in _OPTION.finditer(line) if _SECRET.search(one[2]))
    return next((one for one in found if not line.startswith(f'"{HIDDEN}"', one.end())), None)


def _without_password(url: re.Match[str]) -> str:
    before, at, behind = url[0].rpartition("@")
    for place, _, login in (before.partition("://"), before.rpartition("://")):
        user, colon, _ = login.partition(":")
        if at and colon and not {"/", "@"} & set(user):
            return f"{place}://{user}:{HIDDEN}@{behind}"
    return url[0]
