"""Files of every role: exactly the wanted ones, secrets closed to others, and damage repaired."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from scs_deploy.secrets import Vault

SHORTEST_SECRET = 12
OPEN_TO_OTHERS = 0o7137
"""Every bit that 0640 lacks."""


def test_files_are_the_wanted_ones_and_no_others(cases: Any) -> None:
    for case in cases.values():
        wanted = {file.path: (int(file.mode, 8), file.uid, file.gid) for file in case.wanted.files}
        real = {path: (one["mode"], one["uid"], one["gid"]) for path, one in case.real["files"].items()}
        assert real == wanted


def test_no_secret_is_readable_by_others(cases: Any, vault: Vault) -> None:
    secrets = set(_secrets(vault))
    assert secrets
    for case in cases.values():
        for path, one in case.real["files"].items():
            content = base64.b64decode(one["content"])
            if any(secret in content for secret in secrets):
                assert not one["mode"] & OPEN_TO_OTHERS, f"{path} holds a secret and has mode {one['mode']:o}"


def _secrets(vault: Vault) -> Iterator[bytes]:
    """Every value of the vault; of a key in several lines its longest, since files may indent it."""
    yield b"PRIVATE KEY-----"
    for name in vault.names:
        value = vault.get(name)
        for text in value.values() if isinstance(value, Mapping) else [value]:
            longest = max(str(text).splitlines() or [""], key=len)
            if "CERTIFICATE" not in text and len(longest) >= SHORTEST_SECRET:
                yield longest.encode()


def test_damage_was_repaired(cases: Any, node: str) -> None:
    record = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / f"damage-{node}.json"
    if not record.exists():
        pytest.skip("nothing was damaged: molecule side-effect was not run")
    for name, files in json.loads(record.read_text(encoding="utf-8")).items():
        real = {path: _identity(one) for path, one in cases[name].real["files"].items()}
        assert {path: real.get(path) for path in files} == files


def _identity(file: Mapping[str, Any]) -> list[Any]:
    digest = hashlib.sha256(base64.b64decode(file["content"])).hexdigest()
    return [digest, file["mode"], file["uid"], file["gid"]]
