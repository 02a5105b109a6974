"""Reads the YAML files that people edit: plain data, where each piece stands, and every mistake as a finding.

YAML 1.2 core rules as in editors: ``yes`` and ``12:30`` are text, dates are text, keys are text. Anchors, aliases and merge
keys work; duplicate keys, recursive aliases, other tags and non-finite numbers are findings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from scs_deploy.errors import Finding, InputError, Severity

PathTuple = tuple[str | int, ...]

MAX_DEPTH = 60
MAX_VALUES = 2_000_000
"""Values after aliases are expanded: a few hundred bytes of nested aliases could otherwise fill the memory."""

_MAX_DIGITS = 40
_UNSAFE_NESTING = 1000
"""libyaml's composer recurses on the C stack; below this many open brackets or columns it cannot overflow it."""

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_TAG = "tag:yaml.org,2002:"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The fast parser with the resolver of YAML 1.2's core schema (plus merge keys)."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute


for _name, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", _INT.pattern, "-+0123456789"),
    ("float", _FLOAT.pattern, "-+0123456789."),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", "<<", "<"),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), list(_first))


@dataclass(frozen=True, slots=True)
class Source:
    """Data of one file and the place of each piece of it."""

    name: str
    data: Any
    root: yaml.Node | None = None
    findings: tuple[Finding, ...] = ()

    def position(self, path: Sequence[str | int], *, key: bool = False) -> tuple[int, int]:
        """Line and column, 1-based, of the value at ``path`` (of its key with ``key`` or when the value is a block).

        A path that does not exist gives the place of the deepest part that does.
        """
        if self.root is None:
            return (1, 1)
        value, mark = self.root, self.root.start_mark
        for depth, step in enumerate(path):
            found = _child(value, step)
            if found is None:
                break
            at, value = found
            last = depth == len(path) - 1
            mark = at.start_mark if (key and last) or _is_block(value) or _is_alias(at, value) else value.start_mark
        return mark.line + 1, mark.column + 1

    def finding(
        self,
        path: Sequence[str | int],
        what: str,
        *,
        fix: str = "",
        why: str = "",
        key: bool = False,
        severity: Severity = "error",
    ) -> Finding:
        line, column = self.position(path, key=key)
        return Finding(what, fix, why, show_path(path), self.name, line, column, severity)

    def line_of(self, path: Sequence[str | int]) -> str:
        """``racks[0].name (line 12)``: how a finding names the other half of a contradiction."""
        return f"{show_path(path)} (line {self.position(path)[0]})"


def show_path(path: Sequence[str | int]) -> str:
    """``racks[1].nodes[0].addresses.api``; keys that are not plain words are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[\w-]+", step):
            text += f".{step}" if text else step
        else:
            text += f'["{step[:80]}"]'
    return text


def read_yaml(path: Path) -> Source:
    """The file's data; raises ``InputError`` with every mistake of form."""
    source = scan_yaml(path)
    if source.findings:
        raise InputError(source.findings)
    return source


