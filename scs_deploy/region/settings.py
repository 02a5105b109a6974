"""Checks what a region says about services against the catalogue: names, settings, and files that overrides change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from scs_deploy.catalogue.load import Catalogue
from scs_deploy.catalogue.service import Service
from scs_deploy.documents.config_formats import FORMATS
from scs_deploy.documents.findings import choose, of_jsonschema
from scs_deploy.documents.source import PathTuple, Source
from scs_deploy.errors import Finding
from scs_deploy.region import overrides
from scs_deploy.region.region import RegionSection
from scs_deploy.region.services import Override


def check_services(source: Source, catalogue: Catalogue) -> Iterator[Finding]:
    """Findings of all ``services`` parts: region, racks, nodes. Works on raw data, so that it needs no valid model."""
    yield from _part(source, (), source.data, catalogue)
    for rack_index, rack in _items(source.data, "racks"):
        yield from _part(source, ("racks", rack_index), rack, catalogue)
        for node_index, node in _items(rack, "nodes"):
            yield from _part(source, ("racks", rack_index, "nodes", node_index), node, catalogue)


def is_enabled(region: RegionSection, catalogue: Catalogue, service: str) -> bool:
    said = region.services[service].enabled if service in region.services else None
    return catalogue.services[service].enabled if said is None else said


def _items(data: Any, key: str) -> Iterator[tuple[int, Any]]:
    items = data.get(key) if isinstance(data, Mapping) else None
    yield from enumerate(items if isinstance(items, list) else ())


def _part(source: Source, at: PathTuple, data: Any, catalogue: Catalogue) -> Iterator[Finding]:
    services = data.get("services") if isinstance(data, Mapping) else None
    for name, values in services.items() if isinstance(services, Mapping) else ():
        path = (*at, "services", name)
        service = catalogue.services.get(name)
        if service is None:
            yield source.finding(
                path, f"there is no service {name[:80]}", fix=choose(name, catalogue.services), key=True
            )
            continue
        if not isinstance(values, Mapping):
            continue
        if isinstance(settings := values.get("settings"), Mapping):
            errors = catalogue.settings_validator(name).iter_errors(settings)
            yield from of_jsonschema(source, (*path, "settings"), errors)
        if isinstance(config := values.get("config"), Mapping):
            for target, override in config.items():
                yield from _override(source, (*path, "config", target), service, target, override)


def _override(source: Source, path: PathTuple, service: Service, target: str, override: Any) -> Iterator[Finding]:
    files = _files(service)
    formats = {format_ for pattern, format_ in files.items() if _matches(pattern, target)}
    if not formats:
        what = f"{service.name} has no configuration file {target[:80]}"
        yield source.finding(path, what, fix=choose(target, files), key=True)
        return
    for kind in override if isinstance(override, Mapping) else ():
        for format_ in sorted(formats):
            allowed = (*FORMATS[format_].overrides, "append", "replace")
            if kind in ("options", "merge") and kind not in allowed:
                what = f"{kind} does not fit: {target} is of the format {format_}"
                yield source.finding((*path, kind), what, fix=f"use {' or '.join(allowed)}", key=True)
    try:
        valid = Override.model_validate(override)
    except ValidationError:
        return  # told with the form of region.yml
    for format_ in sorted(formats):
        for inner, why in overrides.unfit(valid, format_):
            yield source.finding((*path, *inner), "cannot be written", why=why, fix=overrides.FIX)


def _files(service: Service) -> dict[str, str]:
    """Format by target and by template name."""
    found: dict[str, str] = {}
    for component in service.components.values():
        for spec in component.files:
            if spec.template:
                found[spec.target] = found[spec.name] = spec.format
    return found


def _matches(pattern: str, target: str) -> bool:
    """A target of service.yml may be a template; then any text fits its expressions."""
    if "{" not in pattern:
        return pattern == target
    parts = re.split(r"\{\{.*?\}\}|\{%.*?%\}", pattern)
    return re.fullmatch(".*".join(map(re.escape, parts)), target) is not None
