"""Says where a text stops being YAML and why: the parser's own words, and the quote, bracket or indentation behind them."""

from __future__ import annotations

import re
from typing import Any

import yaml

from scs_deploy.documents.yaml_data import MAX_DEPTH, Loader
from scs_deploy.errors import Finding

_UNSAFE_NESTING = 1000
"""libyaml's composer recurses on the C stack; below this many open brackets or columns it cannot overflow it."""

_ODD_BREAK = re.compile("\r(?!\n)|[\x85\u2028\u2029]")
"""YAML 1.1 and editors do not agree on whether these begin a new line."""


def refuse(name: str, text: str) -> Finding | None:
    """What must not reach the parser: odd line breaks, and nesting that would overflow its stack."""
    if odd := _ODD_BREAK.search(text):
        line = text.count("\n", 0, odd.start()) + 1
        fix = "replace it by an ordinary line break or a space"
        return Finding("holds an unusual line break", fix, file=name, line=line, column=1)
    if _may_nest_deeply(text) and (mark := _too_deep(text)):
        fix = f"use at most {MAX_DEPTH} levels"
        return Finding("is nested too deeply", fix, file=name, line=mark.line + 1, column=mark.column + 1)
    return None


def _may_nest_deeply(text: str) -> bool:
    brackets = text.count("[") + text.count("{")
    return brackets > _UNSAFE_NESTING or any(len(line) > _UNSAFE_NESTING for line in text.splitlines())


def _too_deep(text: str) -> Any:
    depth = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                return event.start_mark
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


def explain_reader(name: str, text: str, error: yaml.reader.ReaderError) -> Finding:
    """A character that YAML forbids; the C parser gives its offset in bytes, not a mark."""
    before = text.encode()[: error.position].decode(errors="replace")
    what = f"holds a character that YAML does not allow ({error.reason})"
    column = len(before) - before.rfind("\n")
    return Finding(what, "remove that character", file=name, line=before.count("\n") + 1, column=column)


def explain(name: str, text: str, error: yaml.MarkedYAMLError) -> Finding:
    """Where a text stops being YAML, and what most likely caused it."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Finding(
            f"is not valid YAML: {error.problem or 'cannot be parsed'}", "check the file", file=name, line=1, column=1
        )
    problem = (error.problem or "cannot be parsed").replace("expected <block end>, but found", "did not expect")
    why = (
        f"{error.context} that began in line {error.context_mark.line + 1}"
        if error.context and error.context_mark
        else ""
    )
    fix = "check quotes, brackets and the indentation of this line and the one before"
    quote, bracket = _unclosed(text, mark)
    lines = text.split("\n")
    if "\t" in (lines[mark.line] if mark.line < len(lines) else ""):
        fix = "indent with spaces: YAML does not allow tabs there"
    if quote is not None:
        why = f"a quoted text began in line {quote.line + 1} and goes on over several lines"
        fix = f"close the quote in line {quote.line + 1}"
    elif bracket is not None:
        why = f"a bracket was opened in line {bracket.line + 1} and is not closed before this line"
        fix = f"close the bracket in line {bracket.line + 1}"
    elif problem == "did not find expected key" and (head := _head(lines, mark)):
        why = f"the block below line {head} is indented differently"
        fix = f"indent this line as the others below line {head}, or as that line itself"
    elif "alias" in problem:
        fix = "define the anchor further up, or put the text in quotes"
    return Finding(f"is not valid YAML: {problem}", fix, why, "", name, mark.line + 1, mark.column + 1)


def _unclosed(text: str, problem: Any) -> tuple[Any, Any]:
    """Marks of the last quoted text over several lines, and of the innermost open bracket of an earlier line.

    A parser notices a forgotten quote or bracket only where the next one makes no sense.
    """
    quote, brackets = None, []
    try:
        for token in yaml.scan(text, Loader=Loader):
            if isinstance(token, yaml.FlowSequenceStartToken | yaml.FlowMappingStartToken):
                brackets.append(token.start_mark)
            elif isinstance(token, yaml.FlowSequenceEndToken | yaml.FlowMappingEndToken):
                brackets = brackets[:-1]
            elif isinstance(token, yaml.ScalarToken) and token.style in ("'", '"'):
                quote = token.start_mark if token.start_mark.line != token.end_mark.line else quote
            if token.end_mark.index >= problem.index:
                break
    except yaml.YAMLError:
        pass
    return quote, next((mark for mark in reversed(brackets) if mark.line < problem.line), None)


def _head(lines: list[str], problem: Any) -> int:
    """1-based number of the line above whose block the line of the problem would belong to; 0 if there is none."""
    for number in range(min(problem.line, len(lines)) - 1, -1, -1):
        line = lines[number]
        if line.strip() and len(line) - len(line.lstrip()) < problem.column:
            return number + 1
    return 0
