"""A small client of Keystone's v3 API: one token and one list per collection for a look, errors that a person can use."""

from __future__ import annotations

import functools
import http.client
import json
import queue
import ssl
import threading
import time
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from ._refusal import why
from ._tokens import Tokens

TIMEOUT = 30.0
"""Seconds that one request may take."""

PAUSES = (0.2, 1.0, 2.0)
"""Seconds before a question is asked again whose connection was dropped, or which Keystone could not answer."""

PAGE = 1000
"""Objects asked for at a time where Keystone tells page by page: more than its ``max_db_limit``, 1000, it never tells."""

PAGED = frozenset({"users", "projects", "domains"})
"""Collections that end after ``max_db_limit`` objects, and say so only where a limit is asked for (keystone 27)."""

_token_lock = threading.Lock()
_looks: dict[str, Client] = {}
_idle: dict[str, queue.SimpleQueue[http.client.HTTPConnection]] = {}


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
        self._lists: dict[str, list[dict[str, Any]]] = {}

    def request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send one request; raises ``RefusedError`` for an error status and ``ConnectionError`` when nobody answers."""
        if method != "GET":
            _looks.clear()
        return self._send(method, path, body, {"X-Auth-Token": self._token()})[1]

    def accepts(self, user: str, domain_id: str, password: str) -> bool:
        """Tell whether a user can log in with a password; that of our own account is proved by our token."""
        if (user, domain_id, password) == (self.context["user"], "default", self.context["password"]):
            return bool(self._token())
        login = _password_login(user, domain_id, password)
        login["auth"]["scope"] = "unscoped"  # else Keystone looks for roles in the user's default project
        own = self._token()
        try:
            _logged_in(self.context, login, (self.url, user, domain_id, password), own)
        except RefusedError as error:
            if error.status == 401:
                return False
            raise
        return True

    def all(self, collection: str) -> list[dict[str, Any]]:
        """Return every object of a collection; asked once per client. Raises ``RuntimeError`` where Keystone keeps some back."""
        if collection not in self._lists:
            self._lists[collection] = self._pages(collection)
        return self._lists[collection]

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

    def _pages(self, collection: str) -> list[dict[str, Any]]:
        asked: dict[str, Any] = {"limit": PAGE} if collection in PAGED else {}
        found: dict[str, dict[str, Any]] = {}
        while True:
            answer = self.request("GET", f"/{collection}" + (f"?{urlencode(asked)}" if asked else ""))
            listed: list[dict[str, Any]] = answer[collection]
            if not found and not answer.get("truncated"):
                return listed
            known = len(found)
            found |= {one["id"]: one for one in listed}
            following = urlsplit((answer.get("links") or {}).get("next") or "").query
            if answer.get("truncated") and (collection not in PAGED or not following or len(found) == known):
                raise RuntimeError(
                    f"keystone keeps {collection} back, and tells only {len(listed)} of them: take list_limit out of its configuration"
                )
            if not following:
                return list(found.values())
            asked = {key: values[-1] for key, values in parse_qs(following).items()}

    def _token(self) -> str:
        with _token_lock:
            return _token(tuple(self.context.items()))

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[str, dict[str, Any]]:
        return _send(self.context, method, path, body, headers)


def look(context: dict[str, Any]) -> Client:
    """Return the client whose lists all kinds share that are looked at together; whoever changes something ends it."""
    return _looks.setdefault(json.dumps(context, sort_keys=True), Client(context))


@functools.lru_cache(maxsize=4)
def _token(items: tuple[tuple[str, Any], ...]) -> str:
    context = dict(items)
    url, user = context["url"].rstrip("/"), context["user"]
    login = _password_login(user, "default", context["password"])
    login["auth"]["scope"] = {"project": {"name": context["project"], "domain": {"id": "default"}}}
    try:
        return _logged_in(context, login, (url, user, f"on {context['project']}", context["password"]))
    except RefusedError as error:
        if error.status == 401:
            raise RefusedError(401, f"keystone at {url} refuses the login of {user}: {why(context)}") from error
        raise


def _logged_in(context: dict[str, Any], login: dict[str, Any], key: tuple[str, ...], own: str = "") -> str:
    """Return a token: that of an earlier login which Keystone still takes, asked by the token ``own`` or by itself, or a new one."""
    kept = Tokens(context.get("tokens", ""))
    token = kept.get(*key)
    if token and _is_taken(context, own or token, token):
        return token
    token, body = _send(context, "POST", "/auth/tokens", login, {})
    kept.put(token, body, *key)
    return token


def _is_taken(context: dict[str, Any], own: str, token: str) -> bool:
    """Ask Keystone whether a token is still good."""
    try:
        _send(context, "HEAD", "/auth/tokens", None, {"X-Auth-Token": own, "X-Subject-Token": token})
    except RefusedError as error:
        if error.status in (401, 404):
            return False
        raise
    return True


def _password_login(user: str, domain_id: str, password: str) -> dict[str, Any]:
    who = {"name": user, "domain": {"id": domain_id}, "password": password}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}}}


def _send(
    context: dict[str, Any], method: str, path: str, body: Any, headers: dict[str, str]
) -> tuple[str, dict[str, Any]]:
    """Return the token of the answer's header, if any, and its body.

    A worker that is replaced drops its connections, and one whose database is away for a moment answers 500: what only asks is asked again.
    """
    url, trust = context["url"].rstrip("/"), _trust(context["ca"]) if context["url"].startswith("https") else None
    asks = method in ("GET", "HEAD") or path == "/auth/tokens"
    data = None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", "Accept": "application/json", **headers}
    request = (method, urlsplit(url).path + path, data, sent)
    for pause in (*(PAUSES if asks else ()), None):
        try:
            answer, text = _exchange(url, trust, request, again=asks)
        except (OSError, http.client.HTTPException) as error:
            if pause is None or not isinstance(error, (ConnectionResetError, ConnectionAbortedError)):
                raise ConnectionError(f"keystone at {url} does not answer: {error}") from error
            time.sleep(pause)
            continue
        if answer.status >= 500 and pause is not None:
            time.sleep(pause)
            continue
        if answer.status >= 300:
            reason = _message(text) or answer.reason
            raise RefusedError(answer.status, f"keystone answers {answer.status} to {method} {path}: {reason}")
        return answer.headers.get("X-Subject-Token", ""), json.loads(text) if text else {}
    raise AssertionError("the last try returns or raises")


def _exchange(
    url: str, trust: ssl.SSLContext | None, request: tuple[str, str, bytes | None, dict[str, str]], *, again: bool
) -> tuple[http.client.HTTPResponse, bytes]:
    """Send a request on a kept connection; on a new one where there is none, where the server closed it, or where ``again`` is
    false: what may not be sent twice cannot be tried on one that may be closed. What stays open is kept.
    """
    idle = _idle.setdefault(url, queue.SimpleQueue())
    if again:
        try:
            return _answer(idle.get_nowait(), request, idle)
        except queue.Empty:
            pass
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException):
            pass
    return _answer(_connection(url, trust), request, idle)


def _answer(
    connection: http.client.HTTPConnection,
    request: tuple[str, str, bytes | None, dict[str, str]],
    idle: queue.SimpleQueue[http.client.HTTPConnection],
) -> tuple[http.client.HTTPResponse, bytes]:
    try:
        connection.request(*request)
        answer = connection.getresponse()
        text = answer.read()
    except BaseException:
        connection.close()
        raise
    if connection.sock is not None:
        idle.put(connection)
    return answer, text


def _connection(url: str, trust: ssl.SSLContext | None) -> http.client.HTTPConnection:
    host, port = urlsplit(url).hostname or "", urlsplit(url).port
    if trust:
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=trust)
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT)


@functools.lru_cache(maxsize=4)
def _trust(ca: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


def _message(text: bytes) -> str:
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ""
