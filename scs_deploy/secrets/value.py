"""What a secret is in memory: text that does not show itself in a repr, and the check of what people type into the vault."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import yaml

from scs_deploy.errors import Finding, InputError

try:
    from yaml import CSafeLoader as _Base
except ImportError:  # PyYAML built without libyaml: the same, slower
    from yaml import SafeLoader as _Base  # type: ignore[assignment]


class SecretValue(str):
    """The text itself wherever it is used, but masked in ``repr``, and so in tracebacks, dataclasses and dictionaries."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "SecretValue(***)"


Value = SecretValue | dict[str, SecretValue]


class _DuplicateKeyError(Exception):
    def __init__(self, mark: yaml.Mark) -> None:
        super().__init__()
        self.mark = mark


class _Loader(_Base):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise _DuplicateKeyError(key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def dump(values: Mapping[str, str | Mapping[str, str]]) -> str:
    """Return the clear text of a vault file; several lines of text become block scalars that a person can read."""
    plain = {name: str(value) if isinstance(value, str) else dict(value) for name, value in values.items()}
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=True, allow_unicode=True, default_flow_style=False, width=4096)


def load(text: str, file: str) -> dict[str, Value]:
    """Return the mapping of names to values.

    Raises ``InputError`` with the position of what is wrong, never with the text that stands there; ``file`` is for the message.
    """
    # The finding is raised outside of ``except``: a YAML error quotes the text, and a traceback prints the whole chain.
    problem: Finding | None = None
    data: object = None
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader
    except _DuplicateKeyError as error:
        problem = _finding("a name occurs twice", "remove one of the two", file, error.mark)
    except yaml.MarkedYAMLError as error:
        problem = _finding("not valid YAML", "put values with special characters in quotes", file, error.problem_mark)
    except (yaml.YAMLError, ValueError):
        problem = Finding(
            "not valid YAML", fix="remove characters that are no text, quote dates and numbers", file=file
        )
    if problem:
        raise InputError(problem)
    return _checked({} if data is None else data, file)


def _checked(data: object, file: str) -> dict[str, Value]:
    if not isinstance(data, dict):
        raise InputError(
            Finding("must be a mapping of names to values", fix="write lines such as 'name: value'", file=file)
        )
    findings: list[Finding] = []
    values: dict[str, Value] = {}
    for name, value in data.items():
        if not isinstance(name, str):
            findings.append(Finding("a name is not text", fix="put the name in quotes", file=file))
        elif isinstance(value, str):
            values[name] = SecretValue(value)
        elif isinstance(value, dict) and all(isinstance(part, str) for pair in value.items() for part in pair):
            values[name] = {key: SecretValue(part) for key, part in value.items()}
        else:
            what = f"is of type {type(value).__name__}, not text or a mapping of text to text"
            findings.append(Finding(what, fix="put the value in quotes", path=name, file=file))
    if findings:
        raise InputError(findings)
    return values


def _finding(what: str, fix: str, file: str, mark: yaml.Mark | None) -> Finding:
    return Finding(what, fix=fix, file=file, line=mark.line + 1 if mark else 0, column=mark.column + 1 if mark else 0)


class _Dumper(yaml.SafeDumper):
    """Writes secret values as plain text and PEM files as block scalars."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(SecretValue, _represent_text)
