"""How configuration files spell values: what a file's reader reads is what was given, or the value is refused.

Operators' overrides and secrets go through here; each format is named after what reads it, and was tried against that reader.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ue000\ue001]")
"""Control characters but tab and newline, halves of surrogate pairs, and the marks of secret references."""

_ASSIGNMENT = re.compile(r"[^\s=:#;\[][^=:]*=[ \t]*")


class UnfitError(ValueError):
    """A format cannot spell a value; the text says why and never what the value is."""


@dataclass(frozen=True, slots=True)
class Format:
    """``value`` spells the whole value of an option, ``inside`` what stands within quotes; both raise ``UnfitError``."""

    reader: str
    overrides: tuple[str, ...] = ()
    """Kinds of overrides that it takes besides append and replace."""
    value: Callable[[str], str] | None = None
    inside: Callable[[str], str] | None = None
    lines: bool = False
    """A secret may be a line, or several, of its own."""

    def holds_secret(self, before: str, behind: str) -> bool:
        """Tell whether any secret may stand on a line between ``before`` and ``behind``."""
        if self.value:
            return bool(_ASSIGNMENT.fullmatch(before)) and not behind.strip()
        if self.inside:
            return before.count('"') % 2 == 1
        return self.lines and not before.strip() and not behind.strip()

    def secret(self, value: str) -> str:
        """Return a secret as it stands where a template printed a reference to it."""
        spell = self.value or self.inside
        return spell(value) if spell else value


def option_text(value: object) -> str:
    """Return the text of a scalar as configuration files write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_section(name: str) -> None:
    """Raise ``UnfitError`` for what cannot be the name of a section."""
    if not name or name != name.strip() or re.search(r"[\[\]\n]", name) or _CONTROL.search(name):
        raise UnfitError("a section's name is text without brackets, line breaks, and blanks at its ends")


def check_option(name: str) -> None:
    """Raise ``UnfitError`` for what cannot be the name of an option."""
    if not re.fullmatch(r"[^\s=:#;\[]([^=:\n]*[^\s=:])?", name) or _CONTROL.search(name):
        raise UnfitError("an option's name has no = and no : and begins with none of # ; [ and no blank")


def check_text(text: str) -> None:
    """Raise ``UnfitError`` for characters that no configuration file may hold."""
    if found := _CONTROL.search(text):
        raise UnfitError(f"it holds the character U+{ord(found[0]):04X}")


def url(text: str) -> str:
    """Spell a part of a URL, such as a password before the host."""
    return quote(text, safe="")


def _oslo(value: str) -> str:
    """See oslo_config/iniparser.py, and cfg.ConfigOpts._substitute for ``$``."""
    check_text(value)
    if r"\$" in value:
        raise UnfitError("a $ behind a backslash cannot be written: oslo.config reads both as one $")
    first, *more = value.replace("$", "$$").split("\n")
    if any(not line or line != line.strip() for line in more):
        raise UnfitError(
            "of several lines only the first may be empty, or begin or end with blanks: oslo.config drops them"
        )
    if first != first.strip() or (first[:1] in ('"', "'") and first[0] == first[-1]):
        first = f'"{first}"'
    return "\n    ".join([first, *more])


def _plain(reader: str, special: str, why: str) -> Callable[[str], str]:
    """For readers without a way to quote: what they would read as something else is refused."""
    pattern = re.compile(special)

    def spell(value: str) -> str:
        check_text(value)
        if value != value.strip() or "\n" in value:
            raise UnfitError(f"{reader} takes one line, without blanks at its ends")
        if found := pattern.search(value):
            raise UnfitError(f"{reader} does not read {found[0]!r} as it stands there: {why}")
        return value

    return spell


_MY_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t"})


def _my(value: str) -> str:
    """See https://mariadb.com/kb/en/configuring-mariadb-with-option-files/: quotes keep ``#`` and blanks."""
    check_text(value)
    return value if re.fullmatch(r"[\w./:,=+*@%-]*", value, re.ASCII) else f'"{value.translate(_MY_ESCAPES)}"'


def literal(text: str) -> str:
    """Spell a text as a literal, alike in JSON, YAML and Python."""
    return f'"{_in_quotes(text)}"'


def _in_quotes(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


FORMATS: dict[str, Format] = {
    "ini": Format("oslo.config", ("options",), value=_oslo),
    "uwsgi": Format(
        "uWSGI", ("options",), value=_plain("uWSGI", r"%|\$\(|@\(|\\$", "it is a variable, or goes on in the next line")
    ),
    "ceph": Format(
        "Ceph",
        ("options",),
        value=_plain("Ceph", r"""[#;"'\\]|\$(?=[a-z{])""", "it begins a comment, a quotation or a variable"),
    ),
    "my": Format("MariaDB", ("options",), value=_my),
    "yaml": Format("YAML", ("merge",), inside=_in_quotes),
    "json": Format("JSON", ("merge",), inside=_in_quotes),
    "python": Format("Python", inside=_in_quotes),
    "script": Format("an interpreter"),
    "raw": Format("its program", lines=True),
}
