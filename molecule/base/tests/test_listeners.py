"""Listeners of every role: what is declared and nothing else, with a certificate of the internal CA wherever TLS is declared."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from scs_deploy.catalogue.service import Port
from scs_deploy.operations.site import Site
from scs_deploy.render.context import address_on
from scs_deploy.secrets import Vault

Listener = tuple[str, str, int]
PATIENCE = 10
MYSQL_GREETING, MYSQL_TLS = 10, 0x0800 | 0x0200 | 0x8000
"""Protocol version of its first packet; and what a client answers: CLIENT_SSL, PROTOCOL_41, SECURE_CONNECTION."""


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


def test_tls_is_spoken_wherever_it_is_declared(
    cases: Any, site: Site, trust: ssl.SSLContext, node: str, tmp_path: Path
) -> None:
    for case in cases.values():
        _identify(trust, case, tmp_path)
        for port in case.component.ports:
            kind, address, number = _listener(site, node, port)
            if port.tls and (kind, number) in {(one[0], one[2]) for one in case.real["listeners"]}:
                assert _handshake(trust, address, number) in {"TLSv1.2", "TLSv1.3"}, port.name


def test_clients_reach_it_by_tls_on_the_virtual_addresses(cases: Any, site: Site, trust: ssl.SSLContext) -> None:
    for case in cases.values():
        for port in case.component.ports:
            if port.tls or (port.frontend and port.frontend.tls):
                for _, address, number in _frontends(site, port):
                    assert _handshake(trust, address, number) in {"TLSv1.2", "TLSv1.3"}, port.name


@pytest.fixture
def trust(vault: Vault) -> ssl.SSLContext:
    """Trusts the internal CA alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=vault.ca_pem)
    return context


def _identify(trust: ssl.SSLContext, case: Any, folder: Path) -> None:
    """Show the instance's own certificate: members of a cluster ask each other for one."""
    (bundle,) = [one for path, one in case.real["files"].items() if path.endswith("/bundle.pem")] or [None]
    if bundle:
        file = folder / "bundle.pem"
        file.write_bytes(base64.b64decode(bundle["content"]))
        trust.load_cert_chain(file)


def _handshake(trust: ssl.SSLContext, address: str, port: int) -> str | None:
    """Return the TLS version; the certificate must name the address."""
    with socket.create_connection((address, port), PATIENCE) as plain:
        _ask_for_tls(plain)
        with trust.wrap_socket(plain, server_hostname=address) as link:
            return link.version()


def _ask_for_tls(plain: socket.socket) -> None:
    """MySQL's protocol begins in plain text: its server greets at once, which no other server of ours does."""
    plain.settimeout(0.3)
    try:
        greeting = plain.recv(512)
    except TimeoutError:
        return
    finally:
        plain.settimeout(PATIENCE)
    assert greeting[4] == MYSQL_GREETING, f"it greets in plain text: {greeting!r}"
    answer = MYSQL_TLS.to_bytes(4, "little") + (1 << 24).to_bytes(4, "little") + bytes([45]) + bytes(23)
    plain.sendall(len(answer).to_bytes(3, "little") + b"\1" + answer)


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
