"""The JSON Schema and the reference come from the models and agree with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from regions import BASE, INVENTORIES, catalogue, changed

from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.documents.source import parse_yaml
from scs_deploy.region.reference import region_reference
from scs_deploy.region.schema import region_schema

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = region_schema(catalogue())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def _errors(validator: jsonschema.Draft202012Validator, text: str) -> list[Any]:
    return list(validator.iter_errors(parse_yaml(text, "f").data))


def test_valid_regions_fit(validator: jsonschema.Draft202012Validator) -> None:
    assert _errors(validator, BASE) == []
    real = jsonschema.Draft202012Validator(region_schema(load_catalogue([ROOT / "roles"])))
    for name in ("box", "core", "half-rack"):
        assert _errors(real, (INVENTORIES / name / "region.yml").read_text()) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("engine: podman", "enigne: podman"),
        ("engine: podman", "engine: lxc"),
        ('"2025.1"', "2025.1"),
        ("{memory_mb: 256}", "{memory: 256}"),
        ("{memory_mb: 256}", "{memory_mb: 1}"),
        ("{threads: 4}", "{threads: 400}"),
        ("log_mb: 128", "log_mb: x"),
        ("  storage:\n    settings:", "  storrage:\n    settings:"),
        ("tunnel: 10.60.3.14", "tunel: 10.60.3.14"),
        ("            settings: {threads: 4}", "            enabled: true"),
    ],
)
def test_mistakes_do_not(validator: jsonschema.Draft202012Validator, old: str, new: str) -> None:
    assert _errors(validator, changed((old, new)))


def test_an_editor_shows_what_service_yml_says(validator: jsonschema.Draft202012Validator) -> None:
    services = validator.schema["$defs"]["RegionServices"]["properties"]  # type: ignore[index]
    setting = services["memcached"]["properties"]["settings"]["properties"]["memory_mb"]
    assert (setting["default"], setting["description"]) == (128, "Memory for items in MiB")
    assert services["memcached"]["description"] == "Cache"


def test_reference_is_current() -> None:
    text = (ROOT / "docs/region.md").read_text()
    assert text == region_reference(), "run: python -m scs_deploy.region.reference docs/region.md"
