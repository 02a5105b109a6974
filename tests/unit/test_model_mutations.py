"""Whatever a slip of the hand makes of region.yml, it is valid or the error leads to the line that was changed.

A finding leads there when
- it stands on a changed line, or on the line with content before or after it (where a YAML parser notices a broken block);
- or it names such a line, or one that encloses it, as the other half of a contradiction ("... (line 12)");
- or the changed line was the head of a block, and it stands in that block, which now belongs to something else;
- or something is missing, miscounted or of the wrong kind as a whole, and it stands on a key that encloses the changed line.

``SCS_DEPLOY_EXAMPLES`` sets the number of mutations (default 5,000).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from regions import BASE, findings

EXAMPLES = int(os.environ.get("SCS_DEPLOY_EXAMPLES", "5000"))
LINES = BASE.split("\n")
CONTENT = [number for number, line in enumerate(LINES) if line.strip() and not line.startswith("#")]

VALUES = [
    *(
        "",
        "null",
        "~",
        "true",
        "no",
        "0",
        "-1",
        "1",
        "65536",
        "99999999999999999999999999",
        "0x1F",
        "007",
        "1.5",
        "1e400",
        ".nan",
    ),
    *(
        "x",
        "'x'",
        '"x"',
        '"',
        "'",
        "[]",
        "{}",
        "[",
        "{",
        "]",
        "[x, y]",
        "{a: b}",
        "[[[[1]]]]",
        "|",
        ">",
        "| text",
        "- x",
        "? x",
    ),
    *(
        "*x",
        "&x",
        "&x y",
        "!!binary aGVsbG8=",
        "!!set {a}",
        "!x y",
        "!!int x",
        "<<",
        "%",
        "@",
        "`",
        "#",
        ": ",
        "a: b",
        "\t",
        "\0",
    ),
    *(
        "10.60.1.11",
        "10.60.1.10",
        "10.60.5.120",
        "10.60.1.0/24",
        "10.60.0.0/16",
        "::1",
        "fd00:60:1::/64",
        "10.60.5.1-10.60.5.9",
    ),
    *(
        "n1",
        "r1",
        "podman",
        "docker",
        "control",
        "absent",
        "maintenance",
        "/dev/sda",
        "S1",
        "ä",
        "日本",
        "\u2028",
        "\ufeff",
        "x" * 300,
    ),
]
KEYS = [
    "",
    "x",
    "name",
    "api",
    "vip",
    "cidr",
    "mtu",
    "nodes",
    "racks",
    "settings",
    "<<",
    "1",
    "null",
    "[a]",
    "é",
    "a b",
    "ssh",
    "disks",
]
CHARACTERS = " \t\n:-#'\"[]{},&*!|>%@`?\\\0\x7f\x85\u2028\ud800é0a.~/"


def _split(line: str) -> tuple[str, str, str]:
    """Indentation with dashes, key, and rest of a line of the base."""
    match = re.match(r"(\s*(?:- )?)([^:{\[]*)(.*)", line)
    assert match
    return match[1], match[2], match[3]


def _swapped(word: str, at: int) -> str:
    at %= max(1, len(word) - 1)
    return word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :]


def mutate(number: int, kind: str, pick: int) -> str:
    lines = list(LINES)
    line = lines[number]
    indent, key, rest = _split(line)
    value = VALUES[pick % len(VALUES)]
    at = pick % (len(line) + 1)
    character = CHARACTERS[pick % len(CHARACTERS)]
    other = CONTENT[pick % len(CONTENT)]
    match kind:
        case "value":
            lines[number] = f"{indent}{key}: {value}"
        case "item":
            words = re.findall(r"[^\s,{}\[\]]+", rest) or [rest]
            word = words[pick % len(words)]
            lines[number] = f"{indent}{key}{rest.replace(word, VALUES[(pick * 7) % len(VALUES)], 1)}"
        case "key":
            lines[number] = f"{indent}{KEYS[pick % len(KEYS)]}{rest}"
        case "typo":
            lines[number] = f"{indent}{_swapped(key, pick)}{rest}"
        case "delete":
            del lines[number]
        case "twice":
            lines.insert(number, line)
        case "copy":
            lines.insert(number, lines[other])
        case "replace":
            lines[number] = lines[other]
        case "insert":
            lines.insert(number, f"{' ' * (pick % 12)}{VALUES[(pick * 5) % len(VALUES)]}")
        case "indent":
            lines[number] = " " * (pick % 12) + line.lstrip()
        case "character":
            lines[number] = line[:at] + character + line[at:]
        case "drop":
            lines[number] = line[:at] + line[at + 1 :]
        case "cut":
            lines[number] = line[:at]
        case "swap":
            lines[number - 1], lines[number] = lines[number], lines[number - 1]
    return "\n".join(lines)


KINDS = [
    "value",
    "item",
    "key",
    "typo",
    "delete",
    "twice",
    "copy",
    "replace",
    "insert",
    "indent",
    "character",
    "drop",
    "cut",
    "swap",
]
MUTATIONS = st.tuples(st.sampled_from(CONTENT), st.sampled_from(KINDS), st.integers(0, 5039))

AS_A_WHOLE = re.compile(
    r"missing|must be|no node|quorum|one member|even number|failure domains|not enabled|default|\(null\)"
)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _enclosing(lines: list[str], numbers: Iterator[int] | range) -> set[int]:
    """0-based numbers of the lines whose blocks hold the given lines, and the first line with content."""
    found = {CONTENT[0]}
    for number in numbers:
        limit = _indent(lines[number]) if number < len(lines) else 0
        for above in range(min(number, len(lines)) - 1, -1, -1):
            if lines[above].strip() and _indent(lines[above]) < limit:
                limit = _indent(lines[above])
                found.add(above)
            if lines[above].strip() and _indent(lines[above]) == limit and lines[above].lstrip().startswith("- "):
                found.add(above)
    return found


def _block(head: int) -> Iterator[int]:
    """0-based numbers of the base's lines in the block below a line."""
    for number in range(head + 1, len(LINES)):
        if LINES[number].strip() and _indent(LINES[number]) <= _indent(LINES[head]):
            return
        yield number


