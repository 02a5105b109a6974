"""Rotation of passwords without an outage (ADR 6): which secrets can be rotated, what each phase means, and when the next may begin."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from scs_deploy.catalogue.load import Catalogue
from scs_deploy.catalogue.service import Secret
from scs_deploy.errors import Finding, InputError
from scs_deploy.operations.site import Site
from scs_deploy.plan.inputs import Observed
from scs_deploy.render.desired import Desired, Instance
from scs_deploy.render.digests import Sealed
from scs_deploy.secrets import Vault
from scs_deploy.secrets.account_names import OTHER, SECOND
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


def rotatable(desired: Desired, catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """Return the secrets that only accounts log in with, and what those are: secret -> ``database user keystone``, …"""
    users: dict[str, list[str]] = {}
    other: set[str] = set()
    for item in desired.items:
        owner, owns = desired.owners[item.owner], catalogue.services[item.owner].owns
        accounts = owns.accounts if owns else {}
        for secret in (name.removesuffix(OTHER) for name in find(item.secret)):
            if item.kind in accounts and item.kind not in owner.kept:
                users.setdefault(secret, []).append(f"{item.owner} {item.kind} {item.name}")
            else:
                other.add(secret)
    return {name: tuple(found) for name, found in sorted(users.items()) if name not in other}


def keys(site: Site, vault: Vault, names: Sequence[str]) -> dict[str, Secret]:
    """Return those of the named secrets that are keys which can be rotated; raises ``InputError`` where it is too early."""
    wanted = {name: spec for name, spec in site.secrets.items() if name in names and spec.valid_minutes}
    early = [too_early(name, spec, vault.values(), vault.clock()) for name, spec in wanted.items()]
    if findings := [one for one in early if one]:
        raise InputError(findings)
    return wanted


def choose(site: Site, desired: Desired, names: Sequence[str], services: Sequence[str]) -> tuple[str, ...]:
    """Return the secrets to rotate: those named, those of services, or all that can be.

    Raises ``UsageError`` for unknown services, ``InputError`` with a reason for each name that cannot be rotated.
    """
    can = rotatable(desired, site.catalogue)
    site.check_services(services)
    findings = [_refusal(name, site.secrets, can) for name in names if name not in can]
    if findings:
        raise InputError(findings)
    own = [name for one in services for name in site.catalogue.services[one].secrets if name in can]
    chosen = dict.fromkeys([*names, *own] if names or services else can)
    if not chosen:
        where = f"service {', '.join(services)}" if services else f"region {site.region.name}"
        raise InputError(
            f"{where} has no password that can be rotated", fix=f"those that can: {', '.join(can) or 'none'}"
        )
    return tuple(chosen)


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


def lagging(sealed: Sealed, observed: Observed, secrets: Collection[str]) -> list[str]:
    """Return who does not hold what the vault says of secrets: instances that have not taken it, accounts that are not set.

    Empty means that the next phase may begin. A node that was not looked at lags behind, for its processes still run.
    """
    desired = sealed.desired
    names = {name + suffix for name in secrets for suffix in ("", OTHER)}
    found = [
        f"{node}: it was never reached, so what its processes log in with is not known" for node in desired.unrendered
    ]
    for group in desired.instances.values():
        for instance in group:
            if why := _instance_lags(instance, sealed, observed, names):
                found.append(f"{instance.id}: {why}")
    return [*found, *_accounts_lag(sealed, observed, names)]


def _refusal(name: str, specs: Mapping[str, Secret], can: Collection[str]) -> Finding:
    if name not in specs:
        return Finding(f"there is no secret {name}", path=name, fix=f"those that can be rotated: {', '.join(can)}")
    why = f"{specs[name].description or name}: {_REASONS[specs[name].type]}"
    return Finding(
        "cannot be rotated without an outage", path=name, why=why, fix=_LEAVE if specs[name].type in _KEPT else _BY_HAND
    )


def _instance_lags(instance: Instance, sealed: Sealed, observed: Observed, names: Collection[str]) -> str:
    files = [file for file in instance.files if any(name in names for name in find(file.text))]
    if not files:
        return ""
    if instance.node not in observed:
        return "its node was not looked at (in maintenance, or unreachable)"
    seen = observed[instance.node].get("instances", {}).get(instance.name, {})
    if any(file.path in seen.get("files", {}) for file in files):
        return "its files differ"
    if all(file.bookkeeping or file.effect == "none" for file in files):
        return ""
    running = seen.get("running") or {}
    if running.get("start") != sealed.start[instance.id] or running.get("reload") != sealed.reload[instance.id]:
        return "it runs with earlier input" if running else "it does not run"
    return ""


def _accounts_lag(sealed: Sealed, observed: Observed, names: Collection[str]) -> Iterator[str]:
    desired = sealed.desired
    for item in desired.items:
        if not any(name in names for name in find(item.secret)):
            continue
        answer = observed.get(desired.owners[item.owner].node, {}).get("owners", {}).get(item.owner, {})
        there = {one["name"]: one for one in answer.get("items", {}).get(item.kind, ())}
        found = there.get(item.name, {})
        if found.get("secret") != sealed.items[item.id] or found.get("differences"):
            yield f"{item.owner}: {item.kind} {item.name} is not set"
        base = item.name.removesuffix(SECOND)
        for name in {base, base + SECOND} & there.keys():
            if not any((one.owner, one.kind, one.name) == (item.owner, item.kind, name) for one in desired.items):
                yield f"{item.owner}: {item.kind} {name} is still there"
