"""An API whose workers have no time still greets whoever connects; one whose router does not is taken out of service."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from proofs.deployment import Cloud, until

PORT = 5000
GREETED = """
import socket, ssl
context = ssl.create_default_context(cafile="/etc/scs-deploy/keystone/etc/scs-tls/ca.pem")
with socket.create_connection(("{address}", {port}), timeout=5) as link:
    print(context.wrap_socket(link, server_hostname="n1").version())
"""
OF_KIND = """
from pathlib import Path
for process in Path("/proc").glob("[0-9]*"):
    try:
        if (process / "cmdline").read_text().startswith("uWSGI {kind} ") and "keystone.service" in (process / "cgroup").read_text():
            print(process.name)
    except OSError:
        continue
"""


def processes(cloud: Cloud, kind: str) -> list[str]:
    """Ids of the API's processes: each worker, or http for the router."""
    return cloud.on_node("python3 -", OF_KIND.format(kind=kind)).split()


def greeted(cloud: Cloud) -> bool:
    address = cloud.site.nodes["n1"].addresses["api"].v4
    return cloud.try_on_node("python3 -", GREETED.format(address=address, port=PORT)).stdout.startswith("TLS")


@contextmanager
def stopped(cloud: Cloud, kind: str) -> Iterator[None]:
    ids = " ".join(processes(cloud, kind))
    assert ids, f"no {kind} runs"
    cloud.on_node(f"kill -STOP {ids}")
    try:
        yield
    finally:
        cloud.on_node(f"kill -CONT {ids}")


def said(cloud: Cloud, words: str, since: float) -> bool:
    return words in cloud.on_node(f"journalctl -u haproxy.service --output=cat --since=@{int(since)}")


def test_whoever_connects_is_greeted_while_no_worker_has_time(settled: Cloud) -> None:
    with stopped(settled, "worker"):
        assert greeted(settled)


def test_a_router_that_does_nothing_is_noticed_and_one_that_goes_on_is_back(settled: Cloud) -> None:
    began = time.time()
    with stopped(settled, "http"):
        until(lambda: said(settled, "keystone/n1 is DOWN", began), "the balancer takes the API out", pause=1)
    until(lambda: said(settled, "keystone/n1 is UP", began), "the balancer takes it back", pause=1)


def test_a_router_that_died_is_started_anew_and_the_api_goes_on(settled: Cloud) -> None:
    (router,) = processes(settled, "http")
    settled.on_node(f"kill -KILL {router}")
    until(lambda: processes(settled, "http") not in ([], [router]), "another router runs")
    until(lambda: greeted(settled), "it shakes hands")


ONE_AFTER_THE_OTHER = r"""
import http.client, json, ssl, sys
folder, (identity,) = "/etc/scs-deploy/keystone/etc", sys.argv[1:]
link = http.client.HTTPSConnection(identity, 5000, context=ssl.create_default_context(cafile=f"{folder}/scs-tls/ca.pem"), timeout=60)

def call(method, path, body=None, **headers):
    link.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json", **headers})
    answer = link.getresponse()
    return answer.status, answer.headers, answer.read()

user = {"name": "admin", "domain": {"id": "default"}, "password": open(f"{folder}/keystone/bootstrap/admin").read().strip()}
scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
asked = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
_, headers, text = call("POST", "/v3/auth/tokens", asked)
login, token = {"X-Auth-Token": headers["X-Subject-Token"]}, json.loads(text)["token"]
role = json.loads(call("POST", "/v3/roles", {"role": {"name": "one-after-the-other"}}, **login)[2])["role"]["id"]
place = f"/v3/projects/{token['project']['id']}/users/{token['user']['id']}/roles/{role}"
lost, answers = 0, set()
for _ in range(100):
    for method in ("PUT", "DELETE"):
        try:
            answers.add(call(method, place, **login)[0])
        except ConnectionError:
            lost += 1
            link.close()
call("GET", "/v3", **login)
call("DELETE", f"/v3/roles/{role}", **login)
print(json.dumps([lost, sorted(answers)]))
"""


def test_what_follows_an_answer_without_a_body_on_the_same_connection_is_answered(settled: Cloud) -> None:
    found = settled.on_node(f"python3 - api-int.{settled.site.region.domain}", ONE_AFTER_THE_OTHER)
    assert json.loads(found) == [0, [204]]
