"""The command preflight: are the nodes fit for what the region wants of them?"""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.markup import escape

from scs_deploy.cli import common
from scs_deploy.cli.common import JsonOption, RegionOption
from scs_deploy.errors import DeployError
from scs_deploy.operations.incomplete import unreachable_error
from scs_deploy.operations.preflight import check
from scs_deploy.operations.reach import reach
from scs_deploy.operations.store import Store

_STYLES = {"error": "red", "warning": "yellow", "info": "dim"}


def register(app: typer.Typer) -> None:
    app.command()(preflight)


def preflight(region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Look at the nodes and tell what would hinder a deployment: each finding with its cause and what to do.

    Exits with 1 when there is an error among the findings. Changes nothing.
    """
    site = common.site(region)
    with reach(site.region) as fleet:
        found, findings = check(site, Store.of(site.region), fleet)
    if as_json:
        common.print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            style = _STYLES[finding.severity]
            common.out.print(f"[{style}]{finding.severity:7}[/{style}] {escape(str(finding))}")
        errors = sum(finding.severity == "error" for finding in findings)
        nodes = len(found.observed)
        common.out.print(
            f"{nodes} node{'s' * (nodes != 1)} looked at: {errors} errors, {len(findings) - errors} other findings"
        )
    if found.unreachable:
        raise unreachable_error(found.unreachable)
    if any(finding.severity == "error" for finding in findings):
        raise DeployError(
            "some nodes are not fit", fix="repair what is listed as error above, then run preflight again"
        )
