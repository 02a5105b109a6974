"""Facts of nodes, kept between runs: a node sends them again only when they have changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.messages import Answer, Facts


@dataclass(frozen=True, slots=True)
class _Known:
    facts: Facts
    facts_digest: str


class FactsCache:
    """One JSON file per node; each is read at most once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, _Known | None] = {}

    def get(self, node: str) -> Facts | None:
        """Return the facts of a node; None if it was never reached or its file is damaged, or of another version."""
        known = self._of(node)
        return known.facts if known else None

    def digest(self, node: str) -> str:
        """Return the digest of the facts of a node; empty if they are not known."""
        known = self._of(node)
        return known.facts_digest if known else ""

    def learn(self, answers: Mapping[str, Answer]) -> list[str]:
        """Keep the facts that came back; return the nodes that sent some."""
        fresh = {name: answer.facts for name, answer in answers.items() if answer.facts}
        for name, facts in fresh.items():
            self.keep(name, facts, answers[name].facts_digest)
        return list(fresh)

    def keep(self, node: str, facts: Facts, facts_digest: str) -> None:
        known = self._known[node] = _Known(facts, facts_digest)
        self.folder.mkdir(exist_ok=True)
        (self.folder / f"{node}.json").write_text(wire.dumps(known), encoding="utf-8")

    def _of(self, node: str) -> _Known | None:
        if node not in self._known:
            self._known[node] = self._read(node)
        return self._known[node]

    def _read(self, node: str) -> _Known | None:
        try:
            return wire.load(_Known, json.loads((self.folder / f"{node}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None
