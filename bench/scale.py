"""How the program scales: observe and plan of N nodes beside ``ansible -m ping`` and beside plain ssh on the same nodes in the same run.

Usage: python -m bench.scale [--write] [--rounds N] [NODES...] (default: 1 10 50 100 300). Root is needed, and the image of a lab node.

The nodes are simulated on this machine (``nodes/``): each has a root, a network and an sshd on a loopback address of its own, Python and the
packages of a real node, 25 containers that a recorded engine tells of, and its own files, which observe really hashes. Nodes and controller
share the machine's cores, so wall times hold both; the controller's CPU time is told apart. Connections are warm: plain ssh opens them.
``--write`` keeps the figures, and makes the page of all that are kept.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.nodes import region as regions
from bench.nodes.field import Field, FieldError, new_folder, sweep
from bench.nodes.meter import CommandError, Cost, Meter
from proofs import pages
from proofs.world import answers, nothing
from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.errors import DeployError
from scs_deploy.nodes import messages
from scs_deploy.nodes.answers import AT_A_TIME
from scs_deploy.nodes.fleet import Fleet
from scs_deploy.operations import plan, values
from scs_deploy.operations.apply import Leg
from scs_deploy.operations.site import load_site
from scs_deploy.operations.store import Store
from scs_deploy.plan import make
from scs_deploy.plan.plan import Step
from scs_deploy.render.digests import seal
from scs_deploy.secrets import Preview, Vault

ROOT = Path(__file__).resolve().parents[1]

BIN = Path(sys.executable).parent
SIZES = (1, 10, 50, 100, 300)
MOST = 300
COMMAND_SECONDS = 280.0
FORKS = AT_A_TIME
PING = pages.PING
SSH, PLAN, CHANGE = "ssh true", "plan, nothing to do", "apply of one setting"


@dataclass
class SizeRun:
    """One size: its folder, its nodes and what was measured."""

    nodes: int
    folder: Path
    results: dict[str, list[Cost]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state, self.region_folder = self.folder / "state", self.folder / "region"
        self.roles = regions.write_roles(self.folder / "roles")
        self.environment = {
            "SCS_DEPLOY_STATE_DIR": str(self.state),
            "SCS_DEPLOY_ROLES": str(self.roles),
            "SCS_DEPLOY_VAULT_PASSWORD": "measured",
            "COLUMNS": "200",
        }
        os.environ.update(self.environment)

    def run(self, rounds: int, progress: Callable[[str], None]) -> dict[str, Cost]:
        """Simulate, deploy, measure; returns the median of each command. Raises what makes the measurement worthless."""
        addresses = self._addresses()
        with contextlib.ExitStack() as stack:
            simulated = stack.enter_context(Field(self.folder, addresses, regions.PORTS, regions.IMAGE))
            self._write_region(2, simulated)
            progress("first deployment")
            self._deploy(simulated)
            meter = Meter(simulated.pid, simulated.cpu, self.environment, ROOT)
            stack.callback(meter.close)
            for number in range(rounds + 1):
                progress(f"round {number} of {rounds}")
                self._round(meter, warm_up=number == 0)
            for workers in range(3, 3 + max(1, rounds // 2)):
                progress("one setting")
                self._write_region(workers, simulated)
                self._change(meter)
            self._expect_nothing(meter)
        return {name: _median(costs) for name, costs in self.results.items()}

    # -- before --------------------------------------------------------------------------------------------------------

    def _addresses(self) -> dict[str, str]:
        self._write_region(2, None)
        return {name: one.host for name, one in self._fleet().connections.items()}

    def _fleet(self) -> Fleet:
        return Fleet.of(load_site(self.region_folder).region.nodes, self.region_folder)

    def _write_region(self, workers: int, simulated: Field | None) -> None:
        others = [path.parent.name for path in (ROOT / "roles").glob("*/service.yml") if path.parent.name != "node"]
        key, known = (simulated.key, simulated.known_hosts()) if simulated else (self.folder / "id", "")
        regions.write_region(self.region_folder, self.nodes, workers, sorted(others), key, known)

    def _deploy(self, simulated: Field) -> None:
        """Bring every node to its wanted state, without a wave for each rack: what is measured comes after it."""
        site = load_site(self.region_folder)
        store, vault = Store.of(site.region), Vault.open(site.folder, new=True)
        found = simulated.facts()
        known = {name: {"facts": facts, "facts_digest": wire.digest(facts)} for name, facts in found.items()}
        store.keep_facts(known)
        vault.complete(site.secrets)
        desired = plan.render(site, store.images(), Preview(vault, site.secrets), known)
        vault.certify(values.requests(desired))
        resolver = values.resolver(site.region, vault, desired)
        sealed = seal(desired, resolver)
        store.keep_placement(site.placement)
        observed = answers({name: {**nothing(name, sealed), "images": [regions.IMAGE]} for name in site.nodes})
        first = make.make_plan(make.Inputs(site.region, sealed, site.order, observed, {}))
        steps: dict[str, list[Step]] = {}
        for step in first.steps:
            steps.setdefault(step.node, []).append(step)
        simulated.prime(
            {
                name: messages.converge("first", Leg(1, tuple(own), 1), name, "podman", "me", sealed, resolver, False)
                for name, own in steps.items()
            }
        )

    # -- measurements --------------------------------------------------------------------------------------------------

    def _round(self, meter: Meter, warm_up: bool) -> None:
        """All commands in turn; the first round opens the connections and fills caches."""
        connections = self._fleet().connections
        variables = {name: one.ansible_vars() for name, one in connections.items()}
        hosts = {"all": {"hosts": variables, "vars": {"ansible_python_interpreter": "/usr/bin/python3"}}}
        inventory, lines = self.folder / "hosts.json", self.folder / "hosts.txt"
        inventory.write_text(json.dumps(hosts))
        lines.write_text("".join(" ".join(map(_quoted, one.argv(["true"])[1:])) + "\n" for one in connections.values()))
        ssh = ["xargs", "-P", str(FORKS), "-L", "1", "-a", str(lines), "ssh"]
        ping = [str(BIN / "ansible"), "all", "-i", str(inventory), "-f", str(FORKS), "-m", "ansible.builtin.ping"]
        commands = {SSH: ssh, PING: [*ping, "--one-line"], PLAN: self._command("plan", "--detailed-exitcode")}
        for name, argv in commands.items():
            cost, said = meter.run(argv, COMMAND_SECONDS)
            if name == PING and said.count("SUCCESS") != self.nodes:
                raise CommandError(f"ping: {said[-2000:]}")
            if name == PLAN and "nothing to do" not in said:
                raise CommandError(f"the plan is not empty: {said[-2000:]}")
            if not warm_up:
                self.results.setdefault(name, []).append(cost)

    def _change(self, meter: Meter) -> None:
        _, said = meter.run(self._command("plan", "--json"), COMMAND_SECONDS)
        steps = [step for wave in json.loads(said[said.index("{") :])["waves"] for step in wave["steps"]]
        written = [path for step in steps for path in step["write"]]
        if (len(steps), len(written)) != (self.nodes, self.nodes):
            raise CommandError(f"one setting makes {len(steps)} steps that write {len(written)} files")
        cost, _ = meter.run(self._command("apply", "--yes"), COMMAND_SECONDS)
        self.results.setdefault(CHANGE, []).append(cost)

    def _expect_nothing(self, meter: Meter) -> None:
        _, said = meter.run(self._command("plan", "--detailed-exitcode"), COMMAND_SECONDS)
        if "nothing to do" not in said:
            raise CommandError(f"after apply the plan is not empty: {said[-2000:]}")

    def _command(self, name: str, *options: str) -> list[str]:
        return [str(BIN / "scs-deploy"), name, "-r", str(self.region_folder), *options]


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\"'\"'") + "'"


def _median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(one, key) for one in costs) for key in ("wall", "cpu", "node")))


def lines(nodes: int, costs: Mapping[str, Cost]) -> str:
    """For the one who waits."""
    rows = [f"{nodes} nodes: seconds {'wall':>22} {'controller CPU':>16} {'CPU of the nodes':>18}"]
    rows += [f"  {name:26} {one.wall:8.2f} {one.cpu:16.2f} {one.node:18.2f}" for name, one in costs.items()]
    return "\n".join(rows)


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f} before, commit {commit.stdout.strip()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("nodes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/measurements")
    parser.add_argument("--keep", action="store_true", help="leave the folders of the run, to look at them")
    asked = parser.parse_args()
    if max(asked.nodes) > MOST:
        parser.error(f"at most {MOST} nodes fit this way of measuring")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sweep()
    where, results = machine(), {}
    for nodes in asked.nodes:
        began, folder = time.monotonic(), new_folder()

        def progress(what: str, nodes: int = nodes, began: float = began) -> None:
            sys.stderr.write(f"{nodes:4} nodes, {time.monotonic() - began:5.0f} s: {what}\n")

        try:
            results[nodes] = SizeRun(nodes, folder).run(asked.rounds, progress)
        except (FieldError, CommandError, DeployError) as error:
            sys.stderr.write(f"{nodes} nodes: {error}\n")
            return 1
        finally:
            if not asked.keep:
                shutil.rmtree(folder, ignore_errors=True)
        print(lines(nodes, results[nodes]), flush=True)
    found = {
        str(nodes): {"where": where, "costs": {name: asdict(one) for name, one in costs.items()}}
        for nodes, costs in results.items()
    }
    print("\n" + "\n\n".join(pages.scale(found)))
    if asked.write:
        pages.keep("scale", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
