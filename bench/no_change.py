"""What it costs to learn that nothing changed: ``scs-deploy plan`` beside ``ansible -m ping`` on the same nodes, in turns.

Usage: python -m bench.no_change REGION [ROUNDS]. The region must be deployed. Prints the median wall time and the controller's CPU time of
both, and their ratio.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from scs_deploy.operations.site import find_site

BIN = Path(sys.executable).parent


def measured(argv: list[str], folder: Path) -> tuple[float, float]:
    """Return wall and CPU seconds of a command that must succeed."""
    began, before = time.monotonic(), os.times()
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    after = os.times()
    if done.returncode:
        sys.exit(f"{' '.join(argv)} failed:\n{done.stdout}{done.stderr}")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return time.monotonic() - began, cpu


def main() -> None:
    region, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    root = Path(__file__).resolve().parent.parent
    site = find_site(region)
    commands = {
        "ansible -m ping": [
            str(BIN / "ansible"),
            "all",
            "-i",
            str(site.folder / "region.yml"),
            "-m",
            "ansible.builtin.ping",
        ],
        "scs-deploy plan": [str(BIN / "scs-deploy"), "plan", "-r", str(site.folder), "--detailed-exitcode"],
    }
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, argv in commands.items():
            results[name].append(measured(argv, root))
    medians = {
        name: tuple(statistics.median(column) for column in zip(*rows, strict=True)) for name, rows in results.items()
    }
    nodes, instances = len(site.nodes), len(site.placement.placed)
    print(f"{nodes} nodes, {instances} instances, {rounds} rounds in turns; medians")
    for name, (wall, cpu) in medians.items():
        print(f"  {name:16} {wall:6.2f} s wall  {cpu:6.2f} s CPU")
    (ping_wall, ping_cpu), (plan_wall, plan_cpu) = medians.values()
    print(f"  ratio            {plan_wall / ping_wall:6.2f}        {plan_cpu / ping_cpu:6.2f}")


if __name__ == "__main__":
    main()
