"""Loads the catalogue: every ``<service>/service.yml`` of the search paths, checked against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from scs_deploy.catalogue.service import Component, Service
from scs_deploy.catalogue.users import UserTable, system_users
from scs_deploy.catalogue.words import Words, mistakes, offered, with_carriers, written_out
from scs_deploy.documents.findings import of_pydantic
from scs_deploy.documents.source import Source, scan_yaml
from scs_deploy.errors import Finding, InputError

if TYPE_CHECKING:
    import jsonschema

    from scs_deploy.catalogue.checks import Loaded

FILE = "service.yml"


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Everything that can be deployed. Compared by identity: there is one per run."""

    services: dict[str, Service]
    folders: dict[str, Path] = field(repr=False)
    components: dict[str, str] = field(repr=False)
    """Component name -> name of its service."""
    users: UserTable = field(repr=False)
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
            import jsonschema

            from scs_deploy.catalogue.setting_formats import FORMATS

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
    # Imported here, as above: jsonschema is slow to import, and not needed for a catalogue that was checked before.
    from scs_deploy.catalogue.checks import Loaded, cross_check

    findings: list[Finding] = []
    sources: dict[str, tuple[Path, Source]] = {}
    for root in search:
        for path in sorted(Path(root).glob(f"*/{FILE}")):
            source = scan_yaml(path)
            findings += source.findings
            name = source.data.get("name") if isinstance(source.data, dict) else None
            if isinstance(name, str) and name in sources:
                why = f"it is already in {sources[name][1].name}"
                what = f"the service {name} is given twice"
                findings.append(source.finding(("name",), what, why=why, fix="rename one"))
            elif source.root is not None or not source.findings:
                sources[name if isinstance(name, str) else str(path)] = (path.parent, source)
    words = offered({name: source for name, (_, source) in sources.items()})
    loaded: dict[str, Loaded] = {}
    for name, (folder, source) in sources.items():
        wrong = list(mistakes(source, words))
        findings += wrong
        if not wrong and (service := _model(source, words, findings)):
            loaded[name] = Loaded(service, folder, source)
    if not findings:
        whole = with_carriers({name: one.service for name, one in loaded.items()})
        loaded = {name: replace(one, service=whole[name]) for name, one in loaded.items()}
    users = _users(loaded, findings)
    findings = findings or list(cross_check(loaded, users))
    if findings:
        raise InputError(findings)
    return Catalogue(
        {name: one.service for name, one in loaded.items()},
        {name: one.folder for name, one in loaded.items()},
        {component: name for name, one in loaded.items() for component in one.service.components},
        users,
    )


def _users(loaded: dict[str, Loaded], findings: list[Finding]) -> UserTable:
    """The users of all services and of none."""
    table = system_users()
    for one in loaded.values():
        users, groups = one.service.users, one.service.groups
        for name, what in table.clashes(users, groups):
            path = ("users" if name in users else "groups", name)
            findings.append(one.source.finding(path, what, fix="give it a name and a number of its own", key=True))
        table = table.joined(users, groups)
    return table


def _model(source: Source, words: Words, findings: list[Finding]) -> Service | None:
    data = written_out(source.data, words)
    try:
        return Service.model_validate(data)
    except ValidationError as error:
        findings += of_pydantic(replace(source, data=data), error, _schema(), {})
        return None


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
