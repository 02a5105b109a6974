"""Scripted changes of a deployed region, one after the other: does plan say what apply does, and do the nodes tell the same?

Usage: python -m proofs.changes [--write] [--story NAME]... [--name NAME] [--subnet N]. Root is needed; images are built when they are missing.

A lab with the core services is deployed. For each change of ``proofs/witness/stories.py`` the steps of ``plan --json`` are compared with
those in the events of ``apply``, and both with what the nodes tell: the listing of their files before and after (every file outside
service data, logs and the engine's store) and their journals (starts, stops, reloads of units; containers by the engine's events).
``--write`` puts the table into docs/measurements, with ``--story`` only that story's rows. ``SCS_TEST_KEEP=1`` uses a deployment again and leaves it running.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from proofs import pages
from proofs.deployment import deployed
from proofs.witness.change import ChangeRow
from proofs.witness.stories import STORIES, play, prepare

PAGE, TABLE, EQUAL = "changes", "core", "equal"
HEAD = (
    "change",
    "",
    "steps: planned / applied",
    "files: planned / written",
    "starts, stops, reloads: planned / seen",
    "verdict",
)


def cells(row: ChangeRow) -> Sequence[str]:
    return (
        row.change.kind,
        row.change.name,
        f"{row.steps} / {row.applied}",
        f"{row.written[0]} / {row.written[1]}",
        f"{row.started[0]} / {row.started[1]}",
        EQUAL if not row.wrong else "**differs**",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the table into docs/measurements")
    parser.add_argument("--story", action="append", choices=[story.name for story in STORIES], help="only this one")
    parser.add_argument("--name", default="changes", help="of the region")
    parser.add_argument("--subnet", type=int, default=63, help="10.N.x.0/24")
    asked = parser.parse_args()
    rows: list[ChangeRow] = []
    with deployed(asked.name, asked.subnet) as cloud:
        site = prepare(cloud)
        for story in STORIES:
            if asked.story and story.name not in asked.story:
                continue
            began = time.monotonic()
            for row in play(site, story):
                rows.append(row)
                print(f"{time.monotonic() - began:6.0f} s  {' | '.join(cells(row))}", flush=True)
                for what in row.wrong:
                    print(f"          {what}", flush=True)
    found = [cells(row) for row in rows]
    if asked.write:
        order = [(change.kind, change.name) for story in STORIES for change in story.changes]
        found = pages.merged(PAGE, TABLE, found, order)
        pages.keep(PAGE, {TABLE: pages.table(HEAD, found, verdict(found))})
    print(f"\n{pages.markdown(HEAD, found)}\n\n{verdict(found)}")
    return 1 if any(row.wrong for row in rows) else 0


def verdict(rows: Sequence[Sequence[str]]) -> str:
    right = sum(row[-1] == EQUAL for row in rows)
    return f"{right} of {len(rows)} changes: plan, report and nodes agree."


if __name__ == "__main__":
    sys.exit(main())
