"""Writes out what services share: words that an owner offers and others use, defaults of containers, needs that follow from others.

Afterwards a description says everything itself, in the vocabulary of ``service.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scs_deploy.catalogue.service import Job, Need, Service
from scs_deploy.documents.findings import choose
from scs_deploy.documents.source import Source
from scs_deploy.errors import Finding

_PLACEHOLDER = re.compile(r"\$([a-z_]+)")
_NAMES = ("target", "name", "component")


@dataclass(frozen=True, slots=True)
class Word:
    """``gives`` is a piece of a description in which ``$name`` stands for a parameter; one whose default is null must be given."""

    owner: str
    parameters: Mapping[str, Any]
    gives: Mapping[str, Any]


Words = Mapping[str, Word]


def offered(sources: Mapping[str, Source]) -> dict[str, Word]:
    """Words of all services, ``<owner>.<word>``; malformed ones are left to the model."""
    found = {}
    for owner, source in sources.items():
        for name, said in _mapping(_mapping(source.data).get("offers")).items():
            word = _mapping(said)
            found[f"{owner}.{name}"] = Word(owner, _mapping(word.get("parameters")), _mapping(word.get("gives")))
    return found


def mistakes(source: Source, words: Words) -> Iterator[Finding]:
    """What is wrong with the words that a description offers and uses."""
    for name, said in _mapping(_mapping(source.data).get("offers")).items():
        known = {"service", *_mapping(_mapping(said).get("parameters"))}
        for key in sorted({*_PLACEHOLDER.findall(str(_mapping(said).get("gives")))} - known):
            what = f"there is no parameter {key}"
            yield source.finding(("offers", name, "gives"), what, fix=choose(key, known), key=True)
    for name, given in _uses(source.data):
        path = ("uses", name)
        if name not in words:
            yield source.finding(path, f"no service offers {name}", fix=choose(name, words), key=True)
            continue
        parameters = words[name].parameters
        for key in sorted(given.keys() - parameters.keys()):
            what = f"{name} has no parameter {key}"
            yield source.finding((*path, key), what, fix=choose(str(key), parameters), key=True)
        for key in sorted(key for key, default in parameters.items() if default is None and key not in given):
            yield source.finding(path, f"the parameter {key} is missing", fix=f"add {key}", key=True)


def written_out(data: Any, words: Words) -> Any:
    """The description with its defaults and the words it uses; what it says itself counts before them."""
    if not isinstance(data, Mapping):
        return data
    whole: Any = dict(data)
    for name, given in _uses(data):
        values = {"service": data.get("name"), **given}
        for key, default in words[name].parameters.items():
            values.setdefault(key, _filled(default, values))
        needs = {"needs": [words[name].owner]} if words[name].owner != data.get("name") else {}
        whole = merged({**needs, **_filled(words[name].gives, values)}, whole)
    defaults, components = _mapping(whole.get("defaults")), whole.get("components")
    if isinstance(components, Mapping):
        whole["components"] = {
            name: {**defaults, **one} if isinstance(one, Mapping) and one.get("kind") != "host" else one
            for name, one in components.items()
        }
    return whole


def merged(given: Any, own: Any) -> Any:
    """``own`` with what ``given`` adds: keys of mappings; entries of lists by their name, behind those that are there."""
    if isinstance(given, Mapping) and isinstance(own, Mapping):
        return {**{key: merged(given[key], own[key]) if key in given else own[key] for key in own},
                **{key: value for key, value in given.items() if key not in own}}  # fmt: skip
    if isinstance(given, list) and isinstance(own, list):
        added = {_name(entry): entry for entry in given}
        return [merged(added.pop(_name(entry)), entry) if _name(entry) in added else entry for entry in own] + [
            *added.values()
        ]
    return own


def with_carriers(services: Mapping[str, Service]) -> dict[str, Service]:
    """Add what carries frontends to the needs of those who go through one: who needs a component that has one, or asks its own."""
    components = {name: one for service in services.values() for name, one in service.components.items()}
    carriers = [name for name, one in components.items() if one.carries_frontends]
    fronted = {name for name, one in components.items() if any(port.frontend for port in one.ports)}

    def added(needs: tuple[Need, ...], anyway: bool = False) -> tuple[Need, ...]:
        if not anyway and not any(need.component in fronted and need.scope != "same-node" for need in needs):
            return needs
        said = {need.component for need in needs}
        return (*needs, *(Need(component=name) for name in carriers if name not in said))

    def job(one: Job) -> Job:
        return one.model_copy(update={"needs": added(one.needs)})

    return {
        name: service.model_copy(
            update={
                "components": {
                    key: one.model_copy(update={"needs": added(one.needs, one.health.frontend)})
                    for key, one in service.components.items()
                },
                "jobs": tuple(map(job, service.jobs)),
            }
        )
        for name, service in services.items()
    }


def _uses(data: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Words with their parameters; one that is used several times has a list of them."""
    for name, said in _mapping(_mapping(data).get("uses")).items():
        for given in said if isinstance(said, list) else [said]:
            yield name, _mapping(given)


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    """``value`` with parameters in place of ``$name``; a text that is nothing else becomes the parameter itself."""
    if isinstance(value, str):
        if (alone := _PLACEHOLDER.fullmatch(value)) and alone[1] in values:
            return values[alone[1]]
        return _PLACEHOLDER.sub(lambda found: str(values.get(found[1], found[0])), value)
    if isinstance(value, Mapping):
        return {_filled(key, values): _filled(inner, values) for key, inner in value.items()}
    return [_filled(inner, values) for inner in value] if isinstance(value, list) else value


def _name(entry: Any) -> Any:
    """What an entry of a list is called; of different kinds of resources several may have one name."""
    if not isinstance(entry, Mapping):
        return entry if isinstance(entry, str | int) else id(entry)
    for key in _NAMES:
        if key in entry:
            return entry[key] if key == "component" else (entry.get("kind"), entry[key])
    return id(entry)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
