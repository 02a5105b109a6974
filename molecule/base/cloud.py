"""A client of the cloud's APIs for tests: goes where the catalogue says, over TLS that only the region's own CA vouches for."""

from __future__ import annotations

import json
import secrets
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

TIMEOUT = 60


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Cloud:
    """``hosts`` maps the names in URLs to addresses: the machine that tests knows no names of the region."""

    def __init__(self, hosts: Mapping[str, str], ca: str, password: str, user: str = "admin", project: str = "admin"):
        self.hosts, self.ca, self.project = hosts, ca, project
        self._tls = ssl.create_default_context(cadata=ca)
        self._keystone = next(f"https://{name}:5000/v3" for name in hosts if name.startswith("api."))
        domain = {"id": "default"}
        identity = {
            "methods": ["password"],
            "password": {"user": {"name": user, "domain": domain, "password": password}},
        }
        auth = {"identity": identity, "scope": {"project": {"name": project, "domain": domain}}}
        answer = self.send("POST", f"{self._keystone}/auth/tokens", {"auth": auth})
        assert answer.status == 201, answer.body
        self.token, self.about = answer.headers["X-Subject-Token"], answer.json["token"]
        self.urls = {
            (service["type"], one["interface"]): one["url"]
            for service in self.about["catalog"]
            for one in service["endpoints"]
        }

    def login(self, user: str, password: str, project: str) -> Cloud:
        """Return the same cloud as another user sees it."""
        return Cloud(self.hosts, self.ca, password, user, project)

    @contextmanager
    def person(self, role: str) -> Iterator[Cloud]:
        """Give the cloud as a new user sees it, who has one role in a project of its own and nothing else."""
        name, password = f"molecule-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
        project = self.made("project", name=name)
        user = self.made("user", name=name, password=password)
        (found,) = self.ask("GET", "identity", f"/roles?name={role}").json["roles"]
        granted = self.ask("PUT", "identity", f"/projects/{project}/users/{user}/roles/{found['id']}")
        try:
            assert granted.status == 204, granted.body
            yield self.login(name, password, name)
        finally:
            self.ask("DELETE", "identity", f"/users/{user}")
            self.ask("DELETE", "identity", f"/projects/{project}")

    def made(self, kind: str, **wanted: str) -> str:
        """Make a project or a user in the default domain; return its id."""
        answer = self.ask("POST", "identity", f"/{kind}s", {kind: {"domain_id": "default", **wanted}})
        assert answer.status == 201, answer.body
        return str(answer.json[kind]["id"])

    def ask(self, method: str, kind: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request to the public endpoint of a service type; underscores in names of headers are dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send(method, self.urls[kind, "public"] + path, body, {"X-Auth-Token": self.token, **named})

    def send(self, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Bytes are sent as they are, an iterator of bytes in chunks, anything else as JSON; an error status is an answer too."""
        for name, address in self.hosts.items():
            url = url.replace(f"//{name}:", f"//{address}:")
        data = body if body is None or isinstance(body, (bytes, Iterator)) else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - the URL is the cloud's
            url, data, {"Content-Type": "application/json", **(headers or {})}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT, context=self._tls) as answer:  # noqa: S310
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())
