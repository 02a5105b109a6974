"""Overrides of configuration files: cases as data; what is not named keeps its place, comments included."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from scs_deploy.errors import InputError
from scs_deploy.model.services import Override
from scs_deploy.overrides import merge

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