def scan_yaml(path: Path) -> Source:
    """Like ``read_yaml``, but keeps mistakes in ``findings`` so that a caller can report more of them together."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(
            Finding("cannot be read", why=why, fix="check the path and its rights", file=str(path))
        ) from error
    return parse_yaml(raw, str(path))


def parse_yaml(raw: bytes | str, name: str) -> Source:
    """Data of a text; whatever its bytes are, mistakes become findings."""
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8-sig")
        text.encode()
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return _broken(name, "is not UTF-8 text", line, 1, fix="save the file as UTF-8")
    except UnicodeEncodeError as error:
        line = error.object[: error.start].count("\n") + 1
        return _broken(name, "holds half of a surrogate pair", line, 1, fix="remove that character")
    try:
        if _may_nest_deeply(text) and (mark := _too_deep(text)):
            return _broken(
                name, "is nested too deeply", mark.line + 1, mark.column + 1, fix=f"use at most {MAX_DEPTH} levels"
            )
        root = yaml.compose(text, Loader=_Loader)
    except yaml.reader.ReaderError as error:
        return _broken(name, *_of_reader(text, error), fix="remove that character")
    except yaml.MarkedYAMLError as error:
        return _syntax(name, text, error)
    if root is None:
        return Source(name, None)
    builder = _Builder(name)
    data = builder.build(root)
    return Source(name, data, root, tuple(builder.findings))


def _broken(name: str, what: str, line: int, column: int, *, why: str = "", fix: str = "") -> Source:
    return Source(name, None, None, (Finding(what, fix, why, "", name, line, column),))


def _of_reader(text: str, error: yaml.reader.ReaderError) -> tuple[str, int, int]:
    # The C parser gives an offset in bytes, not a mark.
    before = text.encode()[: error.position].decode(errors="replace")
    line = before.count("\n") + 1
    return f"holds a character that YAML does not allow ({error.reason})", line, len(before) - before.rfind("\n")


def _syntax(name: str, text: str, error: yaml.MarkedYAMLError) -> Source:
    mark = error.problem_mark or error.context_mark
    problem = (error.problem or "cannot be parsed").replace("expected <block end>, but found", "did not expect")
    why = ""
    if error.context and error.context_mark:
        why = f"{error.context} that began in line {error.context_mark.line + 1}"
    quote = _long_quote(text)
    fix = "check quotes, brackets and the indentation of this line and the one before"
    if "\t" in _line(text, mark.line if mark else 0):
        fix = "indent with spaces: YAML does not allow tabs there"
    if quote is not None:
        why = f"a quoted text began in line {quote.line + 1} and goes on over several lines"
        fix = f"close the quote in line {quote.line + 1}"
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return _broken(name, f"is not valid YAML: {problem}", line, column, why=why, fix=fix)


def _line(text: str, number: int) -> str:
    lines = text.splitlines()
    return lines[number] if number < len(lines) else ""


def _long_quote(text: str) -> Any:
    """Where the last quoted text over several lines before a syntax error began: most likely its quote is not closed."""
    found = None
    try:
        for token in yaml.scan(text, Loader=_Loader):
            quoted = isinstance(token, yaml.ScalarToken) and token.style in ("'", '"')
            if quoted and token.start_mark.line != token.end_mark.line:
                found = token.start_mark
    except yaml.YAMLError:
        pass
    return found


def _may_nest_deeply(text: str) -> bool:
    brackets = text.count("[") + text.count("{")
    return brackets > _UNSAFE_NESTING or any(len(line) > _UNSAFE_NESTING for line in text.splitlines())


def _too_deep(text: str) -> Any:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                return event.start_mark
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


def _is_block(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and not node.flow_style


def _is_alias(at: yaml.Node, value: yaml.Node) -> bool:
    """An alias is composed to the node it names, which stands further up in the file."""
    return bool(value.start_mark.index < at.start_mark.index)


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The node to point at (key, or the item's collection for an alias) and the value below ``step``."""
    if isinstance(node, yaml.SequenceNode):
        if not isinstance(step, int) or not 0 <= step < len(node.value):
            return None
        item = node.value[step]
        return (node if item.start_mark.index < node.start_mark.index else item), item
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in reversed(node.value):
        if isinstance(key, yaml.ScalarNode) and key.value == step and key.tag != _TAG + "merge":
            return key, value
    for key, value in node.value:
        if key.tag == _TAG + "merge":
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if (found := _child(merged, step)) is not None:
                    return key, found[1]
    return None


