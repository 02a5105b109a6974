"""A region's folder as a command has it in hand, without its nodes: what they say is made up here."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofs.world import answers, facts, said
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Answer
from scs_deploy.nodes.answers import Answers
from scs_deploy.nodes.fleet import Fleet
from scs_deploy.operations import certificates, values
from scs_deploy.operations.apply import Ready, settle
from scs_deploy.operations.plan import Planned, Scope, desired, make_plan
from scs_deploy.operations.site import Site, load_site
from scs_deploy.operations.store import Store
from scs_deploy.render.desired import Desired
from scs_deploy.secrets import Preview, Vault
from scs_deploy.secrets.placeholders import Resolver
from scs_deploy.secrets.vault import Place


class Nodes:
    """Answers of all nodes: as wanted, with facts that can change between two looks."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.unreachable: set[str] = set()
        self.memory = 4096
        self.leaving: set[str] = set()
        """They answer once more."""
        self.clock = 0.0
        """Seconds by which the clock of n2 is ahead."""

    def ask(self, connections: object, payloads: Mapping[str, Any], on_node: object = None) -> Answers[Answer]:
        self.asked.append(dict(payloads))
        away = set(self.unreachable)
        self.unreachable |= self.leaving & set(payloads)
        told: dict[str, dict[str, Any]] = {}
        for name, payload in payloads.items():
            if name in away:
                continue
            digest = f"facts-{self.memory}"
            known = payload.facts_digest == digest
            told[name] = said(
                facts=None if known else facts(f"10.60.1.1{name[1]}", self.memory),
                facts_digest=digest,
                live={
                    "time": time.time() + (self.clock if name == "n2" else 0),
                    "boot_id": "b", "free_bytes": {}, "listening": [],
                },
            )  # fmt: skip
        return Answers(answers(told), {name: "no route" for name in payloads if name in away}, {})


@dataclass(frozen=True)
class Opened:
    """What a command has in hand when it has opened a region."""

    site: Site
    store: Store
    vault: Vault
    fleet: Fleet

    @classmethod
    def of(cls, folder: Path) -> Opened:
        site = load_site(folder)
        vault = Vault.open(folder, new=True)
        return cls(site, Store.of(site.region), vault, Fleet.of(site.region.nodes, folder))

    def preview(self, chosen: Collection[Place] | None = None) -> Preview:
        return Preview(self.vault, self.site.secrets, chosen=chosen)

    def plan(self, *limit: str, chosen: Collection[Place] | None = None, **scope: Any) -> Planned:
        return make_plan(self.site, self.store, self.preview(chosen), self.fleet, Scope(limit, **scope))

    def settle(self, planned: Planned | None = None) -> Ready:
        return settle(self.site, self.store, self.vault, planned or self.plan())

    def desired(self) -> Desired:
        return desired(self.site, self.store, self.preview())

    def resolver(self) -> Resolver:
        return values.resolver(self.site.region, self.vault, self.desired())

    def certificates(self) -> list[certificates.CertificateRow]:
        return certificates.rows(self.site.region, self.vault, self.desired())
