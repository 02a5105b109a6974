"""Proves that a region works for its users: a token over TLS, from outside the nodes, by the name that users know."""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from scs_deploy.cloud import access
from scs_deploy.cloud.credentials import Login
from scs_deploy.errors import DeployError
from scs_deploy.machine.waiting import wait_for

TIMEOUT_SECONDS = 30
PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Proof:
    """What came back with the token; the token itself is not kept. ``expires`` in ISO 8601, UTC."""

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


def token_within(login: Login, seconds: float) -> Proof:
    """Like ``token``, but try again for some seconds while nobody answers: a load balancer needs a few to see a member back."""

    def asked() -> Proof | None:
        with contextlib.suppress(NoAnswerError):
            return token(login)
        return None

    return wait_for(asked, seconds, PAUSE_SECONDS) or token(login)


def token(login: Login, *, timeout: float = TIMEOUT_SECONDS) -> Proof:
    """Log in; raises ``DeployError`` when the endpoint cannot be trusted or says no, ``NoAnswerError`` without an answer."""
    from keystoneauth1 import exceptions

    began = time.monotonic()
    versions: list[str] = []
    with tempfile.TemporaryDirectory(prefix="scs-prove-") as folder:
        names, ca = {login.host: login.address}, access.ca_file(login, Path(folder))
        http = access.http_session(names, ca, retries=0, connected=lambda one: versions.append(one.version() or ""))
        with http:
            session = access.keystone_session(login, http, timeout=timeout, redirect=False)
            try:
                found = session.auth.get_access(session)
                return _proof(login, found, versions[-1], time.monotonic() - began)
            except exceptions.ConnectionError as error:
                raise _no_answer(login, error) from error
            except (exceptions.HttpError, exceptions.InvalidResponse) as error:
                response: Any = error.response
                raise _no_token(login, response.status_code, response.content) from error
            except KeyError as error:  # the header or a part of the body, all of which keystoneauth takes for granted
                raise _no_token(login, HTTPStatus.CREATED, b"") from error


def _proof(login: Login, found: Any, tls: str, seconds: float) -> Proof:
    services = tuple(
        (service["type"], next((one["url"] for one in service["endpoints"] if _here(login, one)), ""))
        for service in found.service_catalog.catalog
    )
    return Proof(
        login.url, login.address, tls, found.username, f"{found.expires:%Y-%m-%dT%H:%M:%SZ}", services, seconds
    )


def _no_answer(login: Login, error: BaseException) -> DeployError:
    """By what went wrong at the bottom, without the frames that each library puts around it."""
    why = error
    while why.__context__:
        why = why.__context__
    if isinstance(why, ssl.SSLCertVerificationError):
        return _failed(
            login,
            "the certificate is not valid",
            why.verify_message or str(why),
            "run scs-deploy apply: it issues what is missing",
        )
    fix = "see scs-deploy status; a lab in a namespace of its own is reached by scs-deploy lab exec only"
    return NoAnswerError("no answer", where=_where(login), why=str(why) or type(why).__name__, fix=fix)


def _no_token(login: Login, status: int, body: bytes) -> DeployError:
    if status == HTTPStatus.UNAUTHORIZED:
        return _failed(
            login,
            f"the login of {login.user} is refused",
            f"{_message(body)} (no outsider is told whether the password is wrong or the account is locked)",
            "the log of the identity service says which; of the toolkit's own account scs-deploy plan does",
        )
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        fix = "see scs-deploy status: no member behind the load balancer is healthy"
        return NoAnswerError("no token: HTTP 503", where=_where(login), why=_message(body), fix=fix)
    return _failed(login, f"no token: HTTP {status}", _message(body), "see scs-deploy logs of this service")


def _here(login: Login, endpoint: Mapping[str, Any]) -> bool:
    return (endpoint["interface"], endpoint["region_id"]) == ("public", login.region)


def _message(body: bytes) -> str:
    """What the server said: Keystone's JSON, or the page of a load balancer without its tags."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return str(json.loads(body)["error"]["message"])
    return " ".join(re.sub(r"<[^>]*>", " ", body[:500].decode(errors="replace")).split())


def _failed(login: Login, what: str, why: str, fix: str) -> DeployError:
    return DeployError(what, where=_where(login), why=why, fix=fix)


def _where(login: Login) -> str:
    return f"{login.url} at {login.address}"
