"""The one string that travels each way between controller and node: base64 of gzip of JSON."""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import json
import zlib
from typing import Any

VERSION = 1


class WireError(ValueError):
    """A payload that cannot be read, or one of another format version."""


def encode(data: dict[str, Any]) -> str:
    """Return the wire form of a message."""
    return base64.b64encode(gzip.compress(json.dumps(data).encode(), compresslevel=4, mtime=0)).decode("ascii")


def decode(text: str) -> dict[str, Any]:
    """Return the message in ``text``; raise WireError when it is damaged or of another version."""
    try:
        data = json.loads(gzip.decompress(base64.b64decode(text, validate=True)))
    except (binascii.Error, OSError, EOFError, zlib.error, ValueError) as error:
        raise WireError(f"the payload cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise WireError("the payload is not an object")
    version = data.get("v")
    if version != VERSION:
        raise WireError(f"the payload has format version {version!r}, this side speaks {VERSION}")
    return data


def digest(data: Any) -> str:
    """Return the SHA-256 of the canonical JSON of ``data``."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
