"""Cross-checks of who runs where: groups, quorums and what one rack, fire zone or power feed takes with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from scs_deploy.catalogue.load import Catalogue
from scs_deploy.catalogue.service import Component
from scs_deploy.documents.findings import choose, suggest
from scs_deploy.documents.source import PathTuple, Source
from scs_deploy.errors import Finding, Severity
from scs_deploy.region.rack import NodeSection, RackSection
from scs_deploy.region.region import RegionSection
from scs_deploy.region.services import merged
from scs_deploy.region.settings import is_enabled

RACKS: PathTuple = ("racks",)


@dataclass(frozen=True, slots=True)
class _Member:
    """A node that counts."""

    path: PathTuple
    rack: RackSection
    node: NodeSection

    @property
    def feeds(self) -> tuple[str, ...]:
        return self.rack.feeds if self.node.feeds is None else self.node.feeds

    def domain(self, kind: str) -> str:
        if kind == "node":
            return self.node.name
        return self.rack.fire_zone or self.rack.name if kind == "fire_zone" else self.rack.name


def check_placement(source: Source, region: RegionSection, catalogue: Catalogue) -> Iterator[Finding]:
    members = [
        _Member((*RACKS, number, "nodes", index), rack, node)
        for number, rack in enumerate(region.racks)
        for index, node in enumerate(rack.nodes)
        if node.state != "absent"
    ]
    groups: dict[str, list[_Member]] = {"all": members}
    for member in members:
        for group in dict.fromkeys(member.node.groups):
            groups.setdefault(group, []).append(member)
    empty: dict[str, list[str]] = {}
    for name, service in catalogue.services.items():
        if not is_enabled(region, catalogue, name):
            continue
        for component_name, component in service.components.items():
            carriers = _carriers(groups, component)
            if not carriers and not component.when:
                empty.setdefault(component.groups_text, []).append(component_name)
            elif component.quorum:
                yield from _quorum(source, region, component_name, component, carriers)
        yield from _failure_domains(source, region, catalogue, name, groups)
    yield from _groups(source, region, catalogue, groups, empty)


def _carriers(groups: Mapping[str, list[_Member]], component: Component) -> list[_Member]:
    """The nodes of its groups, each once, in the order of the file."""
    return sorted(
        {member.path: member for group in component.groups for member in groups.get(group, [])}.values(),
        key=lambda member: member.path[1::2],
    )


def _groups(
    source: Source,
    region: RegionSection,
    catalogue: Catalogue,
    groups: Mapping[str, object],
    empty: Mapping[str, list[str]],
) -> Iterator[Finding]:
    used = {
        group
        for service in catalogue.services.values()
        for component in service.components.values()
        for group in component.groups
    }
    for group, components in empty.items():
        close = suggest(group, groups.keys() - used)
        why = f"needed by {', '.join(components[:5])}" + (" and more" if len(components) > 5 else "")
        fix = (
            f"is {close} meant to be {group}?"
            if close
            else f"add {group} to the groups of a node, or disable the service"
        )
        yield source.finding(RACKS, f"no node is in the group {group}", why=why, fix=fix, key=True)
    known = sorted(used - {"all"})
    seen: set[str] = set()
    for number, rack in enumerate(region.racks):
        for index, node in enumerate(rack.nodes):
            for position, group in enumerate(node.groups):
                if group in used - {"all"} or group in seen:
                    continue
                seen.add(group)
                path = (*RACKS, number, "nodes", index, "groups", position)
                what = "every node is in the group all" if group == "all" else f"no service uses the group {group}"
                yield source.finding(path, what, fix=choose(group, known), severity="warning")


def _quorum(
    source: Source, region: RegionSection, name: str, component: Component, carriers: list[_Member]
) -> Iterator[Finding]:
    count = len(carriers)
    size = count if component.cardinality == "all" else 1 if component.cardinality == "one" or count < 3 else 3
    who = ", ".join(source.line_of((*member.path, "name")) + f" {member.node.name}" for member in carriers[:7])
    why = f"members of its group {component.groups_text}: {who}"
    if size % 2 == 0 and size:
        what = f"{name} would have {size} members, an even number: half of them cannot outvote the other half"
        yield source.finding(
            RACKS,
            what,
            why=why,
            fix=f"put {size - 1} or {size + 1} nodes in the group {component.groups_text}",
            key=True,
        )
    elif component.cardinality == "odd" and count == 2:
        what = f"{name} has one member only: two nodes give no quorum that survives a loss"
        yield source.finding(
            RACKS,
            what,
            why=why,
            fix=f"put a third node in the group {component.groups_text}",
            key=True,
            severity="warning",
        )
    if size < 3:
        return
    may_lose = (size - 1) // 2
    for kind, word in (("rack", "rack"), ("fire_zone", "fire zone")):
        there = {_Member(RACKS, rack, rack.nodes[0]).domain(kind) for rack in region.racks if rack.nodes}
        if kind == "fire_zone" and not any(rack.fire_zone for rack in region.racks):
            continue
        held = Counter(member.domain(kind) for member in carriers)
        largest = _best_spread(size, held.values())
        if largest > may_lose:
            avoidable = largest > -(-size // max(1, len(there)))
            yield _loss(source, name, word, held.most_common(1)[0], size, why, "error" if avoidable else "warning")
    yield from _feeds(source, region, name, component, carriers, size, why)


def _best_spread(size: int, counts: Iterable[int]) -> int:
    """Members in the fullest place when ``size`` are picked as evenly as these places allow."""
    available = list(counts)
    limit = 1
    while sum(min(count, limit) for count in available) < size:
        limit += 1
    return limit


def _feeds(
    source: Source, region: RegionSection, name: str, component: Component, carriers: list[_Member], size: int, why: str
) -> Iterator[Finding]:
    single = Counter(member.feeds[0] for member in carriers if len(set(member.feeds)) == 1)
    redundant = len(carriers) - sum(single.values())
    may_lose = (size - 1) // 2
    if not single or redundant + sum(min(count, may_lose) for count in single.values()) >= size:
        return
    feeds = {feed for rack in region.racks for feed in rack.feeds}
    yield _loss(
        source, name, "power feed", single.most_common(1)[0], size, why, "error" if len(feeds) > 1 else "warning"
    )


def _loss(
    source: Source, name: str, word: str, worst: tuple[str, int], size: int, why: str, severity: Severity
) -> Finding:
    what = f"one {word} can take away the quorum of {name}: {worst[0]} holds {worst[1]} of {size} members"
    fix = f"spread them over {'feeds' if word == 'power feed' else word + 's'}"
    if severity == "warning":
        fix = f"add another {word} for some of them if this loss must be survived"
    return source.finding(RACKS, what, why=why, fix=fix, key=True, severity=severity)


def room(domains: Iterable[str], nodes: Iterable[str]) -> tuple[int, str]:
    """How many copies find a place of their own: one per failure domain, or per node where all nodes are in one."""
    apart, single = len(set(domains)), len(set(nodes))
    if apart > 1:
        return apart, f"{apart} failure domains"
    return single, "one node" if single == 1 else f"{single} nodes, all in one failure domain"


def _failure_domains(
    source: Source, region: RegionSection, catalogue: Catalogue, name: str, groups: Mapping[str, list[_Member]]
) -> Iterator[Finding]:
    """Settings marked ``x-max-failure-domains: <component>``: copies beyond them have no place to go."""
    service = catalogue.services[name]
    said = region.services[name].settings if name in region.services else {}
    settings = merged(catalogue.default_settings(name), said)
    for key, schema in service.settings.items():
        component = schema.get("x-max-failure-domains")
        if component is None or not isinstance(settings.get(key), int):
            continue
        carriers = _carriers(groups, service.components[component])
        domains = [member.domain(region.failure_domain) for member in carriers]
        most, places = room(domains, [member.node.name for member in carriers])
        if carriers and settings[key] > most:
            what = f"{name}.{key} is {settings[key]}, but {component} has {places}"
            why = f"failure_domain is {region.failure_domain}"
            why += (
                f" at {source.line_of(('failure_domain',))}"
                if "failure_domain" in region.model_fields_set
                else " by default"
            )
            path: PathTuple = ("services", name, "settings", key) if key in said else RACKS
            fix = f"set services.{name}.settings.{key} to {most}, or add nodes in other failure domains"
            yield source.finding(path, what, why=why, fix=fix, key=path == RACKS)
