"""Whether nodes are fit for what the region wants of them: they are looked at, and nothing is changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from scs_deploy.errors import Finding
from scs_deploy.nodes.fleet import NOTHING, Fleet, Look
from scs_deploy.operations.site import Site
from scs_deploy.operations.store import Store
from scs_deploy.preflight import Subject, WantedPort, between, evaluate
from scs_deploy.region.region import Node
from scs_deploy.render import Given, unfit
from scs_deploy.render.context import address_on


def check(site: Site, store: Store, fleet: Fleet) -> tuple[Look, list[Finding]]:
    """Return what nodes said and what would hinder a deployment, each finding with its cause and what to do."""
    kept = store.facts(site.nodes)
    look = fleet.look(list(site.nodes), NOTHING, kept)
    facts = {name: one["facts"] for name, one in {**kept, **look.facts}.items()}
    called: dict[str, list[str]] = {}
    for name in look.observed:
        called.setdefault(facts[name]["hostname"], []).append(name)
    findings: list[Finding] = []
    for name, answer in look.observed.items():
        node = site.nodes[name]
        if node.state == "absent":
            continue
        subject = Subject(
            node,
            {str(key): network for key, network in site.region.networks.items()},
            facts[name],
            answer.live,
            look.clocks.get(name, 0.0),
            tuple(called[facts[name]["hostname"]]),
            tuple(_ports(site, node, answer.unexpected.instances)),
        )
        findings += evaluate(subject)
        given = Given(site.topology, site.templates, {}, {}, {name: subject.facts})
        findings += [one for placed in site.placement.on(name) for one in unfit(given.scope(placed))]
    return look, [*findings, *between.run(site.region, fleet.connections)]


def _ports(site: Site, node: Node, managed: Collection[str]) -> Iterator[WantedPort]:
    for placed in site.placement.on(node.name):
        for port in site.catalogue.component(placed.component)[1].ports:
            if not port.last:  # of a range, what is free is taken
                address = address_on(node, port.network)
                yield WantedPort(placed.name, port.protocol, address, port.port, placed.name in managed)
