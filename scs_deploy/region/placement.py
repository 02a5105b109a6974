"""Which component instance runs on which node, and why: a pure function of region, catalogue and the last placement.

``all`` follows the group. ``one`` and ``odd`` choose nodes once; the choice is kept in ``placement.lock`` so that adding a node
moves nothing; its order is that of the members, so the first one stays the first. New choices spread over failure domains
first, then over the nodes that carry least.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jinja2
from jinja2.environment import TemplateExpression

from scs_deploy.catalogue import names
from scs_deploy.catalogue.load import Catalogue
from scs_deploy.catalogue.service import Component, Service
from scs_deploy.errors import Finding, InputError
from scs_deploy.region.checks_placement import room
from scs_deploy.region.region import Node, Region

QUORUM_SIZE = 3
"""Members of a new quorum where there are nodes enough: it survives the loss of one."""

_EXPRESSIONS = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - not HTML


@dataclass(frozen=True, slots=True)
class Placed:
    """One instance: a component on a node; ``index`` tells several on one node apart."""

    service: str
    component: str
    node: str
    index: str = ""
    why: str = field(default="", compare=False)
    item: Any = field(default=None, compare=False)
    """What this one of several instances is for: an item of the component's ``each``."""

    @property
    def name(self) -> str:
        return names.instance_name(self.component, self.index)


@dataclass(frozen=True, slots=True)
class Placement:
    """All instances of a region, ordered by service, component and node."""

    placed: tuple[Placed, ...]
    chosen: Mapping[str, tuple[str, ...]]
    """What ``placement.lock`` keeps: component -> nodes, for components whose nodes were chosen."""
    _by_component: Mapping[str, tuple[Placed, ...]] = field(default_factory=dict, repr=False, compare=False)
    _by_node: Mapping[str, tuple[Placed, ...]] = field(default_factory=dict, repr=False, compare=False)

    def of(self, component: str) -> tuple[Placed, ...]:
        return self._by_component.get(component, ())

    def on(self, node: str) -> tuple[Placed, ...]:
        return self._by_node.get(node, ())


def place(region: Region, catalogue: Catalogue, lock: Mapping[str, Sequence[str]]) -> Placement:
    """Place every component of every enabled service.

    Raises ``InputError`` when a component's group has no node.
    """
    placed: list[Placed] = []
    chosen: dict[str, tuple[str, ...]] = {}
    load: dict[str, int] = {}
    findings: list[Finding] = []
    for service_name, service in catalogue.services.items():
        if not region.services[service_name].enabled:
            continue
        for name, component in service.components.items():
            candidates = [node for node in region.nodes if _may_carry(region, node, service_name, component)]
            if component.beside:
                there = {one.node for one in placed if one.component == component.beside}
                candidates = [node for node in candidates if node.name in there]
            if not candidates:
                if not component.when:
                    findings.append(_nobody(region, service_name, name, component))
                continue
            nodes, why = _choose(component, candidates, lock.get(name, ()), load, region)
            if component.cardinality != "all":
                chosen[name] = tuple(node.name for node in nodes)
                for node in nodes:
                    load[node.name] = load.get(node.name, 0) + 1
            here = [one for node in nodes for one in _instances(region, node, service_name, name, component, why)]
            placed += here
            if not here and not component.when:
                findings.append(_no_item(region, service_name, name, component))
            elif component.each:
                findings += _too_many_copies(region, service, name, here)
    if findings:
        raise InputError(findings)
    return Placement(tuple(placed), chosen, _grouped(placed, "component"), _grouped(placed, "node"))


def _may_carry(region: Region, node: Node, service: str, component: Component) -> bool:
    if node.state == "absent" or not {"all", *node.groups}.intersection(component.groups):
        return False
    if not node.services[service].enabled:
        return False
    return not component.when or bool(_value("when", component.when, region, node, service))


def _instances(region: Region, node: Node, service: str, name: str, component: Component, why: str) -> Iterable[Placed]:
    """One instance, or as many as the node has items."""
    each = component.each
    if each is None:
        return [Placed(service, name, node.name, why=why)]
    indexes = [
        (
            re.sub(r"[^A-Za-z0-9_-]+", "-", str(_value("each.index", each.index, region, node, service, item))).strip(
                "-"
            ),
            item,
        )
        for item in _value("each.of", each.of, region, node, service) or ()
    ]
    for index, count in Counter(index for index, _ in indexes).items():
        if count > 1 or not index:
            raise InputError(
                f"node {node.name} has {count} times the same {each.what} {index}",
                why=f"each gets an instance of {name}, called {names.instance_name(name, index)}",
                fix="give each a path or serial of its own",
                where=f"node {node.name}",
            )
    return [Placed(service, name, node.name, index, f"one per {each.what} of {why}", item) for index, item in indexes]


