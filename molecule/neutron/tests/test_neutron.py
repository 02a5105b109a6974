"""Neutron as its users know it: networks that OVN carries out, ports that become active on their node, metadata that outlives restarts."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from engine import ENGINE

from proofs.deployment import until

AGENT = "neutron-ovn-metadata-agent"
CIDR, GATEWAY = "192.0.2.0/24", "192.0.2.1"
METADATA = "curl --silent --max-time 5 --output /dev/null --write-out %{http_code} http://169.254.169.254/openstack"


@dataclass
class Network:
    """A network with a router, made as administrator in one test run."""

    cloud: Any
    name: str
    id: str = ""
    router: str = ""

    def make(self, kind: str, **values: Any) -> dict[str, Any]:
        answer = self.cloud.ask("POST", "network", f"/v2.0/{kind}s", {kind: {"name": self.name, **values}})
        assert answer.status == 201, answer.body
        return dict(answer.json[kind])

    def get(self, path: str) -> Any:
        answer = self.cloud.ask("GET", "network", f"/v2.0/{path}")
        assert answer.status == 200, answer.body
        return answer.json

    def delete(self) -> None:
        for port in self.get(f"ports?network_id={self.id}")["ports"]:
            if port["device_owner"] == "network:router_interface":
                path = f"/v2.0/routers/{self.router}/remove_router_interface"
                self.cloud.ask("PUT", "network", path, {"port_id": port["id"]})
            elif not port["device_owner"].startswith("network:"):
                self.cloud.ask("DELETE", "network", f"/v2.0/ports/{port['id']}")
        for path in (f"routers/{self.router}", f"networks/{self.id}"):
            assert self.cloud.ask("DELETE", "network", f"/v2.0/{path}").status == 204


@dataclass
class Guest:
    """What stands for a server on the node: a namespace with a cable into the switch, tied to a port of Neutron."""

    host: Any
    port: dict[str, Any]
    metadata: str
    """Who leads to 169.254.169.254; servers learn it by DHCP."""

    @property
    def name(self) -> str:
        return f"g{self.port['id'][:8]}"

    def plug(self) -> None:
        address = self.port["fixed_ips"][0]["ip_address"]
        inside = f"ip -n {self.name}"
        for command in (
            f"ip netns add {self.name}",
            f"ip link add {self.name} type veth peer name eth0 netns {self.name}",
            f"ip link set {self.name} up",
            f"{inside} link set eth0 address {self.port['mac_address']} mtu 1400 up",
            f"{inside} address add {address}/24 dev eth0",
            f"{inside} route add default via {GATEWAY}",
            f"{inside} route add 169.254.169.254 via {self.metadata}",
        ):
            self.host.check_output(command)
        self._vsctl(f"add-port br-int {self.name} -- set Interface {self.name} external_ids:iface-id={self.port['id']}")

    def unplug(self) -> None:
        self._vsctl(f"--if-exists del-port {self.name}")
        self.host.run(f"ip link delete {self.name}; ip netns delete {self.name}")

    def run(self, command: str) -> Any:
        return self.host.run(f"ip netns exec {self.name} {command}")

    def _vsctl(self, command: str) -> None:
        self.host.check_output(f"{ENGINE} exec openvswitch-vswitchd ovs-vsctl --timeout=10 {command}")


@pytest.fixture(scope="module")
def network(cloud: Any) -> Iterator[Network]:
    made = Network(cloud, f"molecule-{uuid.uuid4().hex[:8]}")
    made.id = made.make("network")["id"]
    subnet = made.make("subnet", network_id=made.id, ip_version=4, cidr=CIDR, gateway_ip=GATEWAY)
    made.router = made.make("router")["id"]
    path = f"/v2.0/routers/{made.router}/add_router_interface"
    assert cloud.ask("PUT", "network", path, {"subnet_id": subnet["id"]}).status == 200
    yield made
    made.delete()


@pytest.fixture(scope="module")
def guests(network: Network, host: Any, node: str) -> Iterator[list[Guest]]:
    (metadata,) = network.get(f"ports?network_id={network.id}&device_owner=network:distributed")["ports"]
    found = []
    for _ in range(2):
        port = network.make(
            "port",
            network_id=network.id,
            device_id=str(uuid.uuid4()),
            device_owner="compute:nova",
            port_security_enabled=False,
            **{"binding:host_id": node},
        )
        assert port["binding:vif_type"] in {"ovs", "vhostuser"}, port
        found.append(Guest(host, port, metadata["fixed_ips"][0]["ip_address"]))
    for guest in found:
        guest.plug()
    yield found
    for guest in found:
        guest.unplug()


def test_networks_have_the_mtu_that_the_region_promises(network: Network, site: Any) -> None:
    assert network.get(f"networks/{network.id}")["network"]["mtu"] == site.region.guest_mtu


def test_extensions_that_users_rely_on_are_there(network: Network) -> None:
    known = {one["alias"] for one in network.get("extensions")["extensions"]}
    wanted = {
        "router",
        "security-group",
        "port-security",
        "qos",
        "trunk",
        "segment",
        "subnet_allocation",
        "dns-integration",
    }
    assert wanted | {"floating-ip-port-forwarding", "ext-gw-mode", "rbac-policies"} <= known


def test_default_security_group_rules_are_those_of_the_standard(network: Network) -> None:
    """SCS 0115: in only from the same group, out to everywhere; for both families."""
    rules = network.get("default-security-group-rules")["default_security_group_rules"]
    default = [rule for rule in rules if rule["used_in_default_sg"]]
    assert {(one["direction"], one["ethertype"], one["remote_group_id"]) for one in default} == {
        ("ingress", "IPv4", "PARENT"),
        ("ingress", "IPv6", "PARENT"),
        ("egress", "IPv4", None),
        ("egress", "IPv6", None),
    }


def test_agents_are_alive(network: Network, node: str) -> None:
    agents = {one["agent_type"]: one for one in network.get("agents")["agents"] if one["host"] == node}
    assert {"OVN Controller Gateway agent", "OVN Controller agent"} & agents.keys(), agents.keys()
    assert agents["OVN Metadata agent"]["alive"]


def test_ports_become_active_on_their_node(network: Network, guests: list[Guest]) -> None:
    for guest in guests:
        until(
            lambda port=guest.port["id"]: network.get(f"ports/{port}")["port"]["status"] == "ACTIVE",
            f"port {guest.port['id']} is active",
            60,
        )


def test_guests_reach_each_other_and_their_router(guests: list[Guest]) -> None:
    for address in (guests[1].port["fixed_ips"][0]["ip_address"], GATEWAY):
        until(lambda to=address: guests[0].run(f"ping -c 1 -W 1 {to}").rc == 0, f"{address} answers", 30)


def test_metadata_is_answered_again_after_a_restart_and_traffic_goes_on(guests: list[Guest], host: Any) -> None:
    """404 or 503 come from behind the agent, which knows who asks: there is no such server."""
    first, second = guests

    def answered() -> bool:
        return first.run(METADATA).stdout in {"200", "404", "503"}

    until(answered, "metadata is answered", 60)
    target = second.port["fixed_ips"][0]["ip_address"]
    host.check_output(f"(ip netns exec {first.name} ping -i 0.2 -w 30 -q {target} > /run/{first.name}.ping 2>&1 &)")
    host.check_output(f"systemctl restart {AGENT}")
    until(answered, "metadata is answered after a restart", 90)
    until(lambda: "packet loss" in host.file(f"/run/{first.name}.ping").content_string, "the ping is done", 40)
    assert " 0% packet loss" in host.check_output(f"cat /run/{first.name}.ping; rm /run/{first.name}.ping")


def test_proxies_of_metadata_are_not_root(guests: list[Guest], cases: Any, site: Any) -> None:
    uid = site.topology.users.uid("neutron")
    proxies = [one for one in cases[AGENT].real["processes"] if one["name"] == "haproxy"]
    assert all((one["uid"], one["capabilities"]) == (uid, 0) for one in proxies)


def test_without_a_token_it_is_closed(cloud: Any) -> None:
    assert cloud.send("GET", cloud.urls["network", "public"] + "/v2.0/networks").status == 401
