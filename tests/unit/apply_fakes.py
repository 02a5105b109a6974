"""A region at the border to Ansible: what ``apply`` asks of nodes, and what they answer."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from proofs.world import World
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Holder
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import Failure, Outcome, Result
from scs_deploy.nodes import ansible_run
from scs_deploy.nodes.answers import Answers
from scs_deploy.nodes.events import EventLog
from scs_deploy.nodes.fleet import Fleet, Look
from scs_deploy.operations import apply as module
from scs_deploy.operations.apply import Ready, apply
from scs_deploy.operations.plan import Planned, Scope
from scs_deploy.operations.store import Store
from scs_deploy.plan.plan import Plan


class Region:
    """A region at the border to its nodes: what they are asked and answer, and what is kept of it."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
        self.world, self.asked = world, []
        self.fail: set[str] = set()
        self.unreachable: set[str] = set()
        self.locked: set[str] = set()
        self.silent: set[str] = set()
        self.dies_in = 0
        self.store = Store(tmp_path, tmp_path)
        self.fleet = Fleet(world.site.nodes, dict.fromkeys(world.site.nodes))
        self.log = EventLog(tmp_path, "run-1")
        monkeypatch.setattr(module.drift, "recorded", self.recorded)
        monkeypatch.setattr(ansible_run, "Waves", lambda playbook, connections, nodes: _Waves(self, playbook, nodes))
        self.watched: list[str] = []
        monkeypatch.setattr(module, "Watch", self.watch)

    def watch(self, connection, name, steps, told):
        self.watched.append(name)
        return _Watch()

    def recorded(self, before, plan, sealed, undone, nodes):
        self.undone = set(undone)
        return {}

    def run(self, payloads, on_node):
        self.asked.append({node: [step.id for step in payload.steps] for node, payload in payloads.items()})
        if 0 < self.dies_in <= len(self.asked):
            return Answers({}, {}, {}, dict.fromkeys(payloads, "ERROR! last words"))
        answers = {}
        for node, payload in payloads.items():
            if node in self.unreachable | self.silent:
                continue
            on_node(node, "ok")
            holder = Holder("eve@elsewhere", "r9") if node in self.locked else None
            results: dict[str, Result] = {}
            for step in payload.steps:
                status = "skipped" if holder else "failed" if step.id in self.fail else "ok"
                by = [need for need in step.needs if need in results and results[need].status != "ok"]
                status = "blocked" if by else status
                error = Failure("it broke", "test", log=["last words"]) if status == "failed" else None
                results[step.id] = Result(step.id, status, [], 0.1, error, by)
            answers[node] = Outcome(list(results.values()), holder)
        return Answers(
            answers,
            {node: "no route to host" for node in payloads if node in self.unreachable},
            {node: "no JSON" for node in payloads if node in self.silent},
        )

    def apply(self, plan: Plan):
        planned = Planned(plan, self.world.sealed, Look({}, {}), Scope(), None)
        return apply(self.world.site, self.store, self.fleet, Ready(planned, self.world.resolve), self.log)

    @property
    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.log.path.read_text().splitlines()]


class _Waves:
    """What ``ansible_run.Waves`` promises: the nodes of each wave are known beforehand, none is left out."""

    def __init__(self, region: Region, playbook: str, nodes) -> None:
        assert playbook == "apply.yml"
        self.region, self.left = region, [set(one) for one in nodes]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        assert kind or not self.left

    def next(self, payloads, on_node=None):
        assert set(payloads) <= self.left.pop(0)
        return self.region.run(payloads, on_node)

    def skip(self):
        self.left.pop(0)


class _Watch(SimpleNamespace):
    path = "/run/x"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def statuses(report) -> dict[str, str]:
    return {result.step.id: result.status for result in report.results}
