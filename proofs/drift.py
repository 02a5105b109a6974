"""What is changed on a node by hand, one thing after the other: does drift find it without changing anything, and what repairs it?

Usage: python -m proofs.drift [--write] [--kind TEXT] [--name NAME] [--subnet N]. Root is needed; images are built when they are missing.

A lab with the core services is deployed. Each damage of ``proofs/witness/damage.py`` is done, found by ``scs-deploy drift`` (exit code 4, JSON,
metrics), repaired by ``apply``, and not found again. The node's own listing of files and its journal say that drift changed nothing, and what
the repair wrote and started. ``--write`` puts the table into docs/measurements, with ``--kind`` only those rows. ``SCS_TEST_KEEP=1`` uses a deployment again and leaves it running.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from proofs import pages
from proofs.deployment import Cloud, deployed
from proofs.witness import damage
from proofs.witness.damage import Damage
from proofs.witness.look import Happened, between, look, unchanged

PAGE, TABLE, RIGHT = "drift", "core", "found and repaired"
ON_NODE = (*damage.FILES, *damage.PROCESSES, *damage.LOADED, *damage.REPLACED, *damage.IMAGE, *damage.EDITED)
BEHIND_APIS = (*damage.DATABASE, *damage.CATALOGUE, *damage.QUEUE)
EVERY = (*ON_NODE, *BEHIND_APIS)
HEAD = ("kind", "done by hand", "drift says", "repaired by", "verdict")


def tried(cloud: Cloud, folder: Path, one: Damage) -> tuple[str, ...]:
    """Do it, find it, repair it; raises ``AssertionError`` where one of them is not as it should be."""
    node = cloud.node
    cloud.on_node(one.command)
    before = look(cloud.lab, node)
    steps = damage.drift(cloud, folder)
    after = look(cloud.lab, node, before)
    assert unchanged(between(before, after)), f"drift changed something: {between(before, after)}"
    assert one.step in steps, f"not found: {sorted(steps)}"
    step = steps[one.step]
    assert one.says in str(step), step
    damage.repaired(cloud, (one,))
    repair = between(after, look(cloud.lab, node, after))
    return said(step), by(repair, one), RIGHT


def said(step: dict[str, Any]) -> str:
    """The step, and the first thing that it says."""
    changes = [
        f"{Path(one['what']).name if one['what'][0] == '/' else one['what']}: {one['how']}" for one in step["changes"]
    ]
    first = [*step["reasons"], *changes] if step["restart"] else [*changes, *step["reasons"]]
    return f"{step['id']}: {first[0]}".replace("|", "\\|")[:110]


def by(repair: Happened, one: Damage) -> str:
    """What the node tells of the repair."""
    starts = sorted({unit.removesuffix(".service") for what, unit in repair.units if what == "start"})
    files = len(repair.written | repair.deleted)
    parts = [f"restart of {', '.join(starts)}"] if starts else ["no restart"]
    parts += [f"{files} file{'' if files == 1 else 's'}"] if files else []
    parts += ["API"] if one.repair == "api" else []
    return ", ".join(parts)


def groups(cloud: Cloud) -> Iterator[tuple[Damage, ...]]:
    with cloud.services(keystone={"settings": {"notifications": True}}):
        cloud.apply()
        yield BEHIND_APIS
    cloud.apply()
    yield ON_NODE


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the table into docs/measurements")
    parser.add_argument("--kind", default="", help="only kinds with this in their name")
    parser.add_argument("--name", default="drift", help="of the region")
    parser.add_argument("--subnet", type=int, default=64, help="10.N.x.0/24")
    asked = parser.parse_args()
    rows: list[Sequence[str]] = []
    wrong = 0
    with deployed(asked.name, asked.subnet) as cloud, tempfile.TemporaryDirectory() as folder:
        for damages in groups(cloud):
            for one in damages:
                if asked.kind not in one.kind:
                    continue
                try:
                    row = (one.kind, one.what, *tried(cloud, Path(folder), one))
                except AssertionError as error:
                    wrong += 1
                    print(error, flush=True)
                    row = (one.kind, one.what, "", "", "**failed**")
                    cloud.run("apply", "--yes")
                rows.append(row)
                print(" | ".join(row), flush=True)
    if asked.write:
        order = [(one.kind, one.what) for one in EVERY]
        rows = pages.merged(PAGE, TABLE, rows, order)
        pages.keep(PAGE, {TABLE: pages.table(HEAD, rows, verdict(rows))})
    print(f"\n{pages.markdown(HEAD, rows)}\n\n{verdict(rows)}")
    return 1 if wrong else 0


def verdict(rows: Sequence[Sequence[str]]) -> str:
    right = sum(row[-1] == RIGHT for row in rows)
    return f"{right} of {len(rows)} found and repaired; drift itself wrote and started nothing."


if __name__ == "__main__":
    sys.exit(main())
