"""Listeners of every role: what is declared and nothing else, with a certificate of the internal CA wherever TLS is declared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from scs_deploy.catalogue.service import Port
from scs_deploy.operations.site import Site
from scs_deploy.render.context import address_on

Listener = tuple[str, str, int]
CA = "/etc/scs-deploy/haproxy/etc/scs-tls/ca.pem"

HANDSHAKES = '''
import json, socket, ssl, sys
PATIENCE = 10
# Of MySQL: protocol version of its first packet; and what a client answers: CLIENT_SSL, PROTOCOL_41, SECURE_CONNECTION.
GREETING, TLS = 10, 0x0800 | 0x0200 | 0x8000

def ask_for_tls(plain):
    """MySQL's protocol begins in plain text: its server greets at once, which no other server of ours does."""
    plain.settimeout(0.3)
    try:
        greeting = plain.recv(512)
    except TimeoutError:
        return
    finally:
        plain.settimeout(PATIENCE)
    assert greeting[4] == GREETING, f"it greets in plain text: {greeting!r}"
    answer = TLS.to_bytes(4, "little") + (1 << 24).to_bytes(4, "little") + bytes([45]) + bytes(23)
    plain.sendall(len(answer).to_bytes(3, "little") + bytes([1]) + answer)

found = {}
for name, address, port, bundle in json.loads(sys.argv[2]):
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(sys.argv[1])  # the internal CA alone; the certificate must name the address
    if bundle:
        trust.load_cert_chain(bundle)  # members of a cluster ask each other for one
    try:
        with socket.create_connection((address, port), PATIENCE) as plain:
            ask_for_tls(plain)
            with trust.wrap_socket(plain, server_hostname=address) as link:
                found[f"{name} {address}"] = link.version()
    except Exception as error:
        found[f"{name} {address}"] = repr(error)
print(json.dumps(found))
'''


def test_only_declared_ports_are_open_to_others(cases: Any, site: Site, node: str) -> None:
    frontends = set(_all_frontends(site))
    for case in cases.values():
        if case.component.kind == "host":
            continue
        declared = {one for port in case.component.ports for one in _listeners(site, node, port)}
        real = {(kind, address, port) for kind, address, port in case.real["listeners"] if not _loopback(address)}
        assert real <= declared | frontends, case.wanted.name


def test_ports_that_others_rely_on_are_open(cases: Any, site: Site, node: str) -> None:
    for case in cases.values():
        component = case.component
        needed = {component.health.tcp, component.health.http}
        for port in component.ports:
            if port.frontend or port.name in needed:
                assert list(_listener(site, node, port)) in case.real["listeners"], port.name


def test_tls_is_spoken_wherever_it_is_declared(cases: Any, site: Site, node: str, host: Any) -> None:
    asked = []
    for name, case in cases.items():
        bundles = [path for path in case.real["files"] if path.endswith("/bundle.pem")]
        for port in case.component.ports:
            kind, address, number = _listener(site, node, port)
            if port.tls and (kind, number) in {(one[0], one[2]) for one in case.real["listeners"]}:
                asked.append((f"{name} {port.name}", address, number, bundles[0] if bundles else ""))
    _all_speak_tls(host, asked)


def test_clients_reach_it_by_tls_on_the_virtual_addresses(cases: Any, site: Site, host: Any) -> None:
    asked = [
        (port.name, address, number, "")
        for case in cases.values()
        for port in case.component.ports
        if port.tls or (port.frontend and port.frontend.tls)
        for _, address, number in _frontends(site, port)
    ]
    _all_speak_tls(host, asked)


def _all_speak_tls(host: Any, asked: list[tuple[str, str, int, str]]) -> None:
    """Asked on the node itself, which its own firewall lets in everywhere."""
    found = json.loads(host.check_output("python3 -c %s %s %s", HANDSHAKES, CA, json.dumps(asked)))
    assert len(found) == len(asked)
    assert {name: said for name, said in found.items() if said not in ("TLSv1.2", "TLSv1.3")} == {}


def _listener(site: Site, node: str, port: Port) -> Listener:
    return port.protocol, address_on(site.nodes[node], port.network), port.port


def _listeners(site: Site, node: str, port: Port) -> Iterator[Listener]:
    """All of a range, of which a process takes some."""
    kind, address, first = _listener(site, node, port)
    return ((kind, address, number) for number in range(first, (port.last or first) + 1))


def _frontends(site: Site, port: Port) -> Iterator[Listener]:
    for network in port.frontend.networks if port.frontend else ():
        if port.frontend and (vip := site.topology.vip(network)):
            yield port.protocol, vip, port.frontend.port or port.port


def _all_frontends(site: Site) -> Iterator[Listener]:
    for service in site.catalogue.services.values():
        for component in service.components.values():
            for port in component.ports:
                yield from _frontends(site, port)


def _loopback(address: str) -> bool:
    return address != "*" and ip_address(address).is_loopback
