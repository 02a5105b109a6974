"""JSON Schema of region.yml with the settings of every service: for editors (yaml-language-server) and for people."""

from __future__ import annotations

from typing import Any

from scs_deploy.catalogue.load import Catalogue
from scs_deploy.region.region import RegionSection

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def region_schema(catalogue: Catalogue) -> dict[str, Any]:
    """Draft 2020-12. What needs two places at once, such as an address inside its network, is not in it."""
    schema = RegionSection.model_json_schema()
    parts = schema["$defs"]
    local = {name: _service(catalogue, name, parts["ServiceTuning"]["properties"]) for name in catalogue.services}
    region = {name: _service(catalogue, name, parts["ServiceSection"]["properties"]) for name in catalogue.services}
    parts["RegionServices"] = {"type": "object", "additionalProperties": False, "properties": region}
    parts["LocalServices"] = {"type": "object", "additionalProperties": False, "properties": local}
    del parts["ServiceTuning"], parts["ServiceSection"]
    schema["properties"]["services"] = _reference("RegionServices", schema["properties"]["services"])
    for section in ("RackSection", "NodeSection"):
        properties = parts[section]["properties"]
        properties["services"] = _reference("LocalServices", properties["services"])
    _hints(schema)
    return {
        "$schema": DIALECT,
        "title": "region.yml of scs-deploy",
        **{k: v for k, v in schema.items() if k != "title"},
    }


def _service(catalogue: Catalogue, name: str, properties: dict[str, Any]) -> dict[str, Any]:
    service = catalogue.services[name]
    own = dict(properties)
    own["settings"] = {**catalogue.settings_schema(name), "description": f"Settings of {name}", "default": {}}
    if "enabled" in own:
        own["enabled"] = {"type": "boolean", "default": service.enabled, "description": own["enabled"]["description"]}
    return {"type": "object", "additionalProperties": False, "description": service.summary, "properties": own}


def _reference(name: str, old: dict[str, Any]) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}", "description": old["description"], "default": {}}


def _hints(node: Any) -> None:
    """Editors show ``patternErrorMessage`` where a text does not match."""
    if isinstance(node, dict):
        if isinstance(node.get("x-hint"), str):
            node["patternErrorMessage"] = node.pop("x-hint")
        for value in node.values():
            _hints(value)
    elif isinstance(node, list):
        for value in node:
            _hints(value)