def leads_to_the_change(text: str) -> bool:
    new = text.split("\n")
    start = next((n for n, (a, b) in enumerate(zip(LINES, new, strict=False)) if a != b), min(len(LINES), len(new)))
    tail = 0
    while tail < min(len(LINES), len(new)) - start and LINES[-1 - tail] == new[-1 - tail]:
        tail += 1
    changed = range(start, max(start + 1, len(new) - tail))
    before = next((n for n in range(start - 1, -1, -1) if new[n].strip()), 0)
    after = next((n for n in range(changed.stop, len(new)) if new[n].strip()), len(new) - 1)
    near = {*changed, before, after, len(new) - tail}
    around = _enclosing(new, changed) | _enclosing(LINES, range(start, max(start + 1, len(LINES) - tail)))
    near |= {n + len(new) - len(LINES) for n in _block(start)}
    for finding in findings(text):
        named = {int(number) - 1 for number in re.findall(r"\bline (\d+)", str(finding))}
        if finding.line - 1 in near or named & (near | around):
            return True
        if AS_A_WHOLE.search(finding.what) and finding.line - 1 in around:
            return True
    return False


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(MUTATIONS)
@example((CONTENT[2], "item", 0))
def test_mutation(mutation: tuple[int, str, int]) -> None:
    text = mutate(*mutation)
    found = findings(text)
    assert all(finding.what and finding.file and finding.line for finding in found)
    if any(finding.severity == "error" for finding in found):
        assert leads_to_the_change(text), f"{mutation}\n{_around(text)}\n" + "\n".join(map(str, found))


def _around(text: str) -> str:
    new = text.split("\n")
    return "\n".join(f"{n + 1}: {line!r}" for n, line in enumerate(new) if n >= len(LINES) or line != LINES[n])[:800]


@settings(max_examples=max(50, EXAMPLES // 20), deadline=None, database=None, derandomize=True)
@given(st.binary(max_size=200), st.integers(0, len(BASE)))
def test_any_bytes_are_valid_or_a_finding(junk: bytes, at: int) -> None:
    raw = BASE.encode()
    assert all(finding.line for finding in findings(raw[:at] + junk + raw[at:]))
    assert all(finding.line for finding in findings(junk))
