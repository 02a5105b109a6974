"""Reads the YAML files that people edit: plain data, where each piece stands, and every mistake as a finding.

YAML 1.2 core rules as in editors: ``yes`` and ``12:30`` are text, dates are text, keys are text. Anchors, aliases and merge
keys work; duplicate keys, recursive aliases, other tags and non-finite numbers are findings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scs_deploy.documents.yaml_data import TAG, DataReader, Loader, PathTuple, describe, show_path
from scs_deploy.documents.yaml_syntax import explain, explain_reader, refuse
from scs_deploy.errors import Finding, InputError, Severity

__all__ = ["PathTuple", "Source", "describe", "parse_yaml", "read_yaml", "scan_yaml", "show_path"]


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
        return _broken(Finding("is not UTF-8 text", "save it as UTF-8", file=name, line=_line(error), column=1))
    except UnicodeEncodeError as error:
        what = "holds half of a surrogate pair"
        return _broken(Finding(what, "remove that character", file=name, line=_line(error), column=1))
    try:
        if refused := refuse(name, text):
            return _broken(refused)
        root = yaml.compose(text, Loader=Loader)
    except yaml.reader.ReaderError as error:
        return _broken(explain_reader(name, text, error))
    except yaml.MarkedYAMLError as error:
        return _broken(explain(name, text, error))
    if root is None:
        return Source(name, None)
    builder = DataReader(name)
    data = builder.build(root)
    return Source(name, data, root, tuple(builder.findings))


def _broken(finding: Finding) -> Source:
    return Source(finding.file, None, None, (finding,))


def _line(error: UnicodeDecodeError | UnicodeEncodeError) -> int:
    before = error.object[: error.start]
    return (before.count(b"\n") if isinstance(before, bytes) else before.count("\n")) + 1


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
        if isinstance(key, yaml.ScalarNode) and key.value == step and key.tag != TAG + "merge":
            return key, value
    for key, value in node.value:
        if key.tag == TAG + "merge":
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if (found := _child(merged, step)) is not None:
                    return key, found[1]
    return None
