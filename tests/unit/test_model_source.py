"""YAML is read with positions; any mistake of form is a finding on its line, never another exception."""

from __future__ import annotations

from pathlib import Path

import pytest

from scs_deploy.documents.source import parse_yaml, read_yaml, show_path
from scs_deploy.errors import InputError

TEXT = """\
a: &x {b: 1}
c:
  <<: *x
  d: 2
e: *x
f:
- 1
- k: v
  l: m
g:
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), (1, 1)),
        (("a",), (1, 4)),
        (("a", "b"), (1, 11)),
        (("c",), (2, 1)),
        (("c", "b"), (3, 3)),
        (("c", "d"), (4, 6)),
        (("e",), (5, 1)),
        (("f", 0), (7, 3)),
        (("f", 1, "l"), (9, 6)),
        (("f", 1, "missing", "deeper"), (8, 3)),
        (("f", 9), (6, 1)),
    ],
)
def test_position(path: tuple[str | int, ...], place: tuple[int, int]) -> None:
    source = parse_yaml(TEXT, "f")
    assert source.findings == ()
    assert source.position(path) == place


def test_position_of_a_key() -> None:
    assert parse_yaml(TEXT, "f").position(("f", 1, "l"), key=True) == (9, 3)


def test_values_follow_yaml_1_2() -> None:
    text = "a: yes\nb: 12:30\nc: 2020-01-01\nd: 52:54:00:12:34:56\ne: 0o17\nf: -5\ng: 1e3\nh: 1_0\ni: ~\nj: True\nk: 0x1f\n"
    assert list(parse_yaml(text, "f").data.values()) == [
        *("yes", "12:30", "2020-01-01", "52:54:00:12:34:56", 15, -5, 1000.0, "1_0", None, True, 31)
    ]


BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: 2\na: 3", 3, "given twice"),
        ("a: &a [*a]", 1, "refers to itself"),
        ("a: 1\nb: \0", 2, "does not allow"),
        ("a: 1\r\nb: \0", 2, "does not allow"),
        (b"a: 1\nb: \xff", 2, "not UTF-8"),
        ("a: \ud800", 1, "surrogate"),
        ("a: 1\u2028b: 2", 1, "line break"),
        ("a: 0123", 1, "octal or decimal"),
        ("a: .inf", 1, "finite"),
        ("a: -1e999", 1, "finite"),
        ("a: .NaN", 1, "finite"),
        ("a: " + "9" * 5000, 1, "too large"),
        ("a: !!binary aGVs", 1, "!!binary"),
        ("a: !!python/object:os.system x", 1, "tag"),
        ("a: !!int x", 1, "!!int"),
        ("!!set {a}", 1, "!!set"),
        ("1: 2", 1, "a key must be text"),
        ("? [a]\n: b", 1, "a key must be text"),
        ("<<: 3", 1, "<< takes a mapping"),
        ("a:\n\tb: 1", 2, "tabs"),
        ("a: 1\n---\nb: 2", 2, "another document"),
        ("a: 'x\nb: 'y'\n", 2, "close the quote in line 1"),
        ("a: [x]\nb: {y\nc: z\n", 3, "close the bracket in line 2"),
        ("a:\n    b: 1\n  c: 2\n", 3, "block below line 1"),
        ("[" * 200_000, 1, "nested too deeply"),
        ("- " * 100_000, 1, "nested too deeply"),
        ("[" * 100 + "]" * 100, 1, "nested too deeply"),
        (BOMB, 7, "its aliases expand"),
    ],
)
def test_mistake(text: str | bytes, line: int, says: str) -> None:
    found = parse_yaml(text, "f").findings
    assert found
    assert (found[0].file, found[0].line) == ("f", line)
    assert says in str(found[0])
    assert found[0].fix


def test_all_mistakes_of_form_at_once() -> None:
    assert [finding.line for finding in parse_yaml("a: 1\na: 2\nb: 0123\nc: !x y\n", "f").findings] == [2, 3, 4]


def test_read_yaml_raises(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_yaml(tmp_path / "missing.yml")
    with pytest.raises(InputError, match="cannot be read"):
        read_yaml(tmp_path)
    (tmp_path / "x.yml").write_text("a: 1\na: 2\n")
    with pytest.raises(InputError, match=r"x\.yml:2:1 a: the key a is given twice"):
        read_yaml(tmp_path / "x.yml")


def test_an_empty_file_is_nothing() -> None:
    assert parse_yaml("", "f").data is None
    assert parse_yaml("\ufeff# only a comment\n".encode(), "f").data is None


def test_show_path() -> None:
    assert show_path(("racks", 1, "nodes", 0, "addresses", "api")) == "racks[1].nodes[0].addresses.api"
    assert show_path(("config", "/etc/x.conf", "a-b")) == 'config["/etc/x.conf"].a-b'
