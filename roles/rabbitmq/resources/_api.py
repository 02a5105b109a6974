"""One connection to the management API of the local member, over TLS, and the little that both kinds share."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Difference

MARK = "scs-deploy"
"""Tag of the users and vhosts that were made by us: only these are ever reported as no longer wanted."""


class Api:
    """JSON over a kept connection; every error is a ``RuntimeError`` that names the request and the server's reason."""

    def __init__(self, context: Mapping[str, str]) -> None:
        login = f"{context['user']}:{context['password']}".encode()
        self._headers = {
            "authorization": f"Basic {base64.b64encode(login).decode()}",
            "content-type": "application/json",
        }
        trust = ssl.create_default_context(cafile=context["ca"])
        self._connection = http.client.HTTPSConnection(context["host"], int(context["port"]), timeout=10, context=trust)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, *path: str) -> Any:
        return self._call("GET", path)

    def put(self, *path: str, body: Mapping[str, Any]) -> None:
        self._call("PUT", path, body)

    def delete(self, *path: str) -> None:
        """What is not there counts as deleted."""
        self._call("DELETE", path, accept=(404,))

    def _call(
        self, method: str, path: tuple[str, ...], body: Mapping[str, Any] | None = None, accept: tuple[int, ...] = ()
    ) -> Any:
        address = "/api/" + "/".join(quote(part, safe="") for part in path)
        self._connection.request(method, address, json.dumps(body) if body is not None else None, self._headers)
        response = self._connection.getresponse()
        text = response.read()
        if response.status >= 300 and response.status not in accept:
            raise RuntimeError(f"{method} {address}: {response.status} {_reason(text)}".rstrip())
        return json.loads(text) if method == "GET" else None


def _reason(text: bytes) -> str:
    try:
        answer = json.loads(text)
        return str(answer.get("reason", "")) if isinstance(answer, dict) else ""
    except ValueError:
        return text[:200].decode(errors="replace")


def tags(value: object) -> list[str]:
    """Return tags as a sorted list without our own, from a list or a comma-separated text."""
    listed = value.split(",") if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else []
    return sorted({str(tag).strip() for tag in listed} - {"", MARK})


def told(wanted: Mapping[str, Any], actual: Mapping[str, Any], same: Mapping[str, bool]) -> dict[str, Any]:
    """Return attributes as the wanted item spells them where they mean the same, else the actual ones."""
    return {key: value if same.get(key, False) else actual.get(key) for key, value in wanted.items()}


def difference(what: str, actual: object, wanted: object) -> Difference:
    """Return what differs beyond the attributes that an item names; nothing is told as ``none``."""

    def said(value: object) -> str:
        return (" and ".join(value) if isinstance(value, list) else str(value)) or "none"

    return {"what": what, "is": said(actual), "wanted": said(wanted)}
