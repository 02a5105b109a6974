"""Rotation of keys that sign what is soon worthless, as Keystone's tokens: the staged key becomes the primary one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from scs_deploy.catalogue.service import Secret
from scs_deploy.errors import Finding
from scs_deploy.secrets.generate import generate

ENTRY = "keys-rotated"
"""Entry of the vault: secret -> when its keys were last rotated (ISO 8601, UTC)."""
STAGED = "0"

Values = Mapping[str, str | Mapping[str, str]]


def rotate(values: Values, wanted: Mapping[str, Secret], now: datetime) -> dict[str, str | Mapping[str, str]]:
    """Return a vault's values with the keys of secrets rotated."""
    last = values.get(ENTRY, {})
    dates = {
        **(last if isinstance(last, Mapping) else {}),
        **{name: now.isoformat(timespec="seconds") for name in wanted},
    }
    return {**values, **{name: _rotated(values[name], spec) for name, spec in wanted.items()}, ENTRY: dates}


def too_early(name: str, spec: Secret, values: Values, now: datetime) -> Finding | None:
    """Say why keys cannot be rotated yet: the one that would be dropped may have signed what is still valid."""
    last = values.get(ENTRY, {})
    date = last.get(name) if isinstance(last, Mapping) else None
    if not date:
        return None  # the first keys but one never signed anything
    until = datetime.fromisoformat(date) + timedelta(minutes=spec.valid_minutes)
    if now >= until:
        return None
    return Finding(
        f"its keys were rotated at {date} and cannot be rotated again before {until.isoformat(timespec='minutes')}",
        path=name,
        why=f"{spec.count} keys are kept; what the oldest of them signed is valid for {spec.valid_minutes} minutes",
        fix="wait; or, after a leak, remove it with 'scs-deploy secrets edit' and apply: everything signed is then void",
    )


def _rotated(keys: str | Mapping[str, str], spec: Secret) -> dict[str, str]:
    """Every member has the staged key already, so all of them accept what one signs with it while others still lack the rest."""
    assert isinstance(keys, Mapping)  # noqa: S101 - the vault checks the shape of what services declare
    fresh = generate("", spec)
    assert isinstance(fresh, Mapping)  # noqa: S101 - of the same type
    numbers = sorted(int(number) for number in keys if number != STAGED)
    signed = {str(number): keys[str(number)] for number in numbers[-(spec.count - 2) :]} if spec.count > 2 else {}
    return {STAGED: fresh[STAGED], **signed, str(max(numbers, default=0) + 1): keys[STAGED]}
