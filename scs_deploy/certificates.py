"""The certificates of a region: what each is for, when it ends, and what its renewal takes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from scs_deploy import names, pki
from scs_deploy.desired import CertificateNames, Instance
from scs_deploy.plan import Plan, Step
from scs_deploy.session import Session

State = Literal["good", "ends soon", "expired", "not issued", "other names"]
"""All but ``good`` are renewed by the next apply."""


@dataclass(frozen=True, slots=True)
class Row:
    """A certificate of an instance, or the CA, which has no node. ``days`` are left (negative: ago), rounded down."""

    node: str
    instance: str
    service: str
    names: tuple[str, ...]
    ends: str
    """ISO 8601, UTC; empty if it was never issued."""
    days: int
    serial: str
    on_renewal: Literal["reload", "restart", "not here"]
    pause: str
    """What a restart interrupts."""
    state: State

    @property
    def id(self) -> str:
        return f"{self.node}/{self.instance}"

    @property
    def due(self) -> bool:
        return self.state in ("ends soon", "expired")


def rows(session: Session) -> list[Row]:
    """Return the CA and every certificate of nodes that were reached before; nothing is issued."""
    desired, now = session.desired(), session.vault.clock()
    instances = {one.id: one for group in desired.instances.values() for one in group}
    found = [
        _row(session, instances[f"{node}/{name}"], wanted, now) for (node, name), wanted in desired.certificates.items()
    ]
    return [_authority(session.vault.authority(), now), *found]


def choose(found: Collection[Row], nodes: Collection[str], services: Collection[str], within: int | None) -> list[Row]:
    """Return the certificates of nodes and services (empty: of all) that end within some days."""
    return [
        row
        for row in found
        if row.node in nodes
        and (not services or row.service in services)
        and (within is None or not row.ends or row.days < within)
    ]


def strangers(plan: Plan, chosen: Collection[Row]) -> list[Step]:
    """Return the steps of a plan that do more than place the chosen certificates."""
    expected = {row.id for row in chosen}
    return [step for step in plan.steps if step.id not in expected or not _only_tls(step)]


def missing(plan: Plan, chosen: Collection[Row]) -> list[str]:
    """Return the chosen certificates that a plan does not place, such as those of nodes in maintenance."""
    planned = {step.id for step in plan.steps}
    return [row.id for row in chosen if row.id not in planned]


def _only_tls(step: Step) -> bool:
    folder = f"{names.TLS_TARGET}/"
    return step.action == "update" and not step.delete and all(folder in path for path in step.write)


def _row(session: Session, instance: Instance, wanted: CertificateNames, now: datetime) -> Row:
    request = pki.CertificateRequest(wanted.common_name, wanted.dns_names, wanted.ip_addresses)
    pem = session.vault.issued(instance.node, instance.name)
    seen = pki.look(pem) if pem else None
    restarts = any(names.TLS_TARGET in file.path and file.effect == "restart" for file in instance.files)
    return Row(
        instance.node,
        instance.name,
        instance.service,
        (*wanted.dns_names, *wanted.ip_addresses),
        seen.ends.isoformat() if seen else "",
        (seen.ends - now).days if seen else 0,
        seen.serial if seen else "",
        "restart" if restarts else "reload",
        instance.pause if restarts else "",
        _state(seen, now, bool(session.vault.authority().keeps(pem, request, now)) if pem else False),
    )


def _authority(authority: pki.Authority, now: datetime) -> Row:
    seen = pki.look(authority.cert_pem)
    days = (seen.ends - now).days
    return Row(
        "", "internal CA", "", (), seen.ends.isoformat(), days, seen.serial, "not here", "", _state(seen, now, True)
    )


def _state(seen: pki.Seen | None, now: datetime, kept: bool) -> State:
    if seen is None:
        return "not issued"
    if seen.ends <= now:
        return "expired"
    if seen.ends - now < pki.RENEW_BEFORE:
        return "ends soon"
    return "good" if kept else "other names"
