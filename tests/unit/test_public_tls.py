"""A provider's own certificate: everything that would keep clients from trusting it is told before anything is touched."""

from __future__ import annotations

import ssl
import subprocess
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from typer.testing import CliRunner

from proofs.opened import Opened
from proofs.world import BASE, World
from scs_deploy.ansible_collections.scs.node.plugins.module_utils import health
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Health, Page
from scs_deploy.cli import certs
from scs_deploy.cloud.credentials import Login, clouds_yaml, write
from scs_deploy.cloud.prove import token
from scs_deploy.errors import Finding, InputError
from scs_deploy.machine import environment
from scs_deploy.operations.converge import converge
from scs_deploy.region.load import parse_region
from scs_deploy.secrets import pki

NAME = "api.world.test"
NOW = datetime.now(UTC)


def pem(cert: x509.Certificate) -> str:
    return cert.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key) -> str:
    form, bare = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, bare).decode()


def made(name: str, key, issuer=None, *, ca=False, names=(NAME,), begins=-1, ends=90, purposes=None):
    """A certificate of ``issuer`` (certificate, key), or of itself; days from now."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=begins))
        .not_valid_after(NOW + timedelta(days=ends, hours=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
    return builder.sign((issuer or (None, key))[1], hashes.SHA256())


@cache
def authority():
    """Root and intermediate, as a public CA has them."""
    keys = [ec.generate_private_key(ec.SECP384R1()) for _ in range(2)]
    root = made("Test Root", keys[0], ca=True, ends=3000)
    return (root, keys[0]), (made("Test Intermediate", keys[1], (root, keys[0]), ca=True, ends=2000), keys[1])


class Files:
    """The files of a region with a public certificate."""

    def __init__(self, place: Path) -> None:
        self.folder = place
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.put()

    def put(self, **values) -> None:
        key = values.pop("key", self.key)
        self.chain([pem(made("leaf", key, authority()[1], **values)), pem(authority()[1][0])])

    def chain(self, parts: list[str], ca: bool = True) -> None:
        (self.folder / "public.pem").write_text("".join(parts))
        if ca:
            (self.folder / "roots.pem").write_text("# roots\n" + pem(authority()[0][0]))

    def text(self, ca: bool = True) -> str:
        more = ", ca: roots.pem" if ca else ""
        return BASE.replace("racks:", f"public_tls: {{certificate: public.pem{more}}}\nracks:", 1)

    def region(self, **options):
        return parse_region(self.text(**options), self.folder, World().catalogue)

    def fault(self, **options) -> Finding:
        with pytest.raises(InputError) as caught:
            self.region(**options)
        (found,) = caught.value.findings
        assert found.file == "region.yml"
        assert found.line == self.text().splitlines().index(self.text().partition("public_tls")[0].splitlines()[-1]) + 2
        assert found.fix
        return found


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_right_one_is_taken_with_its_chain_and_no_comments(files: Files):
    files.chain(["Subject: leaf\n", *(files.folder / "public.pem").read_text().splitlines(keepends=True)])
    public = files.region().public_tls
    assert public.names == (NAME,)
    assert public.chain_pem.count("BEGIN CERTIFICATE") == 2
    assert "Subject" not in public.chain_pem
    assert public.ca_pem == pem(authority()[0][0])
    assert list(public.dates(NOW)) == []
    assert parse_region(BASE, files.folder, World().catalogue).public_tls is None


@pytest.mark.parametrize("names", [("*.world.test",), ("else.test", NAME.upper())])
def test_names_that_cover_the_endpoint(files: Files, names: tuple[str, ...]):
    files.put(names=names)
    assert files.region().public_tls


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"names": ("else.test", "*.test", "*.api.world.test")}, f"does not name {NAME}"),
        ({"purposes": [ExtendedKeyUsageOID.CLIENT_AUTH]}, "not for servers"),
        ({"key": rsa.generate_private_key(65537, 1024)}, "RSA with 1024 bits"),  # noqa: S505 - that is the point
        ({"key": ec.generate_private_key(ec.SECP521R1())}, "secp521r1"),
        ({"key": ed25519.Ed25519PrivateKey.generate()}, "Ed25519"),
    ],
)
def test_a_certificate_that_clients_refuse(files: Files, values: dict, what: str):
    files.put(**values)
    assert what in files.fault().what


@pytest.mark.parametrize(
    ("own", "digest", "what"),
    [
        ("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", "sha1", "signed with sha1"),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime239v1",
            "sha256",
            "key of CN=leaf is of a kind that is not known",
        ),
    ],
)
def test_what_only_openssl_makes_is_refused(files: Files, own: str, digest: str, what: str):
    issuer, key = authority()[1]
    (files.folder / "ca.pem").write_text(pem(issuer))
    (files.folder / "ca.key").write_text(key_pem(key))
    (files.folder / "names").write_text(f"subjectAltName=DNS:{NAME}\n")
    for step in (
        f"{own} -out own.key",
        "req -new -key own.key -subj /CN=leaf -out leaf.csr",
        f"x509 -req -{digest} -in leaf.csr -CA ca.pem -CAkey ca.key -extfile names -days 30 -out leaf.pem",
    ):
        subprocess.run(["openssl", *step.split()], cwd=files.folder, capture_output=True, check=True)
    made_ = (files.folder / "leaf.pem").read_text()
    files.chain([made_, pem(issuer)])
    with pytest.raises(InputError, match=what):
        files.region()


def leaf(files: Files) -> str:
    return pem(made("leaf", files.key, authority()[1]))


def test_a_chain_that_clients_cannot_follow(files: Files):
    root, middle = (pem(one[0]) for one in authority())
    files.chain([leaf(files)])
    assert "does not lead to a CA" in files.fault().what
    files.chain([leaf(files), root, middle])
    with pytest.raises(InputError, match="not in order"):
        files.region()
    files.chain([middle, leaf(files)])
    assert "first certificate is that of a CA" in files.fault().what
    files.chain([leaf(files), middle])
    assert "the CAs of this machine" in files.fault(ca=False).why
    files.chain([leaf(files), middle, root])
    assert files.region().public_tls, "the root does no harm"


def test_without_a_ca_those_of_the_machine_count(files: Files, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(files.folder / "roots.pem"))
    assert files.region(ca=False).public_tls.ca_pem == ""


def test_a_file_that_is_no_certificate(files: Files):
    chain = files.folder / "public.pem"
    good = chain.read_text()
    chain.write_text(good + key_pem(files.key))
    found = files.fault()
    assert "holds a private key" in found.what
    assert f"public.pem:{good.count(chr(10)) + 1}" in found.why
    chain.write_text(good.replace("MII", "MI!", 1))
    assert "certificate 1 of the file cannot be read" in files.fault().what
    chain.write_text("hello\n")
    assert "holds no certificate" in files.fault().what
    chain.write_bytes(b"\x30\x82\xff\xff")
    assert "not PEM" in files.fault().what
    chain.unlink()
    assert "cannot be read" in files.fault().what
    with pytest.raises(InputError, match=r"U\+0000(.|\n)*the file cannot be read"):
        parse_region(files.text().replace("public.pem", r'"a\0b"'), files.folder, World().catalogue)


def test_it_needs_a_public_network(files: Files):
    text = files.text()
    start = text.index("  public:")
    end = start + 1 + next(i for i, line in enumerate(text[start + 1 :].splitlines(keepends=True)) if line)
    without = text[:start] + text[text.index("\n", end) + 1 :]
    with pytest.raises(InputError, match="no public network"):
        parse_region(without, files.folder, World().catalogue)


def test_dates_are_told_apart_from_mistakes(files: Files):
    """Time alone makes them wrong: then status and logs must go on, and only changes are refused."""
    for begins, ends, severity, what in (
        (2, 90, "error", "not valid before"),
        (-90, -2, "error", "has ended"),
        (-60, 12, "warning", "ends in 12 days"),
    ):
        files.put(begins=begins, ends=ends)
        (found,) = files.region().public_tls.dates(NOW)
        assert (found.severity, what in found.what) == (severity, True)
        assert (found.file, found.line > 0) == ("region.yml", True)
    files.chain([leaf(files), pem(made("Test Intermediate", authority()[1][1], authority()[0], ca=True, ends=5))])
    assert "ends in 5 days" in next(files.region().public_tls.dates(NOW)).what, "of the chain"


def test_one_that_has_ended_is_applied_by_no_playbook_either(own: Files, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment, "adopt", lambda: None)
    own.put(begins=-90, ends=-2)
    with pytest.raises(InputError, match="has ended"):
        converge(str(own.folder))


# -- the key -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def own(known: Opened) -> Files:
    found = Files(known.site.folder)
    (known.site.folder / "region.yml").write_text(found.text())
    return found


def imported(files: Files, *arguments: str, stdin: str = ""):
    result = CliRunner().invoke(certs.app, ["import", *arguments, "-r", str(files.folder)], input=stdin)
    if isinstance(result.exception, InputError):
        raise result.exception
    return result


def test_the_key_gets_into_the_vault_and_to_the_balancer(own: Files):
    with pytest.raises(InputError, match="does not have the private key") as caught:
        Opened.of(own.folder).resolver()("public-tls-key")
    assert "certs import" in str(caught.value)
    (own.folder.parent / "key.pem").write_text(key_pem(own.key))
    done = imported(own, str(own.folder.parent / "key.pem"))
    assert done.exit_code == 0, done.output
    assert "PRIVATE" not in done.output
    after = Opened.of(own.folder)
    assert after.resolver()("public-tls-key").startswith("-----BEGIN PRIVATE KEY-----")
    rows = {row.instance: row for row in after.certificates()}
    assert (rows["public certificate"].names, rows["public certificate"].state) == ((NAME,), "good")


def test_a_key_of_another_certificate_is_refused_wherever_it_comes_from(own: Files):
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(InputError, match="not that of the public certificate"):
        imported(own, "-", stdin=key_pem(other))
    with pytest.raises(InputError, match="cannot be read"):
        imported(own, "-", stdin="no key")
    protected = own.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"word"),
    ).decode()
    with pytest.raises(InputError, match="encrypted"):
        imported(own, "-", stdin=protected)
    Opened.of(own.folder).vault.change(lambda values: {**values, "public-tls-key": key_pem(other)})  # by hand
    with pytest.raises(InputError, match="belongs to another key") as caught:
        Opened.of(own.folder).resolver()("public-tls-key")
    assert "region.yml:" in str(caught.value.findings[0])


def test_a_region_without_one_has_no_use_for_a_key(call_certs):
    with pytest.raises(InputError, match="names no public certificate"):
        call_certs("import", "-")


# -- who trusts what -----------------------------------------------------------------------------------------------------


@pytest.fixture
def endpoint(files: Files):
    """A server with the chain and its key; gives its port."""
    bundle = files.folder / "bundle.pem"
    bundle.write_text((files.folder / "public.pem").read_text() + key_pem(files.key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle)
    found = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    found.socket = context.wrap_socket(found.socket, server_side=True)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found.server_port
    found.shutdown()
    found.server_close()


class Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.end_headers()

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def test_clients_trust_the_named_ca_or_those_of_the_machine(
    files: Files, endpoint: int, monkeypatch: pytest.MonkeyPatch
):
    login = Login("world", "world", NAME, "127.0.0.1", endpoint, "word", files.region().public_tls.ca_pem)
    said = "no token: HTTP 200"
    with pytest.raises(Exception, match=said):
        token(login)
    stranger = pki.Authority.create("else", NOW).cert_pem
    with pytest.raises(Exception, match="certificate is not valid"):
        token(replace(login, ca_pem=stranger))
    everywhere = replace(login, ca_pem="")
    with pytest.raises(Exception, match="certificate is not valid"):
        token(everywhere)
    monkeypatch.setenv("SSL_CERT_FILE", str(files.folder / "roots.pem"))
    with pytest.raises(Exception, match=said):
        token(everywhere)


def test_clouds_yaml_names_a_ca_only_where_clients_need_one(tmp_path: Path):
    login = Login("world", "world", NAME, "127.0.0.1", 5000, "word", "")
    assert "cacert" not in clouds_yaml(login, tmp_path / "ca.pem")
    write(login, tmp_path)
    assert not (tmp_path / "ca.pem").exists()


def test_a_node_knows_its_public_endpoint_by_the_certificate_itself(files: Files, endpoint: int):
    """Nodes need not trust the CA of the operator, and ask an address, not a name."""
    page = Page("https", "127.0.0.1", endpoint, "/")
    assert health._front(page, Health(ca="/nowhere", front_pem=files.region().public_tls.chain_pem)) == (True, "")
    internal = pki.Authority.create("world", NOW).issue(pki.CertificateRequest("front", (NAME,)), NOW)
    healthy, why = health._front(page, Health(ca="/nowhere", front_pem=internal.cert_pem))
    assert (healthy, "certificate" in why) == (False, True)
