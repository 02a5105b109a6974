"""Rotation of passwords without an outage (ADR 6): which secrets can be rotated, what each phase means, and when the next may begin."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scs_deploy.catalogue.load import Catalogue
from scs_deploy.catalogue.service import Secret
from scs_deploy.errors import DeployError, Finding, InputError
from scs_deploy.operations.incomplete import refused_error, unreachable_error
from scs_deploy.operations.plan import Planned, desired
from scs_deploy.operations.site import Site
from scs_deploy.operations.store import Store
from scs_deploy.plan.inputs import Observed
from scs_deploy.plan.plan import Plan
from scs_deploy.render.desired import Desired, Instance
from scs_deploy.render.digests import Sealed
from scs_deploy.secrets import Preview, Vault, account_names
from scs_deploy.secrets.account_names import OTHER, SECOND
from scs_deploy.secrets.generate import generate
from scs_deploy.secrets.keys import rotate as rotated
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


def rotatable(now: Desired, catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """Return the secrets that only accounts log in with, and what those are: secret -> ``database user keystone``, …"""
    users: dict[str, list[str]] = {}
    other: set[str] = set()
    for item in now.items:
        owner, owns = now.owners[item.owner], catalogue.services[item.owner].owns
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


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation of passwords that was not begun: secret -> accounts that log in with it, the new values, and the vault as it will be."""

    users: Mapping[str, tuple[str, ...]]
    fresh: account_names.Values
    preview: Preview


def prepare(site: Site, store: Store, vault: Vault, planned: Planned, chosen: Sequence[str]) -> Rotation:
    """Make new values for the chosen secrets, in memory.

    Raises ``DeployError`` where somebody does not hold what the vault has, and as ``require_names`` does.
    """
    _require_current(planned, chosen, "nothing was rotated")
    fresh = {name: generate(name, site.secrets[name]) for name in chosen}
    taken = account_names.advance(account_names.begin(vault.values(), fresh), chosen)
    preview = Preview(vault, site.secrets, taken)
    require_names(desired(site, store, preview), chosen)
    users = rotatable(planned.sealed.desired, site.catalogue)
    return Rotation({name: users[name] for name in chosen}, fresh, preview)


def begin(vault: Vault, rotation: Rotation) -> None:
    """Write the new values into the vault, beside those that are in use."""
    vault.change(lambda values: account_names.begin(values, rotation.fresh))


def advance(vault: Vault, planned: Planned, phase: account_names.Phase, secrets: Sequence[str]) -> None:
    """Go on to the next phase in the vault; raises ``DeployError`` while somebody does not hold what this one says."""
    _require_current(planned, secrets, f"the rotation stays in {account_names.title(phase).partition(':')[0]}")
    vault.change(lambda values: account_names.advance(values, secrets))


def prepare_keys(site: Site, vault: Vault, planned: Planned, signing: Mapping[str, Secret]) -> Preview:
    """The vault with keys rotated; raises ``DeployError`` where somebody does not hold what the vault has now."""
    _require_current(planned, tuple(signing), "nothing was rotated")
    return Preview(vault, site.secrets, rotated(vault.values(), signing, vault.clock()))


def replace_keys(vault: Vault, signing: Mapping[str, Secret]) -> None:
    vault.change(lambda values: rotated(values, signing, vault.clock()))


def going_on(site: Site, going: tuple[str, ...], names: Sequence[str], services: Sequence[str]) -> tuple[str, ...]:
    """Return the secrets whose rotation goes on; raises ``DeployError`` when others were asked for."""
    known = [site.catalogue.services[one] for one in services if one in site.catalogue.services]
    own = {name for service in known for name in service.secrets}
    if set(names) - set(going) or (services and not own & set(going)):
        raise DeployError(
            f"a rotation of {', '.join(going)} is under way",
            why="one is finished before the next begins",
            fix="run scs-deploy secrets rotate without names, then again with them",
        )
    return going


def require_known(plan: Plan) -> None:
    """Raise ``DeployError`` where not all could be looked at, and for what a node refuses."""
    if plan.unknown:
        raise unreachable_error(plan.unknown)
    if plan.refused:
        raise refused_error(plan)


def require_settled(plan: Plan) -> None:
    """Raise ``DeployError`` when a plan is not empty."""
    if not plan.empty:
        raise DeployError(
            "other changes are pending; nothing was rotated",
            why="a rotation carries out only what belongs to it",
            fix="run scs-deploy apply first, then again",
        )


def _require_current(planned: Planned, secrets: Collection[str], stays: str) -> None:
    found = lagging(planned.sealed, planned.look.observed, secrets)
    if found:
        raise DeployError(
            f"not everybody has the values that the vault has; {stays}",
            why="; ".join(found[:10]) + (f"; and {len(found) - 10} more" if len(found) > 10 else ""),
            fix="repair that, apply, then run scs-deploy secrets rotate again: it goes on where it stopped",
        )


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
    seen = observed[instance.node].instances.get(instance.name)
    if seen and any(file.path in seen.files for file in files):
        return "its files differ"
    if all(file.bookkeeping or file.effect == "none" for file in files):
        return ""
    running = seen and seen.running
    if not running:
        return "it does not run"
    latest = (running.start, running.reload) == (sealed.start[instance.id], sealed.reload[instance.id])
    return "" if latest else "it runs with earlier input"


def _accounts_lag(sealed: Sealed, observed: Observed, names: Collection[str]) -> Iterator[str]:
    desired = sealed.desired
    for item in desired.items:
        if not any(name in names for name in find(item.secret)):
            continue
        answer = observed.get(desired.owners[item.owner].node)
        told = answer.owners.get(item.owner) if answer else None
        there = {one.name: one for one in told.items.get(item.kind, ())} if told else {}
        found = there.get(item.name)
        if not found or found.secret != sealed.items[item.id] or found.differences:
            yield f"{item.owner}: {item.kind} {item.name} is not set"
        base = item.name.removesuffix(SECOND)
        for name in {base, base + SECOND} & there.keys():
            if not any((one.owner, one.kind, one.name) == (item.owner, item.kind, name) for one in desired.items):
                yield f"{item.owner}: {item.kind} {name} is still there"
