"""nova on a node: services report, cells hold no password, the node is a host that servers can be placed on."""

from __future__ import annotations

import json
import time
from typing import Any

from engine import ENGINE

FOLDER = "/etc/scs-deploy/nova-api"

ASK = """
import json, re, ssl, sys, urllib.request
conf = open("/etc/scs-deploy/nova-api/etc/nova/nova.conf").read()
section = conf[conf.index("[placement]"):]
value = lambda key: re.search(rf"^{key} = (.*)$", section, re.M).group(1)
trust = ssl.create_default_context(cafile="/etc/scs-deploy/nova-api/etc/scs-tls/ca.pem")
user = {"name": "nova", "domain": {"id": "default"}, "password": value("password")}
auth = {"identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"name": "service", "domain": {"id": "default"}}}}
request = urllib.request.Request(value("auth_url") + "/auth/tokens", json.dumps({"auth": auth}).encode(),
                                 {"Content-Type": "application/json"})
answer = urllib.request.urlopen(request, context=trust, timeout=60)
token, catalog = answer.headers["X-Subject-Token"], json.load(answer)["token"]["catalog"]
(url,) = [one["url"] for service in catalog if service["type"] == sys.argv[1] for one in service["endpoints"]
          if one["interface"] == "internal"]
headers = {"X-Auth-Token": token, "OpenStack-API-Version": f"{sys.argv[1]} {sys.argv[3]}"}
request = urllib.request.Request(url + sys.argv[2], headers=headers)
print(urllib.request.urlopen(request, context=trust, timeout=60).read().decode())
"""


def ask(host: Any, service: str, path: str, version: str) -> Any:
    return json.loads(host.check_output(f"python3 -c %s {service} {path} {version}", ASK))


def test_services_are_up(host: Any) -> None:
    """They say so every ten seconds, and late when another scenario has just killed their database or queue."""
    services = []
    for _ in range(90):
        services = ask(host, "compute", "/os-services", "2.90")["services"]
        if all(one["state"] == "up" for one in services):
            break
        time.sleep(2)
    assert {one["binary"] for one in services} == {"nova-conductor", "nova-scheduler", "nova-compute"}
    assert {one["state"] for one in services} == {"up"}, services


def test_the_node_is_a_host_whose_identity_follows_from_its_name(host: Any) -> None:
    (node,) = ask(host, "compute", "/os-hypervisors/detail", "2.90")["hypervisors"]
    assert node["hypervisor_type"] == "QEMU"
    assert node["id"] == host.check_output("cat /var/lib/scs-deploy/data/libvirt/nova/compute_id")


def test_memory_of_the_node_is_kept_for_services(host: Any) -> None:
    (provider,) = ask(host, "placement", "/resource_providers", "1.39")["resource_providers"]
    inventories = ask(host, "placement", f"/resource_providers/{provider['uuid']}/inventories", "1.39")["inventories"]
    assert inventories["MEMORY_MB"]["reserved"] >= 2048
    assert inventories["MEMORY_MB"]["allocation_ratio"] == 1.0
    assert 3.0 <= inventories["VCPU"]["allocation_ratio"] <= 5.0


def test_cells_hold_no_password(host: Any) -> None:
    query = "SELECT transport_url, database_connection FROM nova_api.cell_mappings"
    rows = host.check_output(
        f"{ENGINE} exec mariadb mariadb --skip-column-names --batch --execute %s", query
    ).splitlines()
    assert len(rows) == 2
    for row in rows:
        assert "{password" in row
        for line in host.file(f"{FOLDER}/etc/nova/nova.conf").content_string.splitlines():
            key, _, value = line.partition(" = ")
            assert key != "password" or value not in row


def test_nova_compute_knows_no_database(host: Any) -> None:
    text = host.file("/etc/scs-deploy/nova-compute/etc/nova/nova.conf").content_string
    assert "mysql" not in text
    assert "[database]" not in text


def test_consoles_are_served_over_tls_only(host: Any) -> None:
    address = host.check_output("getent ahosts $(hostname)").split()[0]
    page = f"curl --silent --output /dev/null --write-out %{{http_code}} --cacert {FOLDER}/etc/scs-tls/ca.pem"
    assert host.run(f"{page} https://{address}:6080/vnc_lite.html").stdout == "200"
    assert host.run(f"{page} http://{address}:6080/vnc_lite.html").stdout == "000"
