"""The certificates of a region: what each is for, when it ends, and what its renewal takes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Answer
from scs_deploy.catalogue import names
from scs_deploy.catalogue.ids import Id
from scs_deploy.errors import DeployError, Finding, InputError
from scs_deploy.nodes import clocks
from scs_deploy.operations.incomplete import refused_error, unreachable_error
from scs_deploy.plan.plan import Plan, Step
from scs_deploy.region.public_tls import PublicCertificate
from scs_deploy.region.region import Region
from scs_deploy.render.desired import CertificateNames, Desired, Instance
from scs_deploy.secrets import Preview, Vault, pki
from scs_deploy.secrets.vault import PUBLIC_KEY

State = Literal["good", "renewal due", "ends soon", "expired", "not issued", "other names", "lives too long"]
"""All but ``good`` are renewed by the next apply; one that ``ends soon`` was forgotten."""


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """A certificate of an instance, or the CA or the public one, which have no node. ``days`` are left (negative: ago), rounded down."""

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
    def late(self) -> bool:
        return self.state in ("ends soon", "expired")


def rows(region: Region, vault: Vault, desired: Desired) -> list[CertificateRow]:
    """Return the CA, the public certificate and every one of nodes that were reached before; nothing is issued."""
    now, public = vault.clock(), region.public_tls
    instances = {one.id: one for group in desired.instances.values() for one in group}
    found = [_row(vault, instances[Id(*place)], wanted, now) for place, wanted in desired.certificates.items()]
    own = [_authority(vault.ca_pem, now)] if vault.ca_pem else []
    return [*own, *([_public(public, now)] if public else []), *found]


def choose(
    found: Collection[CertificateRow], nodes: Collection[str], services: Collection[str], within: int | None
) -> list[CertificateRow]:
    """Return the certificates of nodes and services (empty: of all) that end within some days."""
    return [
        row
        for row in found
        if row.node in nodes
        and (not services or row.service in services)
        and (within is None or not row.ends or row.days < within)
    ]


def strangers(plan: Plan, chosen: Collection[CertificateRow]) -> list[Step]:
    """Return the steps of a plan that do more than place the chosen certificates."""
    expected = {row.id for row in chosen}
    return [step for step in plan.steps if step.id not in expected or not _only_tls(step)]


def missing(plan: Plan, chosen: Collection[CertificateRow]) -> list[str]:
    """Return the chosen certificates that a plan does not place, such as those of nodes in maintenance."""
    planned = {step.id for step in plan.steps}
    return [row.id for row in chosen if row.id not in planned]


def check_renewal(plan: Plan, clocks_of: Mapping[str, float], chosen: Collection[CertificateRow]) -> None:
    """Raise ``DeployError`` unless a plan places exactly the chosen certificates."""
    nodes = {row.node for row in chosen}
    clocks.refuse_certificates(clocks_of, pki.BACKDATED)
    if away := {name: why for name, why in plan.unknown.items() if name.split()[0].split("/")[0] in nodes}:
        raise unreachable_error(away)
    if plan.refused:
        raise refused_error(plan)
    if others := strangers(plan, chosen):
        raise DeployError(
            "other changes are pending; no certificate was renewed",
            where=", ".join(step.id for step in others[:10]),
            why="this command carries out only what belongs to it",
            fix="run scs-deploy apply first, then again",
        )
    if lacking := missing(plan, chosen):
        raise DeployError(
            "some certificates cannot be placed now; none was renewed",
            where=", ".join(lacking),
            why="their nodes are in maintenance, or a restart is held back: plan says which",
            fix="name others with --node or --service, or bring those nodes back",
        )


def check_public(region: Region, now: datetime) -> list[Finding]:
    """Return warnings about the dates of the public certificate; raises ``InputError`` when it is not valid now."""
    found = list(region.public_tls.dates(now)) if region.public_tls else []
    if any(finding.severity == "error" for finding in found):
        raise InputError(found)
    return found


def public_key(region: Region, vault: Vault | Preview) -> str:
    """Return the private key (PEM) of the public certificate; raises ``InputError`` when the vault does not have it."""
    public, file = region.public_tls, str(vault.file.path)
    if public is None or PUBLIC_KEY not in vault.names:
        raise InputError(
            "the vault does not have the private key of the public certificate",
            where=f"{file} {PUBLIC_KEY}",
            fix="put it there: scs-deploy certs import KEYFILE",
        )
    key = pki.plain_key(str(vault.get(PUBLIC_KEY)).encode())
    if not pki.belongs(key, public.chain_pem):
        why = f"{PUBLIC_KEY} in {file} is another key: one of the two was replaced without the other"
        fix = "scs-deploy certs import KEYFILE, with the key of this certificate"
        raise InputError(replace(public.place, what="the certificate belongs to another key", why=why, fix=fix))
    return key


def notes(region: Region, observed: Mapping[str, Answer], now: datetime) -> Iterator[str]:
    """Yield what a plan, and a look at the state, say about certificates near their end."""
    yield from ending(observed, now)
    yield from (str(finding) for finding in (region.public_tls.dates(now) if region.public_tls else ()))


def ending(observed: Mapping[str, Answer], now: datetime) -> Iterator[str]:
    """Yield a sentence for each certificate that a node still serves although it has ended, or does so within ``WARN_BEFORE``.

    Those differ from what is wanted, long since, so the nodes sent them back.
    """
    for node, answer in observed.items():
        for instance, seen in answer.instances.items():
            for path, entry in seen.files.items():
                ends = _end(entry.text or "") if path.endswith(f"{names.TLS_TARGET}/cert.pem") else None
                if ends and ends - now < pki.WARN_BEFORE:
                    when = f"ended on {ends:%Y-%m-%d}" if ends <= now else f"ends in {(ends - now).days} days"
                    yield f"the certificate that {node}/{instance} serves {when}: apply replaces it"


def _end(pem: str) -> datetime | None:
    try:
        return pki.look(pem).ends if pem else None
    except InputError:
        return None


def _only_tls(step: Step) -> bool:
    folder = f"{names.TLS_TARGET}/"
    return step.action == "update" and not step.delete and all(folder in path for path in step.write)


def _row(vault: Vault, instance: Instance, wanted: CertificateNames, now: datetime) -> CertificateRow:
    request = pki.CertificateRequest(wanted.common_name, wanted.dns_names, wanted.ip_addresses)
    pem = vault.issued(instance.node, instance.name)
    seen = pki.look(pem) if pem else None
    restarts = any(names.TLS_TARGET in file.path and file.effect == "restart" for file in instance.files)
    return CertificateRow(
        instance.node,
        instance.name,
        instance.service,
        (*wanted.dns_names, *wanted.ip_addresses),
        seen.ends.isoformat() if seen else "",
        (seen.ends - now).days if seen else 0,
        seen.serial if seen else "",
        "restart" if restarts else "reload",
        instance.pause if restarts else "",
        _state(seen, now, vault, instance, request),
    )


def _public(public: PublicCertificate, now: datetime) -> CertificateRow:
    seen = pki.look(public.chain_pem)
    days = (public.ends - now).days
    state = _late(replace(seen, ends=public.ends), now) or "good"
    return CertificateRow(
        "", "public certificate", "", public.names, public.ends.isoformat(), days, seen.serial, "not here", "", state
    )


def _authority(ca_pem: str, now: datetime) -> CertificateRow:
    seen = pki.look(ca_pem)
    days = (seen.ends - now).days
    state = _late(seen, now) or "good"
    return CertificateRow("", "internal CA", "", (), seen.ends.isoformat(), days, seen.serial, "not here", "", state)


def _state(
    seen: pki.CertificateDetails | None,
    now: datetime,
    vault: Vault,
    instance: Instance,
    request: pki.CertificateRequest,
) -> State:
    if seen is None:
        return "not issued"
    if late := _late(seen, now):
        return late
    if vault.stays(instance.node, instance.name, request):
        return "good"
    if seen.ends - seen.begins > pki.LONGEST:
        return "lives too long"
    return "renewal due" if vault.stays(instance.node, instance.name, request, chosen=()) else "other names"


def _late(seen: pki.CertificateDetails, now: datetime) -> State | None:
    if seen.ends <= now:
        return "expired"
    return "ends soon" if seen.ends - now < pki.WARN_BEFORE else None
