"""In which order things happen: dependency levels from the catalogue alone, the same for every plan of a region."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping

from scs_deploy.catalogue.load import Catalogue
from scs_deploy.errors import InputError
from scs_deploy.placement import Placement

IMAGES = "images"
"""Key of the image prefetch: after the engine, before every container."""


def component(name: str) -> str:
    return f"component {name}"


def prepare(name: str) -> str:
    """Key of writing a component's files without starting it, because a job needs them first."""
    return f"files of {name}"


def job(name: str) -> str:
    return f"job {name}"


def resources(service: str, owner: str) -> str:
    """Key of the resources that a service declares with an owner."""
    return f"resources of {service} at {owner}"


class Order:
    """Levels (0 first) and the transitive predecessors of every key."""

    def __init__(self, graph: Mapping[str, set[str]]) -> None:
        self.graph = graph
        try:
            ordered = list(graphlib.TopologicalSorter(graph).static_order())
        except graphlib.CycleError as error:
            raise InputError(
                "services need each other in a circle",
                why=" <- ".join(error.args[1]),
                fix="break the circle in one service.yml",
            ) from error
        self.level: dict[str, int] = {}
        for key in ordered:
            self.level[key] = max((self.level[before] + 1 for before in graph.get(key, ())), default=0)

    def predecessors(self, key: str) -> set[str]:
        found: set[str] = set()
        todo = list(self.graph.get(key, ()))
        while todo:
            one = todo.pop()
            if one not in found:
                found.add(one)
                todo += self.graph.get(one, ())
        return found


def order_of(catalogue: Catalogue, placement: Placement) -> Order:
    """Build the order of everything that is deployed.

    Raises ``InputError`` naming the circle when services need each other.
    """
    deployed = {one.component for one in placement.placed}
    services = {one.service for one in placement.placed}
    graph: dict[str, set[str]] = {IMAGES: set()}
    host = [name for name in deployed if catalogue.component(name)[1].kind == "host"]
    for name in sorted(deployed):
        spec = catalogue.component(name)[1]
        needs = {component(need.component) for need in spec.needs if need.component in deployed}
        if spec.kind == "host":
            graph[component(name)] = needs
            graph[IMAGES].add(component(name))
            continue
        graph[prepare(name)] = {component(one) for one in host}
        graph[component(name)] = needs | {prepare(name), IMAGES}
    for name in sorted(services):
        _add_jobs(graph, catalogue, name, deployed)
        _add_resources(graph, catalogue, name, deployed)
    return Order(graph)


def _add_jobs(graph: dict[str, set[str]], catalogue: Catalogue, service: str, deployed: set[str]) -> None:
    for spec in catalogue.services[service].jobs:
        if spec.home not in deployed:
            continue
        before = {prepare(spec.home), IMAGES, *(job(name) for name in spec.after)}
        before |= {component(need.component) for need in spec.needs if need.component in deployed}
        before |= {resources(service, kind.partition(".")[0]) for kind in spec.resources}
        graph.setdefault(job(spec.name), set()).update(before)
        for name in spec.before:
            if name in deployed:
                graph[component(name)].add(job(spec.name))


def _add_resources(graph: dict[str, set[str]], catalogue: Catalogue, service: str, deployed: set[str]) -> None:
    for owner in dict.fromkeys(resource.kind.partition(".")[0] for resource in catalogue.services[service].resources):
        owns = catalogue.services[owner].owns if owner in catalogue.services else None
        if owns is None or owns.component not in deployed:
            continue
        key = resources(service, owner)
        graph.setdefault(key, set()).add(component(owns.component))
        for name in catalogue.services[service].components:
            if name in deployed and not _reaches(graph, component(owns.component), component(name)):
                graph[component(name)].add(key)


def _reaches(graph: Mapping[str, Iterable[str]], start: str, target: str) -> bool:
    """Tell whether ``start`` comes after ``target``."""
    todo, seen = [start], set()
    while todo:
        one = todo.pop()
        if one == target:
            return True
        if one not in seen:
            seen.add(one)
            todo += graph.get(one, ())
    return False
