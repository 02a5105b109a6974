"""From composed YAML nodes to plain data by the rules of YAML 1.2's core schema; every mistake becomes a finding."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from scs_deploy.errors import Finding

PathTuple = tuple[str | int, ...]

MAX_DEPTH = 60
MAX_VALUES = 2_000_000
"""Values after aliases are expanded: a few hundred bytes of nested aliases could otherwise fill the memory."""

_MAX_DIGITS = 40
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
TAG = "tag:yaml.org,2002:"


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The fast parser with the resolver of YAML 1.2's core schema (plus merge keys)."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute


for _name, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", _INT.pattern, "-+0123456789"),
    ("float", _FLOAT.pattern, "-+0123456789."),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", "<<", "<"),
):
    Loader.add_implicit_resolver(TAG + _name, re.compile(rf"^(?:{_pattern})$"), list(_first))


@dataclass(slots=True)
class DataReader:
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
        if node.tag != TAG + wanted:
            tag = node.tag.replace(TAG, "!!")[:60]
            self.wrong(node, path, f"the tag {tag} is not known here", fix="remove the tag")

    def mapping(self, node: yaml.MappingNode, path: PathTuple) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == TAG + "merge":
                merged = {**self.merge(key_node, value_node, path), **merged}
                continue
            key = key_node.value if key_node.tag == TAG + "str" else self.build(key_node, path)
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
        text, tag = node.value, node.tag.removeprefix(TAG)
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


def show_path(path: Sequence[str | int]) -> str:
    """``racks[1].nodes[0].addresses.api``; keys that are not plain words are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[\w-]+", step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step[:80], ensure_ascii=False)}]"
    return text


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
