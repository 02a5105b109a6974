"""Identity as a client sees it: TLS, a token, the catalogue; and what nobody but Keystone may read."""

from __future__ import annotations

import json
from typing import Any

import pytest

FOLDER = "/etc/scs-deploy/keystone"
CA = f"{FOLDER}/etc/scs-tls/ca.pem"

LOGIN = """
import json, ssl, sys, urllib.request
context = json.load(open("/etc/scs-deploy/keystone/resources/context.json"))
domain = {"id": "default"}
user = {"name": context["user"], "domain": domain, "password": context["password"]}
auth = {"identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"name": context["project"], "domain": domain}}}
request = urllib.request.Request(context["url"] + "/auth/tokens", json.dumps({"auth": auth}).encode(),
                                 {"Content-Type": "application/json"})
answer = urllib.request.urlopen(request, context=ssl.create_default_context(cafile=context["ca"]), timeout=30)
print(answer.read().decode())
"""


def _token(host: Any) -> Any:
    return json.loads(host.run("python3 -c %s", LOGIN).stdout)["token"]


def test_gives_a_token_with_the_roles_that_the_standard_asks_for(host: Any) -> None:
    assert {"admin", "manager", "member", "reader"} <= {role["name"] for role in _token(host)["roles"]}


def test_catalogue_offers_identity_over_tls_on_all_interfaces(host: Any) -> None:
    (identity,) = [one for one in _token(host)["catalog"] if one["type"] == "identity"]
    assert {one["interface"] for one in identity["endpoints"]} == {"public", "internal", "admin"}
    assert all(one["url"].startswith("https://") for one in identity["endpoints"])


def test_plain_http_is_refused(host: Any) -> None:
    address = host.check_output("getent ahosts $(hostname)").split()[0]
    ask = "curl --silent --output /dev/null --write-out %{http_code}"
    # Not by curl's exit code: uWSGI ends the connection without TLS's goodbye, which only the balancer ever sees.
    assert host.run(f"{ask} http://{address}:5000/v3").stdout == "000"
    assert host.run(f"{ask} --cacert {CA} https://{address}:5000/v3").stdout == "200"


def test_keys_are_closed_to_others(host: Any) -> None:
    files = host.check_output(f"find {FOLDER}/etc/keystone -type f -name '[0-9]*'").split()
    assert files
    assert {host.file(path).mode for path in files} == {0o400}


@pytest.mark.parametrize("account", ["admin", "scs-deploy"])
def test_password_of_an_administrator_is_on_no_command_line(host: Any, account: str) -> None:
    password = host.check_output(f"cat {FOLDER}/etc/keystone/bootstrap/{account}")
    assert password
    assert password not in host.check_output("ps -eo args")
