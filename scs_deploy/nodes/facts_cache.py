"""Facts of nodes, kept between runs: a node sends them again only when they have changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scs_deploy.machine.files import write_atomic


class FactsCache:
    """One JSON file per node; each is read at most once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, Mapping[str, Any]] = {}

    def get(self, node: str) -> Mapping[str, Any]:
        """Return ``facts`` and ``facts_digest`` of a node; empty if it was never reached or its file is damaged."""
        if node not in self._known:
            self._known[node] = self._read(node)
        return self._known[node]

    def learn(self, answers: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Keep the facts that came back; return the nodes that sent some."""
        fresh = [name for name, answer in answers.items() if answer.get("facts")]
        for name in fresh:
            self._keep(name, {"facts": answers[name]["facts"], "facts_digest": answers[name]["facts_digest"]})
        return fresh

    def _read(self, node: str) -> dict[str, Any]:
        try:
            data = json.loads((self.folder / f"{node}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def _keep(self, node: str, known: Mapping[str, Any]) -> None:
        self._known[node] = known
        self.folder.mkdir(exist_ok=True)
        write_atomic(self.folder / f"{node}.json", json.dumps(known), sync=False)
