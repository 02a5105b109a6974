"""From a region, what is kept of it and what its nodes say to a plan, from top to bottom. Nothing is changed on nodes or in the folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from scs_deploy.nodes import clocks
from scs_deploy.nodes.answers import OnNode
from scs_deploy.nodes.fleet import NOTHING, Fleet, KnownFacts, Look
from scs_deploy.operations import certificates
from scs_deploy.operations.site import Site
from scs_deploy.operations.store import Store
from scs_deploy.operations.values import resolver
from scs_deploy.plan import make
from scs_deploy.plan.plan import Plan
from scs_deploy.render import ImageChoice, Renderer
from scs_deploy.render.desired import Desired
from scs_deploy.render.digests import Sealed, seal
from scs_deploy.secrets import Preview, account_names, pki


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a region is asked for: nodes (or their groups and racks), services; none: all."""

    limit: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    purge: bool = False
    """Data of what is removed goes too."""
    resources: bool = True
    """Whether what is behind APIs is looked at; a plan says nothing of it otherwise."""


WHOLE = Scope()

Images = Mapping[str, ImageChoice]
"""name -> what images.lock says of it"""


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and what it was made of."""

    plan: Plan
    sealed: Sealed
    look: Look
    scope: Scope
    preview: Preview | None
    """None: nothing is wanted, so no secret is needed."""
    rounds: int = 1
    """How often nodes were asked."""


def make_plan(
    site: Site, store: Store, preview: Preview, fleet: Fleet, scope: Scope = WHOLE, progress: OnNode | None = None
) -> Planned:
    """Look at every node of ``scope`` once, and once more at those whose facts were not known or have changed.

    Raises ``UsageError`` for unknown names, ``InputError`` for what cannot be rendered; nodes that do not answer are in the plan.
    """
    site.check_services(scope.services)
    nodes, images, facts = site.limited(scope.limit), store.images(), store.facts(site.nodes)

    strangers = [name for name, node in nodes.items() if node.state != "absent" and name not in facts]
    met = fleet.look(strangers, NOTHING, facts, progress)
    store.keep_facts(met.facts)
    facts |= met.facts

    sealed = wanted(site, images, preview, facts)
    known = [name for name in nodes if name not in met.unreachable]
    seen = fleet.look(known, sealed, facts, progress, resources=scope.resources)
    if changed := seen.facts:
        store.keep_facts(changed)
        facts |= changed
        sealed = wanted(site, images, preview, facts)
        seen = seen.then(fleet.look(list(changed), sealed, facts, progress, resources=scope.resources))

    silent = {**seen.unreachable, **met.unreachable}
    gone = [name for name in silent if site.nodes[name].state == "absent"]
    lost = {name: why for name, why in silent.items() if name not in gone}
    found = Look(seen.observed, lost, {**met.clocks, **seen.clocks})
    plan = compared(site, sealed, found, scope, preview)
    away = tuple(f"node {name} is absent and does not answer: what is left on it cannot be removed" for name in gone)
    plan = replace(plan, notes=(*away, *plan.notes))
    return Planned(plan, sealed, found, scope, preview, 1 + bool(strangers) + bool(changed))


def plan_removal(site: Site, store: Store, fleet: Fleet, purge: bool = False) -> Planned:
    """Look at all nodes as if nothing were wanted on them: all that is managed there is then unexpected."""
    found = fleet.look(list(site.nodes), NOTHING, store.facts(site.nodes))
    scope = Scope(purge=purge)
    return Planned(compared(site, NOTHING, found, scope, None), NOTHING, found, scope, None)


def desired(site: Site, store: Store, preview: Preview) -> Desired:
    """Render the nodes whose facts are known; none is looked at."""
    return render(site, store.images(), preview, store.facts(site.nodes))


def render(site: Site, images: Images, preview: Preview, facts: KnownFacts) -> Desired:
    known = {name: one["facts"] for name, one in facts.items()}
    return Renderer(site.topology, site.templates, images, preview.keys, known, preview.standings).render()


def wanted(site: Site, images: Images, preview: Preview, facts: KnownFacts) -> Sealed:
    """Desired state of the nodes whose facts are known, with its digests."""
    rendered = render(site, images, preview, facts)
    return seal(rendered, resolver(site.region, preview, rendered))


def compared(site: Site, sealed: Sealed, look: Look, scope: Scope, preview: Preview | None) -> Plan:
    """The difference between what is wanted and what nodes said, with notes on what a person should know beside it."""
    limit = tuple(site.limited(scope.limit)) if scope.limit else ()
    plan = make.make_plan(
        make.Inputs(
            site.region, sealed, site.order, look.observed, look.unreachable, limit, scope.services, scope.purge
        )
    )
    now = preview.clock() if preview else pki.utc_now()
    notes = (
        *clocks.notes(look.clocks),
        *certificates.notes(site.region, look.observed, now),
        *(account_names.notes(preview.standings) if preview else ()),
    )
    return replace(plan, notes=(*plan.notes, *notes))
