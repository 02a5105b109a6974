"""Tokens that outlive a look, in a file of root's that no reboot survives.

A login costs Keystone 0.4 s of CPU. It revokes all tokens of an account whose password, standing or domain changes: one that it still
takes proves the password by which it was got.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

MARGIN = 300.0
"""Seconds before its end from which on a token is not used any more: what has begun with it comes to its end."""

_lock = threading.Lock()


class Tokens:
    """The tokens kept in ``path``; with an empty path none is kept. A file that cannot be read counts as empty."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None

    def get(self, *login: str) -> str:
        """Return the token got by a login (URL, user, domain, password), empty when there is none or it ends soon."""
        found = self._read().get(_key(login), {})
        return str(found["token"]) if found.get("until", 0.0) > time.time() else ""

    def put(self, token: str, body: dict[str, Any], *login: str) -> None:
        """Keep a token for as long as Keystone's answer to the login says; those that have ended go."""
        lasts = _time(body, "expires_at") - _time(body, "issued_at") - MARGIN
        if not self._path or not token or lasts <= 0:
            return
        now = time.time()
        with _lock:
            kept = {key: one for key, one in self._read().items() if one.get("until", 0.0) > now}
            kept[_key(login)] = {"token": token, "until": now + lasts}
            self._write(kept)

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            data = json.loads(self._path.read_bytes()) if self._path else {}
        except (FileNotFoundError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def _write(self, kept: dict[str, dict[str, Any]]) -> None:
        """Where there is no room for them, tokens are not kept, and the next look logs in."""
        assert self._path  # noqa: S101 - nothing is put without one
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                json.dump(kept, stream)
            new.replace(self._path)


def _key(login: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps(login).encode()).hexdigest()


def _time(body: dict[str, Any], field: str) -> float:
    text = body.get("token", {}).get(field)
    return datetime.fromisoformat(text).timestamp() if text else 0.0
