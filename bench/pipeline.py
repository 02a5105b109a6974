"""How long the pure pipeline takes (load, place, render, seal, observe payloads, plan) for generated regions: ``python -m bench.pipeline [NODES...]``.

Nodes are simulated: their answers are built from the questions, everything as wanted, so that the plan must be empty; then
every node answers as if one setting had changed on all of them. Certificates count as known, as they are after the first run.
Prints seconds per stage, per node, and the peak memory of the process, and which files of a node grow with the region; ``--profile``
adds where the time goes.
"""

from __future__ import annotations

import cProfile
import itertools
import json
import pstats
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inventories import generate_region
from proofs.world import answers, known_facts, matching
from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Answer
from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.nodes import messages
from scs_deploy.plan.dependencies import order_of
from scs_deploy.plan.make import Inputs, make_plan
from scs_deploy.region.load import load_region
from scs_deploy.region.placement import place
from scs_deploy.render import ImageChoice, Renderer
from scs_deploy.render.context import Topology
from scs_deploy.render.digests import seal
from scs_deploy.render.templates import TemplateSet

ROOT = Path(__file__).parents[1]

GOALS = {300: 10.0, 1000: 35.0}
"""Nodes -> seconds that observing everything as settled may cost the controller, Ansible not counted."""

QUESTION = "question of observe"
ORDINARY = 10
"""Nodes from which on a region has all its groups."""

GROWS = 1.3
"""Times a size that count as growing: numbers and names have more digits in a larger region."""


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


def pipeline(nodes: int, timer: Timer) -> dict[str, int]:
    """Run everything that one ``plan`` of a settled region costs, then one in which every node differs.

    Returns the largest size in bytes, on any node, of each file and of what a node is asked.
    """
    with tempfile.TemporaryDirectory() as folder:
        region_file = generate_region.write(Path(folder), nodes)
        every = {name: {"enabled": True} for name in load_catalogue([ROOT / "roles"]).services}
        region_file.write_text(region_file.read_text().replace("services: {}", f"services: {json.dumps(every)}"))
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
    known = {node.name: known_facts(node) for node in region.nodes}
    with timer.stage("render"):
        topology = Topology(region, catalogue, placement)
        desired = Renderer(topology, TemplateSet.load(catalogue), images, keys, known).render()
    certificate = dict.fromkeys(("ca", "cert", "key", "bundle"), "x" * 2000)

    def resolver(name: str) -> str | dict[str, str]:
        return certificate if name.startswith("cert:") else dict.fromkeys(keys[name], "y") if name in keys else "z"

    with timer.stage("seal"):
        sealed = seal(desired, resolver)
    with timer.stage("questions"):
        questions = [messages.observe(node.name, node.engine, sealed, "") for node in region.nodes]
    observed = {node.name: matching(node.name, sealed) for node in region.nodes}
    sent = {name: wire.encode(answer) for name, answer in answers(observed).items()}
    with timer.stage("answers"):
        heard = {name: wire.decode(Answer, text) for name, text in sent.items()}
    with timer.stage("plan"):
        plan = make_plan(Inputs(region, sealed, order, heard, {}))
    assert plan.empty, plan.summary()
    for answer in observed.values():
        for one in answer["instances"].values():
            if one["running"]:
                one["running"]["start"] = "older"
    heard = answers(observed)
    with timer.stage("plan of change"):
        plan = make_plan(Inputs(region, sealed, order, heard, {}))
        _ = plan.digest
    with timer.stage("payloads of change"):
        for wave in plan.waves:
            for name in wave.nodes:
                messages.converge("r", wave, name, "podman", "me", sealed, resolver, False)
    print(f"    {len(placement.placed)} instances; {plan.summary()}")
    sizes = {QUESTION: max(len(wire.dumps(one)) for one in questions)}
    for file in (file for node in region.nodes for one in desired.on(node.name) for file in one.files):
        sizes[file.path] = max(sizes.get(file.path, 0), len(file.text))
    return sizes


def growing(before: Mapping[str, int], after: Mapping[str, int], nodes: float) -> Iterator[str]:
    """What became larger although only the number of nodes did: ``nodes`` times as many."""
    for path, size in sorted(after.items()):
        if path in before and size > GROWS * before[path]:
            yield f"{path}: {before[path]} -> {size} bytes ({size / before[path]:.1f} times for {nodes:g} times the nodes)"


def main(arguments: list[str]) -> int:
    sizes = [int(one) for one in arguments if one.isdigit()] or [1, 10, 100, 300, 1000]
    profiler = cProfile.Profile() if "--profile" in arguments else None
    late, known = False, {}
    for nodes in sizes:
        timer = Timer()
        run: Callable[..., Any] = profiler.runcall if profiler else lambda call, *given: call(*given)
        known[nodes] = run(pipeline, nodes, timer)
        goal = GOALS.get(nodes)
        late |= goal is not None and timer.total > goal
        stages = "  ".join(f"{name} {seconds:.2f}" for name, seconds in timer.stages.items())
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"{nodes:5} nodes: {timer.total:7.2f} s ({1000 * timer.total / nodes:.1f} ms per node, {memory} MiB): {stages}"
        )
    for less, more in itertools.pairwise(known):
        if less >= ORDINARY:
            found = list(growing(known[less], known[more], more / less))
            print(f"from {less} to {more} nodes grow: {'; '.join(found) or 'no files'}")
    if profiler:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)
    return int(late)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
