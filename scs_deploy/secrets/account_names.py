"""Under which names accounts log in while their passwords are rotated: pure functions on the vault's values (ADR 6).

An account has two names, NAME and NAME~b, and takes them in turns: nobody who logs in under one of them notices what happens
to the other. Where a secret stands is an entry of the vault, ``rotation``: secret -> ``first`` or ``second`` (the name that
consumers log in with), and a phase while it is rotated. The value of the other name is then the secret NAME~other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from scs_deploy.errors import InputError

ENTRY = "rotation"
SECOND = "~b"
"""Suffix of an account's second name; no name of a service or resource holds a tilde."""
OTHER = "~other"
"""Suffix of the secret that the account's other name has."""

Phase = Literal["offered", "taken", "withdrawn"]
PHASES: tuple[Phase, ...] = get_args(Phase)

MEANING: Mapping[Phase, str] = {
    "offered": "new accounts beside the old ones; nobody logs in with them yet",
    "taken": "consumers take the new accounts; the old ones are still accepted",
    "withdrawn": "the old accounts are removed",
}

Values = Mapping[str, str | Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a secret stands; without ``phase`` it is not being rotated."""

    second: bool = False
    phase: Phase | None = None

    def __str__(self) -> str:
        return " ".join(["second" if self.second else "first", *([self.phase] if self.phase else [])])


@dataclass(frozen=True, slots=True)
class AccountName:
    """A name that an account has: what is added to its own, and the secret that it logs in with."""

    suffix: str
    secret: str


Standings = Mapping[str, Standing]
"""secret -> where it stands; one that is not there was never rotated."""


def read(values: Values) -> dict[str, Standing]:
    """Return the standings of a vault; raises ``InputError`` for an entry that a person broke."""
    entry = values.get(ENTRY, {})
    found = {name: _parsed(text) for name, text in entry.items()} if isinstance(entry, Mapping) else {"": None}
    lost = [
        name for name, one in found.items() if one and one.phase in ("offered", "taken") and name + OTHER not in values
    ]
    wrong = [name for name, one in found.items() if one is None]
    if wrong or lost:
        raise InputError(
            f"the vault's entry {ENTRY} cannot be used: {', '.join(wrong + lost).strip() or ENTRY}",
            why=f"it says first or second and a phase ({', '.join(PHASES)}), and until the last one NAME{OTHER} is there",
            fix="restore secrets.yml from version control",
        )
    return {name: one for name, one in found.items() if one}


def names(secret: str, standings: Standings) -> tuple[AccountName, ...]:
    """Return the names that an account with this secret must have: first the one that consumers log in with."""
    one = standings.get(secret, Standing())
    current = AccountName(SECOND if one.second else "", secret)
    if one.phase in ("offered", "taken"):
        return current, AccountName("" if one.second else SECOND, secret + OTHER)
    return (current,)


def under_way(standings: Standings) -> dict[str, Phase]:
    """Return the secrets that are being rotated, with their phase."""
    return {name: one.phase for name, one in standings.items() if one.phase}


def title(phase: Phase) -> str:
    """``phase 2 of 3: consumers take the new accounts; …``."""
    return f"phase {PHASES.index(phase) + 1} of {len(PHASES)}: {MEANING[phase]}"


def notes(standings: Standings) -> tuple[str, ...]:
    """Return what a plan says about rotations under way."""
    groups: dict[Phase, list[str]] = {}
    for name, phase in sorted(under_way(standings).items()):
        groups.setdefault(phase, []).append(name)
    return tuple(
        f"rotation under way, {title(phase)} ({', '.join(secrets)}); 'scs-deploy secrets rotate' goes on"
        for phase, secrets in groups.items()
    )


def begin(values: Values, fresh: Values) -> dict[str, str | Mapping[str, str]]:
    """Offer new values (``fresh``: secret -> value) beside the old ones."""
    standings = read(values)
    offered = {name: replace(standings.get(name, Standing()), phase="offered") for name in fresh}
    return _with({**values, **{name + OTHER: value for name, value in fresh.items()}}, {**standings, **offered})


def advance(values: Values, secrets: Collection[str]) -> dict[str, str | Mapping[str, str]]:
    """Go one phase on with secrets: consumers take the new value, the old one is withdrawn, the rotation is over."""
    changed, standings = dict(values), read(values)
    for name in secrets:
        one = standings[name]
        if one.phase == "offered":
            changed[name], changed[name + OTHER] = values[name + OTHER], values[name]
            standings[name] = Standing(not one.second, "taken")
        elif one.phase == "taken":
            del changed[name + OTHER]
            standings[name] = replace(one, phase="withdrawn")
        else:
            standings[name] = replace(one, phase=None)
    return _with(changed, standings)


def _with(values: Values, standings: Standings) -> dict[str, str | Mapping[str, str]]:
    entry = {name: str(one) for name, one in standings.items() if one != Standing()}
    kept = {name: value for name, value in values.items() if name != ENTRY}
    return {**kept, ENTRY: entry} if entry else kept


def _parsed(text: str) -> Standing | None:
    which, _, phase = text.partition(" ")
    if which not in ("first", "second") or phase not in ("", *PHASES):
        return None
    return Standing(which == "second", cast("Phase", phase) if phase else None)
