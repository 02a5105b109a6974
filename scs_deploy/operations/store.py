"""What is kept of a region between commands: in its folder, which belongs in git, and in the program's state folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.catalogue import ids
from scs_deploy.catalogue.ids import Id
from scs_deploy.errors import InputError
from scs_deploy.images import read_lock
from scs_deploy.machine import paths
from scs_deploy.machine.files import write_atomic
from scs_deploy.machine.locks import RegionLock
from scs_deploy.nodes.events import EventLog, Listener, new_run
from scs_deploy.nodes.fleet import Known
from scs_deploy.region.placement import Placement
from scs_deploy.region.region import Region
from scs_deploy.render import ImageChoice

PLACEMENT_LOCK = "placement.lock"
APPLIED = "applied.json"
FACTS = "facts"


@dataclass(frozen=True, slots=True)
class Store:
    """``folder`` is the region's, ``state`` is ``<state>/regions/<name>-<hash of its folder>``; reading never writes."""

    folder: Path
    state: Path

    @classmethod
    def of(cls, region: Region) -> Store:
        mark = hashlib.sha256(str(region.folder.resolve()).encode()).hexdigest()[:8]
        state = paths.state_dir() / "regions" / f"{region.name}-{mark}"
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(region.folder, state)

    def lock(self, command: str) -> RegionLock:
        """One command at a time may change a region; ``command`` is told to whoever finds it locked."""
        return RegionLock(self.state, command)

    def events(self, listener: Listener | None = None) -> EventLog:
        """Begin a run and its log."""
        return EventLog(self.state / "events", new_run(), listener)

    # -- the region's folder -----------------------------------------------------------------------------------------------

    def images(self) -> dict[str, ImageChoice]:
        """Return what images.lock names; raises ``InputError`` without one."""
        return {
            name: ImageChoice(one.id, one.reference, one.packages_digest, one.packages)
            for name, one in read_lock(self.folder).images.items()
        }

    def placement(self) -> dict[str, list[str]]:
        """Return which nodes components were placed on before; raises ``InputError`` for a damaged placement.lock."""
        path = self.folder / PLACEMENT_LOCK
        if not path.exists():
            return {}
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise InputError(
                "placement.lock is not valid YAML", where=str(path), why=str(error), fix="restore it from git"
            ) from error
        if not isinstance(data, dict) or not all(isinstance(value, list) for value in data.values()):
            raise InputError(
                "placement.lock must map components to lists of nodes", where=str(path), fix="restore it from git"
            )
        return {str(key): [str(name) for name in value] for key, value in data.items()}

    def keep_placement(self, placement: Placement) -> None:
        chosen = {name: list(nodes) for name, nodes in sorted(placement.chosen.items())}
        path = self.folder / PLACEMENT_LOCK
        text = "# Kept by scs-deploy: where components were placed that not every node of a group carries.\n"
        text += yaml.safe_dump(chosen, sort_keys=True) if chosen else "{}\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_atomic(path, text, 0o644)

    # -- the state folder --------------------------------------------------------------------------------------------------

    def facts(self, nodes: Iterable[str]) -> dict[str, Known]:
        """Return what is known of each node; one that was never reached, or whose file is damaged or of another shape, is left out."""
        found = {node: self._known(node) for node in nodes}
        return {node: known for node, known in found.items() if known}

    def _known(self, node: str) -> Known | None:
        try:
            return wire.load(Known, _mapping(self.state / FACTS / f"{node}.json"))
        except wire.WireError:
            return None

    def keep_facts(self, known: Mapping[str, Known]) -> None:
        (self.state / FACTS).mkdir(exist_ok=True)
        for node, facts in known.items():
            write_atomic(self.state / FACTS / f"{node}.json", json.dumps(facts), sync=False)

    def applied(self) -> dict[Id, str]:
        """Return the identity of what was last applied, by instance or resource step.

        A lost or broken record is empty: everything is pending then, which is the careful answer.
        """
        return {ids.read(str(key)): str(value) for key, value in _mapping(self.state / APPLIED).items()}

    def keep_applied(self, applied: Mapping[Id, str]) -> None:
        write_atomic(self.state / APPLIED, json.dumps(applied, indent=0, sort_keys=True))


def _mapping(path: Path) -> Mapping[str, Any]:
    """A JSON file that may be lost or damaged."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
