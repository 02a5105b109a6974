"""New passwords for all accounts of a whole cloud while somebody uses its APIs; whatever comes after works with the new ones."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from proofs.deployment import Cloud
from scs_deploy.cloud import credentials
from scs_deploy.cloud.access import Access
from scs_deploy.secrets import Vault, account_names

ASKED = {
    "compute": "/servers",
    "network": "/v2.0/networks",
    "image": "/v2/images",
    "block-storage": "/volumes",
    "placement": "/resource_providers",
    "key-manager": "/v1/secrets",
    "load-balancer": "/v2.0/lbaas/loadbalancers",
    "object-store": "",
    "identity": "/users",
}
"""What asks the database, and so proves that a service can log in to it and to Keystone."""

PAUSE = 0.3
AWAY = {502, 503, 504}
"""One node has one of each service: while it restarts the load balancer, or who needs it, says so."""

ACCOUNTS_OF = {"keystone", "placement", "glance", "nova", "neutron", "cinder", "barbican", "octavia"}
"""Users of the database."""


@contextmanager
def asking(cloud: Cloud) -> Iterator[dict[str, Counter[str]]]:
    """Ask each API all the time with a token from before; API -> how often each answer came."""
    site = cloud.site
    login = credentials.login(site.region, site.catalogue, cloud.vault)
    with Access(site.region, login) as access:
        admin = access.admin()
        token, over = admin.session.get_token(), threading.Event()
        found: dict[str, Counter[str]] = defaultdict(Counter)

        def ask(api: str, url: str) -> None:
            own = access.cloud(login).http
            own.get_adapter(url).max_retries = 0
            while not over.wait(PAUSE):
                found[api][answer(own, url, token)] += 1

        threads = [
            threading.Thread(target=ask, args=(api, admin.endpoint(api).rstrip("/") + path), name=api)
            for api, path in ASKED.items()
        ]
        for thread in threads:
            thread.start()
        try:
            yield found
        finally:
            over.set()
            for thread in threads:
                thread.join()


def answer(http: Any, url: str, token: str) -> str:
    """``ok``, ``away`` or what was said instead."""
    import requests

    try:
        got = http.get(url, headers={"X-Auth-Token": token}, timeout=30)
    except requests.RequestException:
        return "away"
    return "ok" if got.ok else "away" if got.status_code in AWAY else f"{got.status_code} {got.text[:200]}"


def test_all_passwords_change_and_nobody_is_refused(cloud: Cloud) -> None:
    users = "SELECT DISTINCT user FROM mysql.user"
    before = set(cloud.sql(users).split())
    standings = Vault.open(cloud.folder).standings
    with asking(cloud) as found:
        began = time.monotonic()
        cloud.run("secrets", "rotate", "--yes", code=0, timeout=1800)
        print(f"\nrotated in {time.monotonic() - began:.0f} s: {dict(found)}")
    assert {api: set(answers) - {"ok", "away"} for api, answers in found.items() if set(answers) - {"ok", "away"}} == {}
    assert {api for api in ASKED if found[api]["ok"] > found[api]["away"]} == set(ASKED)

    after = set(cloud.sql(users).split())
    for name in ACCOUNTS_OF:
        old, new = (name, name + account_names.SECOND) if name in before else (name + account_names.SECOND, name)
        assert (old in before, old in after, new in before, new in after) == (True, False, False, True), name
    now = Vault.open(cloud.folder).standings
    assert all(one.phase is None and one != standings.get(secret) for secret, one in now.items())
    cloud.assert_settled()
