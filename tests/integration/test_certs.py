"""Certificates are renewed on demand: exactly those, and a service that reloads serves the new one from the same process."""

from __future__ import annotations

import json

from proofs.deployment import Cloud

SERVICES = ("haproxy", "mariadb", "rabbitmq", "memcached")
RELOADS = {
    "haproxy": "9101",
    "mariadb": "3306 -starttls mysql",
    "mariadb-check": "3307",
    "rabbitmq": "5671",
    "memcached": "11211",
}
"""Of these services: instance -> its port, and what openssl needs to know."""
TLS = "/etc/scs-deploy/{}/etc/scs-tls"


def shown(cloud: Cloud) -> dict[str, str]:
    """Instance -> serial number of the certificate that the vault has."""
    rows = json.loads(cloud.run("certs", "show", "--json", code=0).stdout)["certificates"]
    return {row["instance"]: row["serial"] for row in rows}


def served(cloud: Cloud, instance: str) -> str:
    """The serial number of the certificate that a client sees."""
    own = TLS.format(instance)
    where = f"{cloud.site.nodes[cloud.node].addresses['api'].v4}:{RELOADS[instance]}"
    ask = f"openssl s_client -connect {where} -CAfile {own}/ca.pem -cert {own}/cert.pem -key {own}/key.pem -verify_return_error"
    found = cloud.on_node(f"set -o pipefail; timeout 20 {ask} </dev/null 2>/dev/null | openssl x509 -noout -serial")
    return found.removeprefix("serial=").lower().lstrip("0")


def test_a_new_certificate_is_served_without_a_restart(settled: Cloud) -> None:
    before, serials = settled.state(), shown(settled)
    assert {one: served(settled, one) for one in RELOADS} == {one: serials[one] for one in RELOADS}
    done = settled.run("certs", "renew", "--yes", *(f"--service={one}" for one in SERVICES), code=0)
    assert f"Plan: {len(RELOADS)} to change, {len(RELOADS)} to reload" in done.stdout
    renewed = shown(settled)
    assert {name for name in renewed if renewed[name] != serials[name]} == set(RELOADS)
    assert {one: served(settled, one) for one in RELOADS} == {one: renewed[one] for one in RELOADS}
    assert settled.restarted(before["starts"]) == set()


def test_what_was_not_agreed_to_changes_nothing(settled: Cloud) -> None:
    serials = shown(settled)
    done = settled.run("certs", "renew", "--node", "n1", code=2)
    assert "update n1/keystone (restart)" in done.stdout
    assert "no terminal" in done.stderr
    assert shown(settled) == serials
    with settled.services(memcached={"settings": {"memory_mb": 100}}):
        pending = settled.run("certs", "renew", "--service", "haproxy", "--yes", code=1)
        assert "other changes are pending" in pending.stderr
    assert "nothing was changed" in settled.run("certs", "renew", "--within", "30", "--yes", code=0).stdout
    assert "CA is not renewed" in settled.run("certs", "renew", "--ca", code=3).stderr
    assert shown(settled) == serials
