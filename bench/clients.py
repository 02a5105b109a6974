"""Clients of a cloud's APIs for measurements: each goes round a circle of calls, notes how every one ended, and takes away what it made.

Nothing is asked twice: what a load balancer or a library would hide from users is what is looked for.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scs_deploy.cloud.access import Access, CloudApi
from scs_deploy.operations.site import Site
from scs_deploy.smoke import compute, network, tenant
from scs_deploy.smoke.bench import Bench
from scs_deploy.smoke.cleanup import Cleaner
from scs_deploy.smoke.run import uninterrupted

PREFIX = "scs-load-"
DOMAIN = "default"
CALL_SECONDS = 200.0
"""Longer than any frontend waits for its service."""

SETTLE_SECONDS = 300.0
LISTS = {
    "identity": "/auth/projects",
    "compute": "/servers/detail",
    "network": "/v2.0/networks",
    "image": "/v2/images",
    "block-storage": "/volumes/detail",
    "placement": "/resource_providers",
    "key-manager": "/v1/secrets",
    "load-balancer": "/v2.0/lbaas/loadbalancers",
    "object-store": "",
}
"""Type in the catalogue -> what is listed there; the administrator asks placement, users may not."""

UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class Call:
    """``status`` 0: no answer, ``words`` say why. ``began`` counts seconds of the clock, ``seconds`` how long it took."""

    api: str
    name: str
    status: int
    began: float
    seconds: float
    words: str = ""

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


@dataclass
class Crowd:
    """A project of its own and the clients in it. ``guest`` gives the disk image that their servers boot."""

    site: Site
    access: Access
    guest: Callable[[], Path]
    say: Callable[[str], None]
    calls: list[Call] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    made: dict[str, Any] = field(default_factory=dict)
    """What the servers need: image, flavors, network."""

    def __post_init__(self) -> None:
        self.admin = self.access.admin()
        self.name = PREFIX + secrets.token_hex(3)

    @contextlib.contextmanager
    def project(self) -> Iterator[None]:
        """Make project and user, image, flavor and network; in the end nothing of them is left, also after Ctrl-C."""
        own = tenant.ensure(self.admin, self.name)
        self.password = own.password
        bench = Bench(self.site.region, self.user(), self.admin, own, self.guest, self.say, self.made)
        try:
            quotas = {"network": UNLIMITED, "port": UNLIMITED, "security_group": UNLIMITED}
            self.admin.api.set_network_quotas(own.project_id, **quotas)
            self.admin.api.set_volume_quotas(own.project_id, volumes=UNLIMITED, gigabytes=UNLIMITED)
            compute.image(bench)
            self.made["flavors"] = tenant.make_flavors(self.admin, own)
            network.network(bench)
            self.endpoints = {api: bench.cloud.endpoint(api) for api in LISTS}
            # The gateway makes an account when it is first asked; of several first questions at once it refuses all but one.
            bench.cloud.session.get(self.endpoints["object-store"])
            yield
        finally:
            with uninterrupted(self.say):
                Cleaner(bench.cloud, 1.0, self.say).run()
                self.admin.api.delete_network_quotas(own.project_id)
                self.admin.api.delete_volume_quotas(own.project_id)
                tenant.remove(self.admin, own)

    def user(self) -> CloudApi:
        return self.access.user(self.name, self.password, self.name)

    def run(self, clients: int, seconds: float, pause: Callable[[], float] = lambda: 0.0) -> list[Call]:
        """Let clients work for a while, each until the end of its circle; returns their calls."""
        self.calls, self.over = [], threading.Event()
        workers = [
            threading.Thread(target=LoadClient(self, number, pause).run, daemon=True) for number in range(clients)
        ]
        for worker in workers:
            worker.start()
        try:
            self.over.wait(seconds)
        finally:
            self.over.set()
            for worker in workers:
                worker.join()
        return self.calls


class LoadClient:
    """One user at work, over connections of its own."""

    def __init__(self, crowd: Crowd, number: int, pause: Callable[[], float]) -> None:
        self.crowd, self.number, self.pause = crowd, number, pause
        self.name = f"{crowd.name}-{number}"
        self.http, self.token = crowd.user().http, ""
        for adapter in self.http.adapters.values():
            adapter.max_retries = 0
        self.reader = crowd.admin.session.get_token()

    def run(self) -> None:
        while not self.crowd.over.is_set():
            self.log_in()
            for api, path in LISTS.items():
                self.ask(api, "list", "GET", path)
            self.networks()
            self.volume()
            if self.number == 0:
                self.server()

    def log_in(self) -> None:
        login = self.crowd.access.login
        user = {"name": self.crowd.name, "domain": {"id": DOMAIN}, "password": self.crowd.password}
        scope = {"project": {"name": self.crowd.name, "domain": {"id": DOMAIN}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = self.call("identity", "token", "POST", login.url.rstrip("/") + "/auth/tokens", body)
        if answer is not None and answer.status_code == 201:
            self.token = answer.headers["X-Subject-Token"]

    def networks(self) -> None:
        """A network, a port and a security group are made and deleted."""
        made: list[tuple[str, str]] = []
        for kind, more in (("network", {}), ("security-group", {}), ("port", {"network_id": ""})):
            body: dict[str, Any] = {"name": self.name, **more}
            if "network_id" in body:
                body["network_id"] = next((number for what, number in made if what == "network"), "")
                if not body["network_id"]:
                    continue
            key = kind.replace("-", "_")
            found = self.ask("network", f"{kind} made", "POST", f"/v2.0/{kind}s", {key: body})
            if found:
                made.append((kind, found[key]["id"]))
        for kind, number in reversed(made):
            self.ask("network", f"{kind} deleted", "DELETE", f"/v2.0/{kind}s/{number}")

    def volume(self) -> None:
        made = self.ask("block-storage", "volume made", "POST", "/volumes", {"volume": {"name": self.name, "size": 1}})
        if not made:
            return
        self.settle("block-storage", "volume", f"/volumes/{made['volume']['id']}", "available")

    def server(self) -> None:
        """Made, run, deleted; by one of the clients, since a machine without hardware virtualization is busy with one guest."""
        body = {
            "name": self.name,
            "imageRef": self.crowd.made["image"],
            "flavorRef": self.crowd.made["flavors"]["small"],
            "networks": [{"uuid": self.crowd.made["network"]}],
        }
        made = self.ask("compute", "server made", "POST", "/servers", {"server": body})
        if made:
            self.settle("compute", "server", f"/servers/{made['server']['id']}", "ACTIVE")

    def settle(self, api: str, kind: str, path: str, good: str) -> None:
        """Wait until it is ready, delete it and wait until it is gone; one that ends in error counts as a failed call."""
        began, found = time.monotonic(), {"status": ""}
        while found["status"].lower() not in (good.lower(), "error"):
            if time.monotonic() - began > SETTLE_SECONDS:
                break
            time.sleep(0.5)
            found = (self.ask(api, f"{kind} shown", "GET", path) or {kind: found})[kind]
        if found["status"] != good:
            words = f"{kind} is {found['status']}: {found.get('fault', '')}"
            self.crowd.calls.append(Call(api, f"{kind} made", 0, began, time.monotonic() - began, words))
        self.ask(api, f"{kind} deleted", "DELETE", path)

    def ask(self, api: str, name: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What an API of the catalogue answered; none when it refused, or is not deployed."""
        url = self.crowd.endpoints.get(api, "")
        if not url:
            return None
        answer = self.call(api, name, method, url.rstrip("/") + path, body)
        if answer is None or not answer.ok or not answer.content:
            return None
        return answer.json()

    def call(self, api: str, name: str, method: str, url: str, body: Mapping[str, Any] | None = None) -> Any:
        import requests

        time.sleep(self.pause())
        token = self.reader if api == "placement" else self.token
        headers = {"X-Auth-Token": token, "Accept": "application/json"}
        began = time.monotonic()
        try:
            answer = self.http.request(method, url, json=body, headers=headers, timeout=CALL_SECONDS)
            status, words = answer.status_code, "" if answer.ok else answer.text[:300]
        except requests.RequestException as error:
            answer, status, words = None, 0, str(error)[:300]
        self.crowd.calls.append(Call(api, name, status, began, time.monotonic() - began, words))
        return answer
