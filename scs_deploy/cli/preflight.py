"""The command preflight: are the nodes fit for what the region wants of them?"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict

import typer
from rich.markup import escape

from scs_deploy.cli import common
from scs_deploy.cli.common import JsonOption, RegionOption
from scs_deploy.errors import DeployError, Finding
from scs_deploy.operations.session import Session, unreachable_error
from scs_deploy.preflight import Subject, WantedPort, between, evaluate
from scs_deploy.region.region import Node
from scs_deploy.render import Given, unfit
from scs_deploy.render.context import address_on

_STYLES = {"error": "red", "warning": "yellow", "info": "dim"}


def register(app: typer.Typer) -> None:
    app.command()(preflight)


def preflight(region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Look at the nodes and tell what would hinder a deployment: each finding with its cause and what to do.

    Exits with 1 when there is an error among the findings. Changes nothing.
    """
    session = common.session(region)
    observation = session.destruction()
    findings: list[Finding] = []
    facts = {
        name: found for name, answer in observation.observed.items() if (found := answer.facts or session.facts(name))
    }
    called: dict[str, list[str]] = {}
    for name, one in facts.items():
        called.setdefault(one["hostname"], []).append(name)
    for name, answer in observation.observed.items():
        node = session.nodes[name]
        if node.state == "absent":
            continue
        subject = Subject(
            node,
            {str(key): network for key, network in session.region.networks.items()},
            facts[name],
            answer.live,
            observation.clocks.get(name, 0.0),
            tuple(called[facts[name]["hostname"]]),
            tuple(_ports(session, node, answer.unexpected.instances)),
        )
        findings += evaluate(subject)
        given = Given(session.topology, session.templates, {}, {}, {name: subject.facts})
        findings += [one for placed in session.placement.on(name) for one in unfit(given.scope(placed))]
    findings += between.run(session.region, session.connections)
    if as_json:
        common.print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            style = _STYLES[finding.severity]
            common.out.print(f"[{style}]{finding.severity:7}[/{style}] {escape(str(finding))}")
        errors = sum(finding.severity == "error" for finding in findings)
        nodes = len(observation.observed)
        common.out.print(
            f"{nodes} node{'s' * (nodes != 1)} looked at: {errors} errors, {len(findings) - errors} other findings"
        )
    if observation.unreachable:
        raise unreachable_error(observation.unreachable)
    if any(finding.severity == "error" for finding in findings):
        raise DeployError(
            "some nodes are not fit", fix="repair what is listed as error above, then run preflight again"
        )


def _ports(session: Session, node: Node, managed: Collection[str]) -> Iterable[WantedPort]:
    for placed in session.placement.on(node.name):
        for port in session.catalogue.component(placed.component)[1].ports:
            if not port.last:  # of a range, what is free is taken
                address = address_on(node, port.network)
                yield WantedPort(placed.name, port.protocol, address, port.port, placed.name in managed)
