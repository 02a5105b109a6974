"""Proves that a region works for its users: a token over TLS, from outside the nodes, by the name that users know."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any

from scs_deploy.credentials import Login
from scs_deploy.errors import DeployError

TIMEOUT_SECONDS = 30
PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Proof:
    """What came back with the token; the token itself is not kept. ``expires`` as the API says it (ISO 8601, UTC)."""

    url: str
    address: str
    tls: str
    user: str
    expires: str
    services: tuple[tuple[str, str], ...]
    """Type and public URL of each service in the catalogue."""
    seconds: float


class NoAnswerError(DeployError):
    """No answer, or the load balancer's word that nobody is there: a moment after a restart that is normal."""


class _Connection(http.client.HTTPSConnection):
    """Connects to an address and verifies the certificate against a name that this machine may not be able to resolve."""

    def __init__(self, login: Login, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(login.host, login.port, timeout=timeout, context=context)
        self._login, self._tls = login, context
        self.version = ""

    def connect(self) -> None:
        plain = socket.create_connection((self._login.address, self._login.port), timeout=self.timeout)
        try:
            secure = self._tls.wrap_socket(plain, server_hostname=self._login.host)
        except BaseException:
            plain.close()
            raise
        self.sock, self.version = secure, secure.version() or ""


def token_within(login: Login, seconds: float) -> Proof:
    """Like ``token``, but try again for some seconds while nobody answers: a load balancer needs a few to see a member back."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return token(login)
        except NoAnswerError:
            if time.monotonic() > deadline:
                raise
        time.sleep(PAUSE_SECONDS)


def token(login: Login, *, timeout: float = TIMEOUT_SECONDS) -> Proof:
    """Log in as the administrator; raises ``DeployError`` when the endpoint cannot be trusted or says no, ``NoAnswerError`` without an answer."""
    began = time.monotonic()
    connection = _Connection(login, ssl.create_default_context(cadata=login.ca_pem or None), timeout)
    try:
        connection.request(
            "POST", "/v3/auth/tokens", json.dumps(_question(login)), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        body = answer.read()
    except ssl.SSLCertVerificationError as error:
        raise _failed(
            login,
            "the certificate is not valid",
            error.verify_message or str(error),
            "run scs-deploy apply: it issues what is missing",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        fix = "see scs-deploy status; a lab in a namespace of its own is reached by scs-deploy lab exec only"
        raise NoAnswerError(
            "no answer", where=_where(login), why=str(error) or type(error).__name__, fix=fix
        ) from error
    finally:
        connection.close()
    if answer.status == http.HTTPStatus.UNAUTHORIZED:
        raise _failed(
            login, "the administrator's password is not accepted", _message(body), "run scs-deploy plan to see why"
        )
    if answer.status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        fix = "see scs-deploy status: no member behind the load balancer is healthy"
        raise NoAnswerError("no token: HTTP 503", where=_where(login), why=_message(body), fix=fix)
    if answer.status != http.HTTPStatus.CREATED or not answer.getheader("X-Subject-Token"):
        raise _failed(login, f"no token: HTTP {answer.status}", _message(body), "see scs-deploy logs of this service")
    return _proof(login, _body(body), connection.version, time.monotonic() - began)


def _question(login: Login) -> dict[str, Any]:
    domain = {"name": "Default"}
    user = {"name": login.user, "domain": domain, "password": str(login.password)}
    return {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": login.project, "domain": domain}},
        }
    }


def _proof(login: Login, body: dict[str, Any], tls: str, seconds: float) -> Proof:
    found = body.get("token") or {}
    services = tuple(
        (str(service.get("type")), next((e["url"] for e in service["endpoints"] if e["interface"] == "public"), ""))
        for service in found.get("catalog") or ()
    )
    user = str(found.get("user", {}).get("name", ""))
    return Proof(login.url, login.address, tls, user, str(found.get("expires_at", "")), services, seconds)


def _body(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _message(body: bytes) -> str:
    error = _body(body).get("error")
    if isinstance(error, dict):
        return str(error.get("message", ""))
    return " ".join(re.sub(r"<[^>]*>", " ", body[:500].decode(errors="replace")).split())


def _failed(login: Login, what: str, why: str, fix: str) -> DeployError:
    return DeployError(what, where=_where(login), why=why, fix=fix)


def _where(login: Login) -> str:
    return f"{login.url} at {login.address}"
