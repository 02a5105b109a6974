"""Kills deployments at seeded moments, has them done again, and compares the end with that of an undisturbed run.

Usage: python -m proofs.kills [core|cloud] [--seed S] [--kills N] [--from K] [--write]

The region (name kill, or killcloud: everything a cloud has, 12 GiB of memory) is made in the state folder and deployed unless it
is; at the end, and on Ctrl-C, its lab is taken down, unless SCS_TEST_KEEP is set. First every target is reached without a kill: that
is what ends are compared with (docs/state-digest.md). Then a line per point: number, target, kill, the phase and the steps done when
it came, how often the same command was run again, verdict; a difference is told line by line. ``--from`` goes on where a walk was
interrupted, and counts what was visited before; it needs the region kept. ``--write`` puts the table into docs/measurements. Exits with 1 when one end differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from proofs import pages
from proofs.deployment import Cloud, deploy, remove, write_region
from proofs.kills import moment, points, targets, walk
from scs_deploy.machine.paths import state_dir

ROOT = Path(__file__).resolve().parents[2]

PAGE = "kills"
KEEP = "SCS_TEST_KEEP"
REGIONS = {"core": ("kill", 64, targets.CORE, 50), "cloud": ("killcloud", 65, targets.CLOUD, 10)}
"""Name, subnet, targets and how many points by default."""

WORKING = (moment.INSTANCE, moment.JOB, moment.RESOURCES)
COLUMNS = {
    "looking and planning": (points.OBSERVING,),
    "payload on its way": (points.SENDING,),
    "steps under way": WORKING,
    "all steps done, not recorded": (points.FINISHING,),
    "over before the kill": (moment.ENDED,),
}
"""Columns of the table, and the phases that they count."""

HEAD = ("kill", *COLUMNS, "points", "equal", "done after one more run", "seconds")

Rows = list[dict[str, Any]]


def say(text: str) -> None:
    print(text, flush=True)


def region(which: str) -> Cloud:
    """The deployed region; what exists is used again."""
    name, subnet, _, _ = REGIONS[which]
    folder = state_dir().parent / f"{state_dir().name}-regions" / name
    deployed = (folder / "images.lock").exists()
    cloud = Cloud(write_region(folder, name, subnet, whole=which == "cloud"))
    if deployed:
        cloud.run("lab", "up", code=0)
        cloud.run("image", "build", code=0, timeout=3600)
    else:
        deploy(cloud)
    return cloud


def carry_out(way: walk.Walk, chosen: Iterable[points.Point], seed: int, results: Path) -> None:
    """Visit points one by one; each outcome is kept at once."""
    for point in chosen:
        outcome = way.visit(point)
        say(str(outcome))
        with results.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"seed": seed, **outcome.as_json()}) + "\n")


def kept(results: Path, seed: int, count: int) -> Rows:
    """The last outcome of each of the first ``count`` points of a seed that was visited, in this walk or an earlier one."""
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    found = {row["point"]["number"]: row for row in map(json.loads, lines) if row["seed"] == seed}
    return [found[number] for number in sorted(found) if number <= count]


def table(rows: Rows) -> list[pages.Row]:
    """For each kill how many points fell into which phase, and how many of all ended as an undisturbed run."""
    lines = []
    for kill, about in {**points.KILLS, "": "all"}.items():
        own = [row for row in rows if kill in ("", row["point"]["kill"])]
        if not own:
            continue
        phases = Counter(row["phase"] for row in own)
        name = f"{kill}: {about}" if kill else "**all**"
        counts = (sum(phases[phase] for phase in column) for column in COLUMNS.values())
        lines.append([name, *(str(count or "") for count in counts), *_verdicts(own)])
    return lines


def _verdicts(rows: Rows) -> tuple[str, ...]:
    equal, once = sum(not row["why"] for row in rows), sum(row["again"] == 1 for row in rows)
    return f"{len(rows)}", f"{equal}", f"{once}", f"{sum(row['seconds'] for row in rows) / len(rows):.0f}"


def summary(which: str, seed: int, rows: Rows, ends: Mapping[str, Any]) -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    reached = ", ".join(f"{name} {count}" for name, count in Counter(row["point"]["target"] for row in rows).items())
    return (
        f"{which.capitalize()}: {len(rows)} points of seed {seed} towards {len(ends)} states ({reached}); seconds are means of a whole "
        f"point; {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}, commit {commit.stdout.strip()}."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("region", nargs="?", choices=list(REGIONS), default="core")
    parser.add_argument("--seed", type=int, default=20260)
    parser.add_argument("--kills", type=int, help="how many points (default: 50 on the core, 10 on a cloud)")
    parser.add_argument("--from", type=int, dest="first", metavar="K", help="begin with point K of the seed")
    parser.add_argument("--write", action="store_true", help="put the table into docs/measurements")
    asked = parser.parse_args()
    walk.interruptible()
    count = asked.kills if asked.kills is not None else REGIONS[asked.region][3]
    every = list(points.points(asked.seed, count, list(REGIONS[asked.region][2])))
    began, cloud = time.monotonic(), region(asked.region)
    try:
        keep = cloud.store.state / "kills"
        way = walk.Walk(cloud, REGIONS[asked.region][2], keep, say)
        first = asked.first or 1
        if not (asked.first and way.load()):
            way.undisturbed()
        results = keep / "results.jsonl"
        if not asked.first:
            results.unlink(missing_ok=True)
        elif first <= count:
            way.go(way.targets[every[first - 2].target if first > 1 else targets.PLAIN.name])
        carry_out(way, every[first - 1 :], asked.seed, results)
        rows = kept(results, asked.seed, count)
    except KeyboardInterrupt:
        say("interrupted; go on with --from")
        return 130
    except walk.WalkError as error:
        say(str(error))
        return 1
    finally:
        if not os.environ.get(KEEP):
            remove(cloud)
    made = pages.table(HEAD, table(rows), summary(asked.region, asked.seed, rows, way.ends))
    for part in (*pages.tables({asked.region: made}), f"{time.monotonic() - began:.0f} s"):
        say(f"\n{part}")
    if asked.write:
        pages.keep(PAGE, {asked.region: made})
    return 1 if any(row["why"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
