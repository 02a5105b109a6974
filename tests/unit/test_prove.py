"""The proof of a token, against a TLS server on loopback with a certificate of a real internal CA."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from scs_deploy.cloud.credentials import Login
from scs_deploy.cloud.prove import NoAnswerError, token, token_within
from scs_deploy.errors import DeployError
from scs_deploy.secrets import pki

ENDPOINT = {"interface": "public", "region_id": "t", "url": "https://api.t.test:5000/v3"}
TOKEN = {"expires_at": "2030-01-01T00:00:00Z", "user": {"name": "admin"}}
CATALOG = [
    {
        "type": "identity",
        "endpoints": [
            {**ENDPOINT, "interface": "internal"},
            {**ENDPOINT, "region_id": "u", "url": "https://other"},
            ENDPOINT,
        ],
    }
]


class Identity(BaseHTTPRequestHandler):
    away = 0
    """How many requests more the load balancer answers for nobody."""

    def do_POST(self) -> None:
        if Identity.away:
            Identity.away -= 1
            self.send_response(503)
            self.end_headers()
            self.wfile.write(b"<html><body><h1>503 Service Unavailable</h1></body></html>")
            return
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        password = asked["auth"]["identity"]["password"]["user"]["password"]
        if password == "silent":
            return
        code, body = {
            "tokenless": (201, {"token": {**TOKEN, "catalog": CATALOG}}),
            "strange": (201, {"token": {}}),
            "elsewhere": (307, {}),
            "right": (201, {"token": {**TOKEN, "catalog": CATALOG}}),
            "broken": (503, {"error": {"message": "database is away"}}),
        }.get(password, (401, {"error": {"message": "not you"}}))
        self.send_response(code)
        if password in {"right", "strange"}:
            self.send_header("X-Subject-Token", "gAAAA-very-secret")
        if code == 307:
            self.send_header("Location", "http://127.0.0.1:1/v3/auth/tokens")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Login]:
    folder: Path = tmp_path_factory.mktemp("tls")
    authority = pki.Authority.create("t", pki.utc_now())
    made = authority.issue(pki.CertificateRequest("haproxy", ("api.t.test",), ()), pki.utc_now())
    (folder / "bundle.pem").write_text(made.cert_pem + made.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "bundle.pem")
    server = HTTPServer(("127.0.0.1", 0), Identity)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Login("t", "t", "api.t.test", "127.0.0.1", server.server_port, "right", authority.cert_pem)
    server.shutdown()
    server.server_close()


def test_a_token_with_the_catalogue_and_without_secrets(endpoint: Login):
    proof = token(endpoint)
    assert proof.services == (("identity", "https://api.t.test:5000/v3"),)
    assert (proof.user, proof.expires) == ("admin", "2030-01-01T00:00:00Z")
    assert proof.tls.startswith("TLSv1.")
    assert "gAAAA" not in repr(proof)
    assert "right" not in repr(proof)


@pytest.mark.parametrize(
    ("change", "what", "why"),
    [
        ({"password": "wrong"}, "login of admin is refused", "not you (no outsider is told whether"),
        ({"password": "broken"}, "HTTP 503", "database is away"),
        ({"password": "silent"}, "no answer", "Remote end closed connection without response"),
        ({"password": "tokenless"}, "no token: HTTP 201", ""),
        ({"password": "strange"}, "no token: HTTP 201", ""),
        ({"password": "elsewhere"}, "no token: HTTP 307", ""),
        ({"host": "api.else.test"}, "certificate is not valid", "Hostname mismatch"),
        ({"port": 1}, "no answer", "refused"),
    ],
)
def test_failures_say_what_and_why(endpoint: Login, change: dict[str, Any], what: str, why: str):
    with pytest.raises(DeployError) as caught:
        token(replace(endpoint, **change))
    assert what in caught.value.what
    assert why in caught.value.why
    assert caught.value.fix
    assert "127.0.0.1" in caught.value.where


def test_another_ca_is_not_trusted(endpoint: Login):
    stranger = pki.Authority.create("u", pki.utc_now())
    with pytest.raises(DeployError, match="certificate is not valid"):
        token(replace(endpoint, ca_pem=stranger.cert_pem))


def test_waits_for_one_who_is_not_there_yet(endpoint: Login):
    Identity.away = 2
    assert token_within(endpoint, 10).user == "admin"
    assert Identity.away == 0
    Identity.away = 100
    with pytest.raises(NoAnswerError) as caught:
        token_within(endpoint, 0)
    Identity.away = 0
    assert caught.value.why == "503 Service Unavailable"


def test_does_not_try_a_wrong_password_again(endpoint: Login):
    with pytest.raises(DeployError, match="is refused"):
        token_within(replace(endpoint, password="wrong"), 60)
