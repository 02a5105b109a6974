"""Carries out one scripted change: plan, apply, and what the nodes themselves tell of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from proofs.deployment import PENDING, Cloud
from proofs.witness.look import Sight, between, look
from proofs.witness.promise import Step, against_node, against_report, data_kept, promise
from scs_deploy.lab import Lab, LabSpec

ECHO = Path(__file__).parents[1] / "fixtures" / "roles"


@dataclass
class DeployedSite:
    """A deployed region, its region.yml as it was at first, and a folder of roles of its own (``SCS_DEPLOY_ROLES``)."""

    cloud: Cloud
    roles: Path
    base: str = ""
    sights: dict[str, Sight] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.base = self.cloud.file.read_text()
        shutil.rmtree(self.roles, ignore_errors=True)
        shutil.copytree(ECHO, self.roles)

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        self.cloud.edit(change)

    def restore(self) -> None:
        """Say in region.yml what was said at first."""
        self.cloud.file.write_text(self.base)

    def role(self, service: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Edit the description of a service in the search path."""
        file = self.roles / service / "service.yml"
        data = yaml.safe_load(file.read_text())
        change(data)
        file.write_text(yaml.safe_dump(data, sort_keys=False))

    def nodes(self) -> list[str]:
        """Nodes of the lab, in the order of the region."""
        return [one.name for one in self.lab().status() if one.state == "running"]

    def lab(self) -> Lab:
        return Lab(LabSpec.from_region(self.cloud.site.region))

    def look(self) -> dict[str, Sight]:
        """Look at all nodes; what their journals tell counts from the look before."""
        lab = self.lab()
        self.sights = {name: look(lab, name, self.sights.get(name)) for name in self.nodes()}
        return self.sights


@dataclass(frozen=True)
class ScriptedChange:
    """``make`` changes what the operator has: region.yml, the vault, certificates, images, roles, nodes of the lab.

    ``options``: of plan; ``steps``: how many the plan must have, if that is the point of the change.
    """

    kind: str
    name: str
    make: Callable[[DeployedSite], object]
    options: tuple[str, ...] = ()
    steps: int | None = None
    check: Callable[[DeployedSite], object] | None = None
    """What must be true afterwards, beside what is compared for every change."""


@dataclass(frozen=True)
class ChangeRow:
    """One change and what became of it; empty ``wrong``: plan, report and nodes agree."""

    change: ScriptedChange
    steps: int
    applied: int
    written: tuple[int, int]
    """Files written or deleted: planned, seen."""
    started: tuple[int, int]
    """Starts, stops, signals and reloads of units and containers: planned, seen."""
    wrong: tuple[str, ...]


def carry_out(site: DeployedSite, change: ScriptedChange) -> ChangeRow:
    """Make a change, plan it, apply the plan, and compare plan, report and what the nodes tell."""
    cloud = site.cloud
    if not site.sights:
        site.look()
    change.make(site)
    for name in set(site.nodes()) - set(site.sights):
        site.sights[name] = look(site.lab(), name)
    before = dict(site.sights)
    saved = cloud.folder.parent / f"{cloud.folder.name}.plan"
    data = json.loads(cloud.run("plan", "--json", *change.options, "--out", str(saved), code=0).stdout)
    steps: list[Step] = [step for wave in data["waves"] for step in wave["steps"]]
    events = set(cloud.events())
    done = cloud.run("apply", str(saved))
    results = _results(set(cloud.events()) - events)
    wrong = [] if done.returncode == 0 else [f"apply: exit {done.returncode}: {done.stderr.strip()}"]
    wrong += against_report(steps, results)
    if change.steps not in (None, len(steps)):
        wrong.append(f"{len(steps)} steps are planned, not {change.steps}: {[step['id'] for step in steps]}")
    if not steps and change.steps is None:
        wrong.append("nothing is planned")
    after, catalogue = site.look(), cloud.site.catalogue
    promised = {name: promise(steps, name, before[name], catalogue) for name in after if name in before}
    seen = {name: between(before[name], after[name]) for name in promised}
    for name, one in promised.items():
        wrong += [f"{name}: {what}" for what in against_node(one, seen[name])]
    for step in steps:
        if step["action"] == "remove":
            wrong += data_kept(step, before[step["node"]], after[step["node"]])
    again = cloud.run("plan", "--detailed-exitcode", *change.options)
    if again.returncode:
        wrong.append(f"the plan is not empty afterwards: {again.stdout.strip()} {again.stderr.strip()}")
    if change.check and not wrong:
        try:
            change.check(site)
        except AssertionError as error:
            wrong.append(str(error))
    files, starts = (
        _sum(getattr(one, what)(seen[name]) for name, one in promised.items()) for what in ("files", "starts")
    )
    return ChangeRow(change, len(steps), sum(one["status"] == "ok" for one in results), files, starts, tuple(wrong))


def put_back(site: DeployedSite) -> None:
    """After a failure: the region as it was, whatever that takes."""
    site.restore()
    if site.cloud.run("plan", "--detailed-exitcode").returncode == PENDING:
        site.cloud.run("apply", "--yes")


def _results(files: set[Path]) -> list[dict[str, Any]]:
    """The steps that an apply reports in its event log, in order; none where there was nothing to do."""
    lines = [json.loads(line) for file in sorted(files) for line in file.read_text().splitlines()]
    return [line for line in lines if line["event"] == "step"]


def _sum(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    planned, seen = zip(*pairs, strict=True)
    return sum(planned), sum(seen)
