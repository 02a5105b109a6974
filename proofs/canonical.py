"""The canonical digest of a deployed state, and how two states differ in words (docs/state-digest.md)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

State = Mapping[str, Any]
"""Node -> what ``node_state.py`` calls its end state."""


def digest(state: State) -> str:
    """Equal for two deployments that differ in nothing but times, identifiers and data that services write."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]


def differences(wanted: Any, found: Any, path: str = "") -> list[str]:
    """Return a line per place where two states differ: ``path: wanted, not found``; nothing when they are equal."""
    return list(_differences(wanted, found, path))


def _differences(wanted: Any, found: Any, path: str) -> Iterator[str]:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key in sorted({*wanted, *found}):
            below = f"{path} > {key}" if path else str(key)
            if key not in found:
                yield f"{below}: missing; it is to be {_short(wanted[key])}"
            elif key not in wanted:
                yield f"{below}: unexpected: {_short(found[key])}"
            else:
                yield from _differences(wanted[key], found[key], below)
    elif wanted != found and isinstance(wanted, list) and isinstance(found, list) and _texts(wanted) and _texts(found):
        yield from (f"{path}: missing: {_short(one)}" for one in wanted if one not in found)
        yield from (f"{path}: unexpected: {_short(one)}" for one in found if one not in wanted)
        if sorted(wanted) == sorted(found):
            yield f"{path}: another order"
    elif wanted != found:
        yield f"{path}: {_short(found)}; it is to be {_short(wanted)}"


def _texts(values: list[Any]) -> bool:
    return all(isinstance(one, str) for one in values)


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 300 else f"{text[:300]}…"
