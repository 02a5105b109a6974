"""In which order things happen: dependency levels from the catalogue alone, the same for every plan of a region."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Iterator, Mapping

from scs_deploy.catalogue.load import Catalogue
from scs_deploy.catalogue.service import Need, NeedScope
from scs_deploy.errors import InputError
from scs_deploy.region.placement import Placement

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


Graph = dict[str, dict[str, bool]]
"""key -> what comes before it -> whether that concerns the same node only"""


class Order:
    """Levels (0 first) and what comes before every key."""

    def __init__(
        self,
        graph: Graph,
        awaited: Mapping[str, frozenset[str]] | None = None,
        said: Mapping[tuple[str, str], NeedScope] | None = None,
        usual: Mapping[str, NeedScope] | None = None,
    ) -> None:
        """``awaited``: what a key waits for where that changes too, without needing what that needs.

        ``said``: how much of a component (second) a key (first) needs; ``usual``: what others need of it.
        """
        self.graph, self._awaited, self._said, self._usual = graph, awaited or {}, said or {}, usual or {}
        whole = {key: {*graph.get(key, ()), *self._awaited.get(key, ())} for key in {*graph, *self._awaited}}
        try:
            ordered = list(graphlib.TopologicalSorter(whole).static_order())
        except graphlib.CycleError as error:
            raise InputError(
                "services need each other in a circle",
                why=" <- ".join(error.args[1]),
                fix="break the circle in one service.yml",
            ) from error
        self.level: dict[str, int] = {}
        for key in ordered:
            self.level[key] = max((self.level[before] + 1 for before in whole.get(key, ())), default=0)
        self._needed: dict[str, tuple[frozenset[str], frozenset[str]]] = {}

    def scope(self, key: str, before: str) -> NeedScope:
        """Return how much of what comes before a key must have succeeded, on all nodes together."""
        if before in self._awaited.get(key, ()):
            return "all"
        return self._said.get((key, before)) or self._usual.get(before, "all")

    def predecessors(self, key: str) -> set[str]:
        """Return everything that comes before a key."""
        found: set[str] = set()
        todo = list(self.graph.get(key, ()))
        while todo:
            one = todo.pop()
            if one not in found:
                found.add(one)
                todo += self.graph.get(one, ())
        return found

    def needed(self, key: str) -> tuple[frozenset[str], frozenset[str]]:
        """Return the keys that must succeed before this one: on the same node only, and on every node.

        What another node needs for itself is that node's business: if it fails there, the steps that fail with it count.
        """
        if key not in self._needed:
            seen: set[tuple[str, bool]] = set()
            todo = [(key, True)]
            while todo:
                one, here = todo.pop()
                for before, local in self.graph.get(one, {}).items():
                    state = (before, here and local)
                    if (here or not local) and state not in seen:
                        seen.add(state)
                        todo.append(state)
            everywhere = frozenset(one for one, here in seen if not here) | self._awaited.get(key, frozenset())
            self._needed[key] = (frozenset(one for one, here in seen if here) - everywhere, everywhere)
        return self._needed[key]


def order_of(catalogue: Catalogue, placement: Placement) -> Order:
    """Build the order of everything that is deployed.

    Raises ``InputError`` naming the circle when services need each other.
    """
    deployed = {one.component for one in placement.placed}
    services = {one.service for one in placement.placed}
    host = sorted(name for name in deployed if catalogue.component(name)[1].kind == "host")
    checks = _answering_checks(catalogue, deployed)
    awaited = {component(name): checks for name in sorted(deployed) if catalogue.component(name)[1].balances}
    graph: Graph = {IMAGES: {component(name): True for name in host}}
    for name in sorted(deployed):
        spec = catalogue.component(name)[1]
        graph[component(name)] = _needs(spec.needs, deployed)
        if spec.kind == "container":
            graph[prepare(name)] = {IMAGES: True}
            graph[component(name)] |= {prepare(name): True}
    for name in sorted(services):
        _add_jobs(graph, catalogue, name, deployed)
        _add_resources(graph, catalogue, name, deployed)
    return Order(
        graph,
        awaited,
        dict(_said(catalogue, services)),
        {component(name): _usual(catalogue, name) for name in deployed},
    )


def _said(catalogue: Catalogue, services: Iterable[str]) -> Iterator[tuple[tuple[str, str], NeedScope]]:
    for service in services:
        spec = catalogue.services[service]
        needs = [(component(name), one.needs) for name, one in spec.components.items()]
        for key, these in [*needs, *((job(one.name), one.needs) for one in spec.jobs)]:
            yield from (((key, component(need.component)), need.scope) for need in these if need.scope)


def _usual(catalogue: Catalogue, name: str) -> NeedScope:
    spec = catalogue.component(name)[1]
    return "all" if spec.kind == "host" else "quorum" if spec.quorum else "any"


def _answering_checks(catalogue: Catalogue, deployed: set[str]) -> frozenset[str]:
    """Keys of the components that answer checks for others: a balancer that asks too early takes away members that work."""
    ports = {port.name: (name, port) for name in sorted(deployed) for port in catalogue.component(name)[1].ports}
    asked = [port.frontend.check_port for _, port in ports.values() if port.frontend and port.frontend.check_port]
    return frozenset(component(ports[name][0]) for name in asked if name in ports)


def _needs(needs: Iterable[Need], deployed: set[str]) -> dict[str, bool]:
    return {component(need.component): need.scope == "same-node" for need in needs if need.component in deployed}


def _add_jobs(graph: Graph, catalogue: Catalogue, service: str, deployed: set[str]) -> None:
    spec = catalogue.services[service]
    owners = {resource.kind: resource.kind.partition(".")[0] for resource in spec.resources}
    owners |= {kind.partition(".")[2]: owner for kind, owner in owners.items()}
    for one in spec.jobs:
        if one.home not in deployed:
            continue
        before = _needs(one.needs, deployed) | {prepare(one.home): True}
        before |= {job(name): False for name in one.after}
        before |= {resources(service, owners[kind]): False for kind in one.resources}
        graph.setdefault(job(one.name), {}).update(before)
        for name in one.before:
            if name in deployed:
                graph[component(name)][job(one.name)] = False


def _add_resources(graph: Graph, catalogue: Catalogue, service: str, deployed: set[str]) -> None:
    own = catalogue.services[service].owns
    if own and own.component in deployed:  # deletions of what nothing declares any more, if it declares none itself
        graph.setdefault(resources(service, service), {})[component(own.component)] = False
    for owner in dict.fromkeys(resource.kind.partition(".")[0] for resource in catalogue.services[service].resources):
        owns = catalogue.services[owner].owns if owner in catalogue.services else None
        if owns is None or owns.component not in deployed:
            continue
        key = resources(service, owner)
        graph.setdefault(key, {})[component(owns.component)] = False
        if owner != service and any(one.kind.startswith(f"{owner}.") for one in catalogue.services[owner].resources):
            graph[key][resources(owner, owner)] = False  # such as the roles that others assign
        for name in catalogue.services[service].components:
            if name in deployed and not _reaches(graph, component(owns.component), component(name)):
                graph[component(name)][key] = False


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
