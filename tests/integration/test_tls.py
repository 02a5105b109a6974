"""TLS as clients meet it: the same curves at every listener, and a provider's own certificate at the public address alone."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proofs.deployment import Cloud

WANTED = {"X25519", "P-256", "P-384"}
REFUSED = {"P-521", "X448", "ffdhe2048"}
NODE_PORTS = {
    "haproxy": "9101",
    "keystone": "5000",
    "mariadb": "3306 -starttls mysql",
    "mariadb-check": "3307",
    "memcached": "11211",
    "rabbitmq": "5671",
}
"""Instance -> a port of it on the node's address, and what openssl needs to know."""


def accepted(cloud: Cloud, where: str, instance: str = "haproxy") -> set[str]:
    """The curves with which a listener agrees to a handshake, one offered at a time."""
    own = f"/etc/scs-deploy/{instance}/etc/scs-tls"
    ask = f"timeout 20 openssl s_client -connect {where} -cert {own}/cert.pem -key {own}/key.pem -groups $group"
    script = f"for group in {' '.join(sorted(WANTED | REFUSED))}; do {ask} </dev/null >/dev/null 2>&1 && echo $group; done; true"
    return set(cloud.on_node(script).split())


def test_the_same_curves_everywhere(settled: Cloud) -> None:
    topology = settled.site.topology
    address = settled.site.nodes[settled.node].addresses["api"].v4
    found = {name: accepted(settled, f"{topology.vip(name)}:5000") for name in ("public", "api")}
    found |= {name: accepted(settled, f"{address}:{port}", name) for name, port in NODE_PORTS.items()}
    assert found == dict.fromkeys(found, WANTED) | {"keystone": found["keystone"]}
    assert found["keystone"] <= WANTED
    assert found["keystone"]


# -- a certificate of one's own ----------------------------------------------------------------------------------------------


class TestCa:
    """A root and an intermediate, as a public CA has them."""

    __test__ = False

    def __init__(self) -> None:
        self.root_key, self.key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
        self.root = self._made("Test Root", self.root_key, "Test Root", self.root_key, ca=True)
        self.intermediate = self._made("Test Intermediate", self.key, "Test Root", self.root_key, ca=True)

    def issue(self, name: str) -> tuple[str, str]:
        """A chain and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._made(name, key, "Test Intermediate", self.key)
        form, bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return pem(leaf) + pem(self.intermediate), key.private_bytes(serialization.Encoding.PEM, form, bare).decode()

    @staticmethod
    def _made(
        name: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: str,
        issuer_key: ec.EllipticCurvePrivateKey,
        *,
        ca: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=90))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name.replace(" ", "-"))]), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )


def pem(cert: x509.Certificate) -> str:
    return cert.public_bytes(serialization.Encoding.PEM).decode()


def shown(cloud: Cloud, network: str, name: str, root: str) -> str:
    """The serial number of the certificate that an address shows to a client that trusts ``root`` alone; else why not."""
    topology = cloud.site.topology
    context = ssl.create_default_context(cadata=root)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT & ~ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        with (
            cloud.reached(),
            socket.create_connection((topology.vip(network), 5000), 10) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"").issuer.rfc4514_string()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message


@pytest.fixture
def own(settled: Cloud, tmp_path: Path) -> Iterator[TestCa]:
    """The region with a public certificate, placed; afterwards as before."""
    ca, before = TestCa(), settled.state()
    name = settled.site.topology.vip_name("public")
    chain, key = ca.issue(name)
    (settled.folder / "public.pem").write_text(chain)
    (settled.folder / "roots.pem").write_text(pem(ca.root))
    (tmp_path / "key.pem").write_text(key)
    with settled.edited(lambda data: data.update(public_tls={"certificate": "public.pem", "ca": "roots.pem"})):
        assert "certs import" in settled.run("plan", code=3).stderr, "without its key"
        settled.run("certs", "import", str(tmp_path / "key.pem"), code=0)
        done = settled.apply()
        assert "1 to reload" in done.stdout
        assert settled.restarted(before["starts"]) == set()
        yield ca
    settled.apply()
    assert settled.restarted(before["starts"]) == set()
    for file in ("public.pem", "roots.pem"):
        (settled.folder / file).unlink()


def test_the_public_address_shows_it_and_everything_else_the_internal_ca(settled: Cloud, own: TestCa) -> None:
    topology = settled.site.topology
    public, api = topology.vip_name("public"), topology.vip_name("api")
    internal = settled.vault.ca_pem
    assert shown(settled, "public", public, pem(own.root)) == "CN=Test Intermediate"
    assert "unable to get" in shown(settled, "public", public, internal)
    assert "scs-deploy" in shown(settled, "api", api, internal)
    assert "self-signed certificate in certificate chain" in shown(settled, "api", api, pem(own.root))
    settled.assert_settled()
    assert "certificate verified" in settled.run("prove", code=0).stdout
    text = settled.on_node("cat /etc/scs-deploy/haproxy/etc/haproxy/public.pem")
    assert "PRIVATE KEY" in text
    assert "PRIVATE KEY" not in settled.run("plan", "--json", code=0).stdout
    assert settled.run("certs", "show", "--json", code=0).stdout.count("public certificate") == 1

    # Another certificate with the old key in the vault changes nothing, and its own key is a reload.
    chain, key = own.issue(public)
    (settled.folder / "public.pem").write_text(chain)
    refused = settled.run("apply", "--yes", code=3).stderr
    assert "belongs to another key" in refused
    assert "region.yml:" in refused
    (settled.folder / "key.pem").write_text(key)
    settled.run("certs", "import", str(settled.folder / "key.pem"), code=0)
    (settled.folder / "key.pem").unlink()
    before = settled.state()
    settled.apply()
    assert settled.restarted(before["starts"]) == set()
    assert shown(settled, "public", public, pem(own.root)) == "CN=Test Intermediate"
