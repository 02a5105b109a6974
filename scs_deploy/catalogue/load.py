"""Loads the catalogue: every ``<service>/service.yml`` of the search paths, checked against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from pydantic import ValidationError

from scs_deploy.catalogue.checks import Loaded, cross_check
from scs_deploy.catalogue.service import Component, Service
from scs_deploy.catalogue.setting_formats import FORMATS
from scs_deploy.documents.findings import of_pydantic
from scs_deploy.documents.source import scan_yaml
from scs_deploy.errors import Finding, InputError

FILE = "service.yml"


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Everything that can be deployed. Compared by identity: there is one per run."""

    services: dict[str, Service]
    folders: dict[str, Path] = field(repr=False)
    components: dict[str, str] = field(repr=False)
    """Component name -> name of its service."""
    _memo: dict[Any, Any] = field(default_factory=dict, repr=False)

    def component(self, name: str) -> tuple[Service, Component]:
        """Raises ``KeyError`` for an unknown name."""
        service = self.services[self.components[name]]
        return service, service.components[name]

    def folder(self, service: str) -> Path:
        return self.folders[service]

    def settings_schema(self, service: str) -> dict[str, Any]:
        """JSON Schema of a service's settings."""
        properties = self.services[service].settings
        return {"type": "object", "additionalProperties": False, "properties": properties}

    def settings_validator(self, service: str) -> jsonschema.Draft202012Validator:
        key = ("validator", service)
        if key not in self._memo:
            self._memo[key] = jsonschema.Draft202012Validator(self.settings_schema(service), format_checker=FORMATS)
        return self._memo[key]  # type: ignore[no-any-return]

    def default_settings(self, service: str) -> dict[str, Any]:
        """What every setting of a service is when nobody says anything. Not to be changed by the caller."""
        key = ("defaults", service)
        if key not in self._memo:
            self._memo[key] = _defaults(self.services[service].settings)
        return self._memo[key]  # type: ignore[no-any-return]


def load_catalogue(search: Sequence[Path]) -> Catalogue:
    """Services of all folders in ``search``; later folders add, none replaces.

    Raises ``InputError`` with everything that is wrong in any ``service.yml``.
    """
    findings: list[Finding] = []
    loaded: dict[str, Loaded] = {}
    for root in search:
        for path in sorted(Path(root).glob(f"*/{FILE}")):
            if (one := _load(path, findings)) is None:
                continue
            if first := loaded.get(one.service.name):
                why = f"it is already in {first.source.name}"
                findings.append(
                    one.source.finding(
                        ("name",), f"the service {one.service.name} is given twice", why=why, fix="rename one"
                    )
                )
                continue
            loaded[one.service.name] = one
    if not findings:
        findings = list(cross_check(loaded))
    if findings:
        raise InputError(findings)
    return Catalogue(
        {name: one.service for name, one in loaded.items()},
        {name: one.folder for name, one in loaded.items()},
        {component: name for name, one in loaded.items() for component in one.service.components},
    )


def _load(path: Path, findings: list[Finding]) -> Loaded | None:
    source = scan_yaml(path)
    findings += source.findings
    if source.root is None and source.findings:
        return None
    try:
        service = Service.model_validate(source.data)
    except ValidationError as error:
        findings += of_pydantic(source, error, _schema(), {})
        return None
    return Loaded(service, path.parent, source)


@cache
def _schema() -> dict[str, Any]:
    return Service.model_json_schema()


def _defaults(properties: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found = {}
    for name, schema in properties.items():
        if "default" in schema:
            default = schema["default"]
            inner = schema.get("properties")
            found[name] = {**_defaults(inner), **default} if inner and isinstance(default, dict) else default
        elif "properties" in schema:
            found[name] = _defaults(schema["properties"])
    return found
