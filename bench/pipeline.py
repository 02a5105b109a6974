"""How long the pure pipeline takes (load, place, render, seal, observe payloads, plan) for generated regions: ``pipeline.py [NODES...]``.

Nodes are simulated: their answers are built from the questions, everything as wanted, so that the plan must be empty; then
every node answers as if one setting had changed on all of them. Certificates count as known, as they are after the first run.
Prints seconds per stage, per node, and the peak memory of the process; ``--profile`` adds where the time goes.
"""

from __future__ import annotations

import cProfile
import pstats
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "inventories"), str(ROOT / "tests/unit")]

import generate_region  # noqa: E402
from world import facts, matching  # noqa: E402

from scs_deploy import payload  # noqa: E402
from scs_deploy.catalogue.load import load_catalogue  # noqa: E402
from scs_deploy.context import Topology  # noqa: E402
from scs_deploy.diff import Inputs, make_plan  # noqa: E402
from scs_deploy.model.load import load_region  # noqa: E402
from scs_deploy.order import order_of  # noqa: E402
from scs_deploy.placement import place  # noqa: E402
from scs_deploy.releases import load_users  # noqa: E402
from scs_deploy.render import ImageChoice, Renderer  # noqa: E402
from scs_deploy.seal import seal  # noqa: E402
from scs_deploy.templates import TemplateSet  # noqa: E402

GOALS = {300: 10.0, 1000: 35.0}
"""Nodes -> seconds that observing everything as settled may cost the controller, Ansible not counted."""


def known_facts(address: str) -> dict[str, Any]:
    """Facts as the node side gathers them."""
    return facts(address, 256 * 1024) | {
        "os": {"id": "debian", "version": "13", "codename": "trixie"},
        "clock_settable": True,
        "limits": {"nofile": 524288, "nproc": 1029000},
        "engines": {"podman": "5.4.2"},
        "kernel_features": {},
        "virtualization": "none",
    }


class Timer:
    """Seconds per named stage."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.stages[name] = time.perf_counter() - began

    @property
    def total(self) -> float:
        return sum(self.stages.values())


def pipeline(nodes: int, timer: Timer) -> None:
    """Run everything that one ``plan`` of a settled region costs, then one in which every node differs."""
    with tempfile.TemporaryDirectory() as folder:
        generate_region.write(Path(folder), nodes)
        with timer.stage("load"):
            catalogue = load_catalogue([ROOT / "roles"])
            region = load_region(Path(folder), catalogue)
    with timer.stage("place"):
        placement = place(region, catalogue, {})
        order = order_of(catalogue, placement)
    images = {name: ImageChoice(name, name, "1") for one in catalogue.services.values() for name in one.images}
    mappings = {"fernet": ("0", "1"), "ssh-key": ("private", "public")}
    secrets = {name: spec.type for one in catalogue.services.values() for name, spec in one.secrets.items()}
    keys = {name: mappings[kind] for name, kind in secrets.items() if kind in mappings}
    known = {node.name: known_facts(str(node.addresses["api"].v4)) for node in region.nodes}
    with timer.stage("render"):
        topology = Topology(region, catalogue, placement, load_users())
        desired = Renderer(topology, TemplateSet.load(catalogue), images, keys, known).render()
    certificate = dict.fromkeys(("ca", "cert", "key", "bundle"), "x" * 2000)

    def resolver(name: str) -> str | dict[str, str]:
        return certificate if name.startswith("cert:") else dict.fromkeys(keys[name], "y") if name in keys else "z"

    with timer.stage("seal"):
        sealed = seal(desired, resolver)
    with timer.stage("questions"):
        for node in region.nodes:
            payload.observe(node.name, node.engine, sealed, "")
    observed = {node.name: matching(node.name, sealed) for node in region.nodes}
    with timer.stage("plan"):
        plan = make_plan(Inputs(region, sealed, order, observed, {}))
    assert plan.empty, plan.summary()
    for answer in observed.values():
        for one in answer["instances"].values():
            if one["running"]:
                one["running"]["start"] = "older"
    with timer.stage("plan of change"):
        plan = make_plan(Inputs(region, sealed, order, observed, {}))
        _ = plan.digest
    with timer.stage("payloads of change"):
        for wave in plan.waves:
            for name in wave.nodes:
                payload.converge("r", wave, name, "podman", "me", sealed, resolver, False)
    print(f"    {len(placement.placed)} instances; {plan.summary()}")


def main(arguments: list[str]) -> int:
    sizes = [int(one) for one in arguments if one.isdigit()] or [1, 10, 100, 300, 1000]
    profiler = cProfile.Profile() if "--profile" in arguments else None
    late = False
    for nodes in sizes:
        timer = Timer()
        run: Callable[..., object] = profiler.runcall if profiler else lambda call, *given: call(*given)
        run(pipeline, nodes, timer)
        goal = GOALS.get(nodes)
        late |= goal is not None and timer.total > goal
        stages = "  ".join(f"{name} {seconds:.2f}" for name, seconds in timer.stages.items())
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"{nodes:5} nodes: {timer.total:7.2f} s ({1000 * timer.total / nodes:.1f} ms per node, {memory} MiB): {stages}"
        )
    if profiler:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)
    return int(late)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
