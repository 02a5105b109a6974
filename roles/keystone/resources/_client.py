"""A small client of Keystone's v3 API: one token, one list per collection, errors that a person can use."""

from __future__ import annotations

import functools
import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from ._refusal import why

TIMEOUT = 10.0
"""Seconds that one request may take."""

PAUSES = (0.2, 1.0, 2.0)
"""Seconds before a question whose connection was dropped is asked again."""

_token_lock = threading.Lock()


class RefusedError(RuntimeError):
    """Keystone answered with an error; ``status`` is the HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Client:
    """Talks to the API at ``context["url"]`` as scs-deploy's own account."""

    def __init__(self, context: dict[str, Any]) -> None:
        self.context = context
        self.url: str = context["url"].rstrip("/")
        self._tls = ssl.create_default_context(cafile=context["ca"]) if self.url.startswith("https") else None
        self._lists: dict[str, list[dict[str, Any]]] = {}

    def request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send one request; raises ``RefusedError`` for an error status and ``ConnectionError`` when nobody answers."""
        with _token_lock:
            token = _token(tuple(self.context.items()))
        return self._send(method, path, body, {"X-Auth-Token": token})[1]

    def accepts(self, user: str, domain_id: str, password: str) -> bool:
        """Tell whether a user can log in with a password."""
        try:
            self._send("POST", "/auth/tokens", _password_login(user, domain_id, password), {})
        except RefusedError as error:
            if error.status == 401:
                return False
            raise
        return True

    def all(self, collection: str) -> list[dict[str, Any]]:
        """Return every object of a collection; asked once per client."""
        if collection not in self._lists:
            self._lists[collection] = self.request("GET", f"/{collection}")[collection]
        return self._lists[collection]

    def forget(self, collection: str) -> None:
        self._lists.pop(collection, None)

    def id_of(self, collection: str, name: str, **fields: str) -> str:
        """Return the ID of a named object; raises ``LookupError`` when there is none."""
        for found in self.all(collection):
            if found["name"] == name and all(found.get(key) == value for key, value in fields.items()):
                return str(found["id"])
        raise LookupError(f"keystone has no {collection.rstrip('s')} named {name}")

    def domain_id(self, name: str) -> str:
        """Return the ID of a domain, given its name or its ID (the first domain has the ID ``default``)."""
        if name == "default":
            return name
        return self.id_of("domains", name)

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[str, dict[str, Any]]:
        return _send(self.url, self._tls, method, path, body, headers)


@functools.lru_cache(maxsize=4)
def _token(items: tuple[tuple[str, Any], ...]) -> str:
    context = dict(items)
    url, user = context["url"].rstrip("/"), context["user"]
    login = _password_login(user, "default", context["password"])
    login["auth"]["scope"] = {"project": {"name": context["project"], "domain": {"id": "default"}}}
    tls = ssl.create_default_context(cafile=context["ca"]) if url.startswith("https") else None
    try:
        return _send(url, tls, "POST", "/auth/tokens", login, {})[0]
    except RefusedError as error:
        if error.status == 401:
            raise RefusedError(401, f"keystone at {url} refuses the login of {user}: {why(context)}") from error
        raise


def _password_login(user: str, domain_id: str, password: str) -> dict[str, Any]:
    who = {"name": user, "domain": {"id": domain_id}, "password": password}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}}}


def _send(
    url: str, tls: ssl.SSLContext | None, method: str, path: str, body: Any, headers: dict[str, str]
) -> tuple[str, dict[str, Any]]:
    """Return the token of the answer's header, if any, and its body.

    A worker that is replaced drops its connections: what only asks is asked again.
    """
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(  # noqa: S310 - the URL is ours
        url + path, data, {"Content-Type": "application/json", "Accept": "application/json", **headers}, method=method
    )
    pauses = PAUSES if method == "GET" or path == "/auth/tokens" else ()
    for pause in (*pauses, None):
        try:
            return _once(asked, tls)
        except urllib.error.HTTPError as error:
            raise RefusedError(
                error.code, f"keystone answers {error.code} to {method} {path}: {_message(error)}"
            ) from error
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "reason", None) or error
            if pause is None or not isinstance(reason, (ConnectionResetError, ConnectionAbortedError)):
                raise ConnectionError(f"keystone at {url} does not answer: {reason}") from error
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _once(asked: urllib.request.Request, tls: ssl.SSLContext | None) -> tuple[str, dict[str, Any]]:
    with urllib.request.urlopen(asked, timeout=TIMEOUT, context=tls) as answer:  # noqa: S310
        text = answer.read()
        return answer.headers.get("X-Subject-Token", ""), json.loads(text) if text else {}


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)
