"""What a region says about services: enabled, settings, and overrides of their configuration files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from scs_deploy.documents.fields import Bool, Section, wrong
from scs_deploy.documents.source import describe

_SCALAR = ["string", "number", "boolean", "null"]


def _option(value: Any) -> Any:
    items = value if isinstance(value, list) else [value]
    for item in items:
        if item is not None and not isinstance(item, str | int | float):
            raise wrong(
                f"must be a text, number, true or false, not {describe(item)}",
                "give one value, or a list to repeat the option",
            )
        if item is None and isinstance(value, list):
            raise wrong("holds an empty item", "remove it")
    return value


Option = Annotated[
    Any,
    BeforeValidator(_option),
    WithJsonSchema(
        {"anyOf": [{"type": _SCALAR}, {"type": "array", "items": {"type": ["string", "number", "boolean"]}}]}
    ),
]


class Override(Section):
    """A change to one configuration file: exactly one of its keys."""

    options: dict[str, dict[str, Option]] | None = Field(
        None, description="INI: section -> option -> value; a list repeats the option, null removes it"
    )
    merge: dict[str, Any] | None = Field(
        None, description="YAML and JSON: merged deeply; lists are replaced, null removes a key"
    )
    append: str | None = Field(None, description="Any format: text added at the end")
    replace: str | None = Field(None, description="Any format: the whole text of the file")

    @property
    def kind(self) -> str:
        return next(name for name in Override.model_fields if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in Override.model_fields if getattr(self, name) is not None]
        if len(given) > 1:
            raise wrong(f"holds {' and '.join(given)}", "give only one of them")
        if not given:
            raise wrong("one of the keys options, merge, append and replace is missing", "add one of them")
        return self


class ServiceTuning(Section):
    """Settings and file overrides of one service."""

    settings: dict[str, Any] = Field({}, description="As its service.yml declares them")
    config: dict[str, Override] = Field(
        {}, description="Overrides of its configuration files, by target path or template name"
    )


class ServiceSection(ServiceTuning):
    """A service in the region: as in a rack or node, and whether it is deployed."""

    enabled: Bool | None = Field(None, description="Deploy it; default: as its service.yml says")


@dataclass(frozen=True, slots=True)
class ServiceValues:
    """What holds for one service on one node: defaults filled in, levels merged."""

    enabled: bool
    settings: dict[str, Any]
    config: dict[str, Override] = field(default_factory=dict)

    def tuned(self, tuning: ServiceTuning) -> ServiceValues:
        """These values with those of a narrower level on top."""
        config = dict(self.config)
        for target, override in tuning.config.items():
            config[target] = _combined(config.get(target), override)
        return ServiceValues(self.enabled, merged(self.settings, tuning.settings), config)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings key by key, at any depth; everything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _combined(base: Override | None, over: Override) -> Override:
    if base is None or base.kind != over.kind or over.kind == "replace":
        return over
    if over.kind == "append":
        return Override(append=f"{base.append}{over.append}")
    return Override(**{over.kind: merged(getattr(base, over.kind), getattr(over, over.kind))})