def _value(key: str, expression: str, region: Region, node: Node, service: str, item: object = None) -> Any:
    try:
        return _expression(expression)(node=node, region=region, settings=node.services[service].settings, item=item)
    except (jinja2.TemplateError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise InputError(
            Finding(
                f"{type(error).__name__}: {error}",
                why=f"while evaluating {key}: {expression!r} for node {node.name}",
                fix="correct the expression; it sees node, region and settings",
                file=f"roles/{service}/service.yml",
            )
        ) from error


@cache
def _expression(expression: str) -> TemplateExpression:
    return _EXPRESSIONS.compile_expression(expression, undefined_to_none=False)


def _choose(
    component: Component, candidates: list[Node], locked: Sequence[str], load: Mapping[str, int], region: Region
) -> tuple[list[Node], str]:
    if component.beside:
        return candidates, f"beside {component.beside}"
    if component.cardinality == "all":
        return candidates, "every node" if "all" in component.groups else f"every node of group {component.groups_text}"
    size = 1 if component.cardinality == "one" else _odd(len(candidates))
    by_name = {node.name: node for node in candidates}
    kept = [by_name[name] for name in dict.fromkeys(locked) if name in by_name]
    if component.cardinality == "odd" and len(kept) in {3, 5}:
        size = len(kept)
    picked = kept[:size]
    while len(picked) < size:
        picked.append(_best(candidates, picked, load, region))
    rule = "one node" if size == 1 else f"{size} nodes over the failure domains"
    return picked, f"{rule} of group {component.groups_text}" + (", kept by placement.lock" if kept else "")


def _best(candidates: Iterable[Node], picked: Sequence[Node], load: Mapping[str, int], region: Region) -> Node:
    """The next node: one that works, in the failure domain with fewest members, with least on it, first in the file."""
    taken = {node.name for node in picked}
    domains = [region.domain_of(node) for node in picked]
    return min(
        (node for node in candidates if node.name not in taken),
        key=lambda node: (node.state != "present", domains.count(region.domain_of(node)), load.get(node.name, 0)),
    )


def _odd(available: int) -> int:
    return QUORUM_SIZE if available >= QUORUM_SIZE else 1


def _nobody(region: Region, service: str, name: str, component: Component) -> Finding:
    return Finding(
        f"component {name} of service {service} has no node",
        why=f"it is placed on nodes of group {component.groups_text}, and no node that is present is in it",
        fix=f"add {component.groups_text} to the groups of a node, or set services.{service}.enabled to false",
        file=str(region.folder / "region.yml"),
        path=f"services.{service}",
    )


def _no_item(region: Region, service: str, name: str, component: Component) -> Finding:
    what = component.each.what if component.each else "item"
    return Finding(
        f"component {name} of service {service} has nothing to run for: no node has a {what}",
        why=f"it runs once per {what} on nodes of group {component.groups_text}",
        fix=f"give a node of group {component.groups_text} a {what}, or set services.{service}.enabled to false",
        file=str(region.folder / "region.yml"),
        path=f"services.{service}",
    )


def _too_many_copies(region: Region, service: Service, name: str, placed: Sequence[Placed]) -> Iterable[Finding]:
    """Settings marked ``x-max-failure-domains``, now that the nodes without an item are known (the others count before)."""
    nodes = {one.node for one in placed}
    most, places = room((region.domain_of(node) for node in region.nodes if node.name in nodes), nodes)
    for key, schema in service.settings.items():
        value = region.services[service.name].settings.get(key)
        if schema.get("x-max-failure-domains") == name and isinstance(value, int) and value > most:
            yield Finding(
                f"{service.name}.{key} is {value}, but {name} has {places}",
                why=f"failure_domain is {region.failure_domain}, and {name} runs on {', '.join(sorted(nodes))}",
                fix=f"set services.{service.name}.settings.{key} to {most}, or add items on nodes elsewhere",
                file=str(region.folder / "region.yml"),
                path=f"services.{service.name}.settings.{key}",
            )


def _grouped(placed: Iterable[Placed], attribute: str) -> dict[str, tuple[Placed, ...]]:
    groups: dict[str, list[Placed]] = {}
    for one in placed:
        groups.setdefault(getattr(one, attribute), []).append(one)
    return {key: tuple(group) for key, group in groups.items()}


def as_table(placement: Placement) -> list[dict[str, Any]]:
    """Rows for ``show``: component, nodes and the rule that put it there."""
    return [
        {
            "service": group[0].service,
            "component": name,
            "nodes": list(dict.fromkeys(one.node for one in group)),
            "why": group[0].why,
        }
        for name, group in placement._by_component.items()
    ]
