"""Writes docs/plan.svg, the picture in README.md: what the program prints of a plan of inventories/box after two edits of its region.yml."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from proofs.world import World, real
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.mask import mask
from scs_deploy.cli.plan_text import print_plan
from scs_deploy.plan.plan import Plan
from scs_deploy.render.digests import content
from scs_deploy.secrets.generate import generate

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "plan.svg"
COLUMNS = 100
EDITS = """services:
  mariadb:
    settings: {max_connections: 700}
  keystone:
    config:
      /etc/keystone/keystone.conf: {options: {database: {max_pool_size: 10}}}
"""


def worlds() -> tuple[World, World]:
    """The region before and after the edits, with secrets of its own."""
    before, after = real(), real(("services:\n", EDITS))
    for service in before.catalogue.services.values():
        before.secrets.update({name: generate(name, spec) for name, spec in service.secrets.items()})
    after.secrets = before.secrets
    return before, after


def plan(before: World, after: World) -> Plan:
    """The plan for a node on which all is as the region file said before the edits."""
    return after.plan(answers(before, after))


def answers(before: World, after: World) -> dict[str, dict]:
    """What nodes answer when asked for ``after``: of a file that differs, its content as the node's module masks it."""
    found = before.observed()
    for node in before.desired.instances:
        for one in before.desired.on(node):
            wanted = after.sealed.files[one.id]
            found[node]["instances"][one.name]["files"] = {
                file.path: {
                    "state": "differs",
                    "text": mask(content(file, before.desired, before.resolve), file.masked),
                }
                for file in one.files
                if before.sealed.files[one.id][file.path] != wanted[file.path]
            }
    return found


def drawn(shown: Plan) -> str:
    console = Console(record=True, width=COLUMNS, highlight=False, emoji=False, file=io.StringIO(), force_terminal=True)
    console.print("[bold]$ scs-deploy plan -r box[/bold]")
    print_plan(console, shown)
    return console.export_svg(title="scs-deploy")


if __name__ == "__main__":
    PICTURE.write_text(drawn(plan(*worlds())), encoding="utf-8")