@dataclass(slots=True)
class _Builder:
    """Turns composed nodes into plain data and notes every mistake; shared nodes are built once."""

    name: str
    findings: list[Finding] = field(default_factory=list)
    done: dict[int, Any] = field(default_factory=dict)
    size: dict[int, int] = field(default_factory=dict)
    open: list[int] = field(default_factory=list)

    def build(self, node: yaml.Node, path: PathTuple = ()) -> Any:
        known = id(node)
        if known in self.done:
            return self.done[known]
        if known in self.open:
            return self.wrong(node, path, "refers to itself", fix="remove this alias")
        if len(self.open) > MAX_DEPTH:
            return self.wrong(node, path, "is nested too deeply", fix=f"use at most {MAX_DEPTH} levels")
        self.open.append(known)
        if isinstance(node, yaml.ScalarNode):
            value, size = self.scalar(node, path), 1
        elif isinstance(node, yaml.SequenceNode):
            value = [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
            size = 1 + sum(self.size.get(id(item), 1) for item in node.value)
            self.tag(node, path, "seq")
        else:
            assert isinstance(node, yaml.MappingNode)  # noqa: S101 - YAML has three kinds of nodes
            value = self.mapping(node, path)
            size = 1 + sum(self.size.get(id(item), 1) for _, item in node.value)
            self.tag(node, path, "map")
        if size > MAX_VALUES:
            value, size = (
                self.wrong(node, path, f"its aliases expand to more than {MAX_VALUES} values", fix="use fewer aliases"),
                1,
            )
        self.open.pop()
        self.size[known] = size
        self.done[known] = value
        return value

    def wrong(self, node: yaml.Node, path: PathTuple, what: str, *, fix: str = "", why: str = "") -> Any:
        """Note a finding; the value is then None."""
        mark = node.start_mark
        self.findings.append(Finding(what, fix, why, show_path(path), self.name, mark.line + 1, mark.column + 1))
        return None

    def tag(self, node: yaml.Node, path: PathTuple, wanted: str) -> Any:
        if node.tag != _TAG + wanted:
            tag = node.tag.replace(_TAG, "!!")[:60]
            self.wrong(node, path, f"the tag {tag} is not known here", fix="remove the tag")

    def mapping(self, node: yaml.MappingNode, path: PathTuple) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                merged = {**self.merge(key_node, value_node, path), **merged}
                continue
            key = key_node.value if key_node.tag == _TAG + "str" else self.build(key_node, path)
            if not isinstance(key, str):
                self.wrong(key_node, path, f"a key must be text, not {describe(key)}", fix="put the key in quotes")
                self.build(value_node, path)
                continue
            if key in lines:
                why = f"it is already in line {lines[key]}, and only one of them could count"
                self.wrong(
                    key_node, (*path, key), f"the key {key[:80]} is given twice", why=why, fix="remove one of them"
                )
            lines.setdefault(key, key_node.start_mark.line + 1)
            own[key] = self.build(value_node, (*path, key))
        return {**merged, **own} if merged else own

    def merge(self, key: yaml.Node, value: yaml.Node, path: PathTuple) -> dict[str, Any]:
        built = self.build(value, path)
        result: dict[str, Any] = {}
        for part in built if isinstance(built, list) else [built]:
            if isinstance(part, Mapping):
                result = {**part, **result}
            else:
                self.wrong(key, path, "<< takes a mapping or a list of mappings", fix="give an alias such as *name")
        return result

    def scalar(self, node: yaml.ScalarNode, path: PathTuple) -> Any:
        text, tag = node.value, node.tag.removeprefix(_TAG)
        if tag == "str" or tag == "merge":
            return text
        if tag == "null":
            return None
        if tag == "bool" and text in _BOOL:
            return _BOOL[text]
        if tag == "int" and _INT.fullmatch(text):
            return self.integer(node, path)
        if tag == "float" and _FLOAT.fullmatch(text):
            number = float(text) if "n" not in text.lower() else float("inf")
            if number in (float("inf"), float("-inf")):
                return self.wrong(
                    node, path, "is not a finite number", fix="give an ordinary number, or quote it as text"
                )
            return number
        if tag in ("bool", "int", "float"):
            return self.wrong(node, path, f"{text[:40]!r} is not of the type !!{tag}", fix="remove the tag")
        return self.tag(node, path, "str")

    def integer(self, node: yaml.ScalarNode, path: PathTuple) -> Any:
        text = node.value
        if len(text) > _MAX_DIGITS:
            return self.wrong(node, path, "the number is too large", fix="put it in quotes if it is text")
        if re.fullmatch(r"[-+]?0[0-9]+", text):
            fix = f'write "{text}" as text, or 0o{text.lstrip("-+0") or "0"} for an octal number'
            return self.wrong(node, path, f"{text} is ambiguous: octal or decimal", fix=fix)
        return int(text, 0)


def describe(value: Any) -> str:
    """A value in a few words of plain English, for messages."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {value[:60]!r}"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, Sequence) else type(value).__name__
