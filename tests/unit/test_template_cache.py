"""What templates were compiled to is kept between runs, and has no say in what they come to."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from scs_deploy.errors import InputError
from scs_deploy.render import templates
from scs_deploy.render.templates import TemplateSet


def rendered(text: str, cache: Path, **context: str) -> str:
    return TemplateSet({"one/templates/a": text}, {}, cache).file("one", "a", context)


def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The templates that are compiled from now on."""
    seen: list[str] = []
    before = jinja2.Environment.compile

    def compile_(self, source, name=None, *given, **named):
        seen.append(name)
        return before(self, source, name, *given, **named)

    monkeypatch.setattr(jinja2.Environment, "compile", compile_)
    return seen


def test_a_template_is_compiled_once_until_it_or_the_compiler_changes(tmp_path, monkeypatch):
    seen = compiled(monkeypatch)
    assert [rendered("{{ x }}", tmp_path, x=x) for x in "ab"] == ["a", "b"]
    assert len(seen) == 1
    assert rendered("{{ x }}!", tmp_path, x="a") == "a!"
    monkeypatch.setattr(templates, "version", lambda _: "4")
    assert rendered("{{ x }}!", tmp_path, x="a") == "a!"
    assert len(seen) == 3


def test_a_filter_is_never_applied_beforehand(tmp_path, monkeypatch):
    text = "{{ 'a' | sha256 }}"
    before = rendered(text, tmp_path)
    monkeypatch.setattr(templates, "_sha256", lambda text: f"other {text}")
    assert (len(before), rendered(text, tmp_path)) == (64, "other a")


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_cache_is_as_none(damage, tmp_path, monkeypatch):
    rendered("{{ x }}", tmp_path, x="a")
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[: len(file.read_bytes()) // 2] if damage is None else damage)
    seen = compiled(monkeypatch)
    assert rendered("{{ x }}", tmp_path, x="b") == "b"
    assert len(seen) == 1


def test_where_no_cache_can_be_written_there_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    assert rendered("{{ x }}", tmp_path / "file/cache", x="a") == "a"


def test_an_error_still_names_the_line_of_the_template(tmp_path):
    texts, origins = {"one/templates/a": "first\n{{ missing }}\n"}, {"one/templates/a": Path("/roles/one/templates/a")}
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            TemplateSet(texts, origins, tmp_path).file("one", "a", {})
        (finding,) = caught.value.findings
        assert (finding.file, finding.line) == ("/roles/one/templates/a", 2)
