"""Overrides of configuration files: cases as data; what is not named keeps its place, comments included."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from scs_deploy.errors import InputError
from scs_deploy.region.overrides import merge
from scs_deploy.region.services import Override
from scs_deploy.secrets.placeholders import reference, resolve

CASES = yaml.safe_load((Path(__file__).parent / "cases/overrides.yml").read_text())


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_override(case):
    override = Override(**case["override"])
    if "error" in case:
        with pytest.raises(InputError, match=case["error"]) as error:
            merge(case["text"], case["format"], override, where="services.app.config[/x]")
        assert "services.app.config[/x]" in str(error.value)
        return
    got = merge(case["text"], case["format"], override, where="x")
    assert got == case["result"]
    if case["format"] == "ini" and "options" in case["override"]:
        assert merge(got, "ini", override, where="x") == got, "applying it twice changes nothing"


@pytest.mark.parametrize("file_format", ["yaml", "json"])
def test_a_file_with_a_secret_takes_a_merge(file_format):
    """The value is spelled where the file is put together, so it stands within double quotes as before."""
    text = f'{{"a": 1, "url": "x: {reference("word")} {"and more " * 20}"}}'
    got = merge(text, file_format, Override(merge={"a": 2}), where="x")
    secret = "\"q\\uo\\te: #'"
    read = yaml.safe_load(resolve(got, lambda name: secret, file_format))
    assert read == {"a": 2, "url": f"x: {secret} {'and more ' * 20}"}
