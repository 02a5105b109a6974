"""Rotation of passwords without an outage (ADR 6): which secrets can be rotated, what each phase means, and when the next may begin."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from scs_deploy.catalogue.service import Secret
from scs_deploy.errors import Finding, InputError, UsageError
from scs_deploy.operations.session import Observation, Session
from scs_deploy.render.desired import Desired, Instance
from scs_deploy.secrets import account_names
from scs_deploy.secrets.account_names import OTHER, SECOND
from scs_deploy.secrets.generate import generate
from scs_deploy.secrets.keys import too_early
from scs_deploy.secrets.placeholders import find

_REASONS: Mapping[str, str] = {
    "fernet": "what its keys signed or encrypted could no longer be read",
    "uuid": "it is an identity and nothing that has to be kept secret",
    "cookie": "the members of a cluster show it each other, and each knows only one",
    "cephx": "the storage cluster knows one key per name, which its clients hold open",
    "hex": "what was made with it would be worth nothing",
    "ssh-key": "it is no password of an account",
    "password": "no account logs in with it that could have a second name",
}
"""Type of secret -> why there is no way without an outage."""

_KEPT = ("fernet", "uuid", "hex")
_LEAVE = "leave it; a new one with 'scs-deploy secrets edit' makes what was made with the old one useless"
_BY_HAND = "change it with 'scs-deploy secrets edit' and apply, at a time when its users may be interrupted"


def specifications(session: Session) -> dict[str, Secret]:
    """Return the secrets of deployed services, by name."""
    placed = {one.service for one in session.placement.placed}
    services = (session.catalogue.services[name] for name in sorted(placed))
    return {name: spec for service in services for name, spec in service.secrets.items()}


def rotatable(desired: Desired, session: Session) -> dict[str, tuple[str, ...]]:
    """Return the secrets that only accounts log in with, and what those are: secret -> ``database user keystone``, …"""
    users: dict[str, list[str]] = {}
    other: set[str] = set()
    for item in desired.items:
        owner, owns = desired.owners[item.owner], session.catalogue.services[item.owner].owns
        accounts = owns.accounts if owns else {}
        for secret in (name.removesuffix(OTHER) for name in find(item.secret)):
            if item.kind in accounts and item.kind not in owner.kept:
                users.setdefault(secret, []).append(f"{item.owner} {item.kind} {item.name}")
            else:
                other.add(secret)
    return {name: tuple(found) for name, found in sorted(users.items()) if name not in other}


def keys(session: Session, names: Sequence[str]) -> dict[str, Secret]:
    """Return those of the named secrets that are keys which can be rotated; raises ``InputError`` where it is too early."""
    wanted = {name: spec for name, spec in specifications(session).items() if name in names and spec.valid_minutes}
    early = [too_early(name, spec, session.vault.values(), session.vault.clock()) for name, spec in wanted.items()]
    if findings := [one for one in early if one]:
        raise InputError(findings)
    return wanted


def choose(session: Session, desired: Desired, names: Sequence[str], services: Sequence[str]) -> tuple[str, ...]:
    """Return the secrets to rotate: those named, those of services, or all that can be.

    Raises ``UsageError`` for unknown services, ``InputError`` with a reason for each name that cannot be rotated.
    """
    can, specs = rotatable(desired, session), specifications(session)
    unknown = [name for name in services if name not in session.catalogue.services]
    if unknown:
        raise UsageError(
            f"there is no service {', '.join(unknown)}", fix=f"known: {', '.join(session.catalogue.services)}"
        )
    findings = [_refusal(name, specs, can) for name in names if name not in can]
    if findings:
        raise InputError(findings)
    own = [name for one in services for name in session.catalogue.services[one].secrets if name in can]
    chosen = dict.fromkeys([*names, *own] if names or services else can)
    if not chosen:
        where = f"service {', '.join(services)}" if services else f"region {session.region.name}"
        raise InputError(
            f"{where} has no password that can be rotated", fix=f"those that can: {', '.join(can) or 'none'}"
        )
    return tuple(chosen)


def begun(session: Session, secrets: Collection[str]) -> account_names.Values:
    """Return new values of secrets."""
    specs = specifications(session)
    return {name: generate(name, specs[name]) for name in secrets}


def require_names(desired: Desired, secrets: Collection[str]) -> None:
    """Raise ``InputError`` where an instance has a password of an account, and nowhere the account's present name.

    Such a template holds a fixed name: with the next password it would log in under a name that has another one.
    """
    accounts = {secret: item.name for item in desired.items for secret in find(item.secret) if secret in secrets}
    findings = []
    for instance in (one for group in desired.instances.values() for one in group):
        texts = [file.text for file in instance.files if not file.bookkeeping]
        for secret in {name for text in texts for name in find(text)} & accounts.keys():
            if not any(accounts[secret] in text for text in texts):
                findings.append(
                    Finding(
                        f"{instance.id} has the password {secret}, and its files name no user {accounts[secret]}",
                        why="an account has another name after a rotation, so what logs in must print its present one",
                        fix=f"print {{{{ login_name(NAME, '{secret}') }}}} in the templates of {instance.service}",
                        path=secret,
                    )
                )
    if findings:
        raise InputError(findings)


def lagging(desired: Desired, observation: Observation, secrets: Collection[str]) -> list[str]:
    """Return who does not hold what the vault says of secrets: instances that have not taken it, accounts that are not set.

    Empty means that the next phase may begin. A node that was not looked at lags behind, for its processes still run.
    """
    names = {name + suffix for name in secrets for suffix in ("", OTHER)}
    found = [
        f"{node}: it was never reached, so what its processes log in with is not known" for node in desired.unrendered
    ]
    for group in desired.instances.values():
        for instance in group:
            if why := _instance_lags(instance, observation, names):
                found.append(f"{instance.id}: {why}")
    return [*found, *_accounts_lag(desired, observation, names)]


def _refusal(name: str, specs: Mapping[str, Secret], can: Collection[str]) -> Finding:
    if name not in specs:
        return Finding(f"there is no secret {name}", path=name, fix=f"those that can be rotated: {', '.join(can)}")
    why = f"{specs[name].description or name}: {_REASONS[specs[name].type]}"
    return Finding(
        "cannot be rotated without an outage", path=name, why=why, fix=_LEAVE if specs[name].type in _KEPT else _BY_HAND
    )


def _instance_lags(instance: Instance, observation: Observation, names: Collection[str]) -> str:
    files = [file for file in instance.files if any(name in names for name in find(file.text))]
    if not files:
        return ""
    if instance.node not in observation.observed:
        return "its node was not looked at (in maintenance, or unreachable)"
    seen = observation.observed[instance.node].instances.get(instance.name)
    if seen and any(file.path in seen.files for file in files):
        return "its files differ"
    if all(file.bookkeeping or file.effect == "none" for file in files):
        return ""
    running, sealed = seen and seen.running, observation.sealed
    if not running:
        return "it does not run"
    latest = (running.start, running.reload) == (sealed.start[instance.id], sealed.reload[instance.id])
    return "" if latest else "it runs with earlier input"


def _accounts_lag(desired: Desired, observation: Observation, names: Collection[str]) -> Iterator[str]:
    for item in desired.items:
        if not any(name in names for name in find(item.secret)):
            continue
        answer = observation.observed.get(desired.owners[item.owner].node)
        told = answer.owners.get(item.owner) if answer else None
        there = {one.name: one for one in told.items.get(item.kind, ())} if told else {}
        found = there.get(item.name)
        if not found or found.secret != observation.sealed.items[item.id] or found.differences:
            yield f"{item.owner}: {item.kind} {item.name} is not set"
        base = item.name.removesuffix(SECOND)
        for name in {base, base + SECOND} & there.keys():
            if not any((one.owner, one.kind, one.name) == (item.owner, item.kind, name) for one in desired.items):
                yield f"{item.owner}: {item.kind} {name} is still there"
