"""The internal CA: what it issues is accepted by OpenSSL's strict checks, and is renewed exactly when it must be."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from scs_deploy.errors import InputError
from scs_deploy.secrets import Vault, password, pki
from scs_deploy.secrets.pki import Authority, CertificateRequest

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
REQUEST = CertificateRequest("n1.cloud.example", ("n1.cloud.example", "api.cloud.example"), ("10.0.0.1", "2001:db8::1"))


@pytest.fixture(scope="module")
def authority():
    return Authority.create("box", NOW)


@pytest.fixture
def vault(tmp_path, monkeypatch):
    monkeypatch.setenv(password.VARIABLE, "a password")
    (tmp_path / "box").mkdir()
    made = clocked(Vault.open(tmp_path / "box", new=True), datetime.now(UTC))
    made.complete({})
    return made


def issued(vault, node, instance, request=REQUEST):
    """The certificate that an instance has after what is missing or due was issued."""
    vault.certify({(node, instance): request})
    return vault.pem(node, instance)


def clocked(vault, now):
    vault.clock = lambda: now
    return vault


def later(vault, **delta):
    """The same vault as another process opens it after some time."""
    return clocked(Vault.open(vault.folder), vault.clock() + timedelta(**delta))


def openssl(tmp_path, certificate, *options):
    for name, text in {"ca": certificate.ca_pem, "cert": certificate.cert_pem}.items():
        (tmp_path / f"{name}.pem").write_text(text)
    command = ["openssl", "verify", "-x509_strict", "-attime", str(int(NOW.timestamp())), "-CAfile", "ca.pem", *options]
    return subprocess.run([*command, "cert.pem"], cwd=tmp_path, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
@pytest.mark.parametrize(
    "name", [("-verify_hostname", "api.cloud.example"), ("-verify_ip", "10.0.0.1"), ("-verify_ip", "2001:db8::1")]
)
def test_openssl_accepts_it_for_both_purposes(authority, tmp_path, purpose, name):
    done = openssl(tmp_path, authority.issue(REQUEST, NOW), "-purpose", purpose, *name)
    assert done.returncode == 0, done.stderr


def test_openssl_refuses_another_name_and_another_ca(authority, tmp_path):
    certificate = authority.issue(REQUEST, NOW)
    assert openssl(tmp_path, certificate, "-verify_hostname", "other.example").returncode
    other = Authority.create("box", NOW)
    foreign = pki.Certificate(certificate.cert_pem, certificate.key_pem, other.cert_pem, certificate.not_after)
    assert openssl(tmp_path, foreign).returncode


def test_the_key_belongs_to_the_certificate(authority, tmp_path):
    certificate = authority.issue(REQUEST, NOW)
    (tmp_path / "key.pem").write_text(certificate.key_pem)
    (tmp_path / "cert.pem").write_text(certificate.cert_pem)
    ask = ["openssl", "pkey", "-pubout", "-in", "key.pem"], ["openssl", "x509", "-pubkey", "-noout", "-in", "cert.pem"]
    public = [subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout for command in ask]
    assert public[0] == public[1]
    assert certificate.not_after == NOW + pki.VALIDITY


def test_an_unchanged_request_is_kept(vault):
    assert vault.certify({("n1", "memcached"): REQUEST}) == ["n1"]
    first = vault.pem("n1", "memcached")
    assert vault.certify({("n1", "memcached"): REQUEST}) == []
    again = later(vault, days=240)
    assert issued(again, "n1", "memcached") == first
    turned = CertificateRequest(REQUEST.common_name, REQUEST.dns_names[::-1], ("2001:DB8:0::1", "10.0.0.1"))
    assert again.certify({("n1", "memcached"): turned}) == []
    assert again.pem("n1", "memcached") == first


@pytest.mark.parametrize(
    "request_",
    [
        CertificateRequest("n1.cloud.example", REQUEST.dns_names, ("10.0.0.2",)),
        CertificateRequest("n1.cloud.example", ("n1.cloud.example",), REQUEST.ip_addresses),
        CertificateRequest("other.example", REQUEST.dns_names, REQUEST.ip_addresses),
    ],
)
def test_changed_names_are_issued_anew(vault, request_):
    first = issued(vault, "n1", "memcached")
    second = issued(vault, "n1", "memcached", request_)
    assert second["cert"] != first["cert"]
    assert issued(vault, "n1", "memcached", request_) == second


def test_no_certificate_lives_longer_than_a_year(authority):
    """The bound of the official tests counts the first and the last second."""
    cert = x509.load_pem_x509_certificate(authority.issue(REQUEST, NOW).cert_pem.encode())
    assert cert.not_valid_after_utc - cert.not_valid_before_utc + timedelta(seconds=1) <= timedelta(days=365)


def test_one_that_was_made_for_longer_is_replaced(vault, monkeypatch):
    """Regions that were deployed before have certificates for 825 days."""
    monkeypatch.setattr(Authority.issue, "__defaults__", (timedelta(days=825),))
    first = issued(vault, "n1", "memcached")
    monkeypatch.undo()
    assert issued(vault, "n1", "memcached") != first


@pytest.mark.parametrize(("days", "kept"), [(364 - 123, True), (364 - 120, False), (364 - 10, False), (400, False)])
def test_renewed_when_a_third_of_its_life_remains(vault, days, kept):
    first = issued(vault, "n1", "memcached")
    assert (issued(later(vault, days=days), "n1", "memcached") == first) is kept


def test_instances_and_nodes_have_keys_of_their_own(vault):
    places = [(node, name) for node in ("n1", "n2") for name in ("a", "b")]
    assert vault.certify(dict.fromkeys(places, REQUEST)) == ["n1", "n2"]
    assert len({vault.pem(*place)["key"] for place in places}) == 4
    assert sorted(path.name for path in (vault.folder / "certs").iterdir()) == ["n1.yml", "n2.yml"]
    assert (vault.folder / "certs/n1.yml").read_text().startswith("$ANSIBLE_VAULT;")


def test_only_nodes_that_are_asked_for_are_read(vault):
    vault.certify({("n1", "a"): REQUEST, ("n2", "a"): REQUEST})
    (vault.folder / "certs/n2.yml").write_text("damaged")
    again = Vault.open(vault.folder)
    assert issued(again, "n1", "a") == vault.pem("n1", "a")
    with pytest.raises(InputError, match=r"n2\.yml"):
        issued(again, "n2", "a")


def test_what_another_run_issued_meanwhile_is_kept(vault):
    other = Vault.open(vault.folder)
    assert not other.stays("n1", "b", REQUEST)
    mine = issued(vault, "n1", "a")
    theirs = issued(other, "n1", "b")
    last = Vault.open(vault.folder)
    assert (last.pem("n1", "a"), last.pem("n1", "b")) == (mine, theirs)


def test_just_those_that_are_chosen_are_issued_anew_while_others_that_are_due_wait(vault):
    places = {("n1", "a"): REQUEST, ("n1", "b"): REQUEST}
    vault.certify(places)
    first = {place: vault.pem(*place) for place in places}
    again = later(vault, days=300)
    assert again.certify(places, chosen=[("n1", "a")]) == ["n1"]
    assert again.pem("n1", "b") == first["n1", "b"]
    assert again.pem("n1", "a") != first["n1", "a"]
    assert again.certify(places) == ["n1"]
    assert again.pem("n1", "b") != first["n1", "b"]


def test_a_new_ca_replaces_every_certificate(vault):
    first = issued(vault, "n1", "a")
    values = vault.file.read()
    vault.file.write({name: kept for name, kept in values.items() if not name.startswith("ca-")})
    again = Vault.open(vault.folder)
    assert not again.stays("n1", "a", REQUEST)
    again.complete({})
    second = issued(again, "n1", "a")
    assert second["ca"] != first["ca"]
    assert second["cert"] != first["cert"]


def test_a_damaged_certificate_is_issued_anew(authority):
    assert authority.keeps("no certificate", REQUEST, NOW) is None
    assert authority.keeps(authority.cert_pem, REQUEST, NOW) is None


def test_a_ca_that_does_not_fit_its_key_is_an_error(authority):
    for pair in [("", ""), (Authority.create("box", NOW).key_pem, authority.cert_pem), (authority.key_pem, "x")]:
        with pytest.raises(InputError, match="internal CA is unusable"):
            Authority(*pair)


def test_no_certificate_outlives_the_ca(authority):
    assert authority.issue(REQUEST, NOW + timedelta(days=3500)).not_after == authority.not_after
    with pytest.raises(InputError, match="the internal CA ends on 2036-11-19"):
        authority.issue(REQUEST, NOW + timedelta(days=3640))


@pytest.mark.parametrize(
    "bad", [CertificateRequest("n1", ("münchen",)), CertificateRequest("n1", (), ("10.0.0.1/24",))]
)
def test_what_is_no_name_is_an_error(authority, bad):
    with pytest.raises(InputError, match="no certificate can be made"):
        authority.issue(bad, NOW)


def test_a_long_name_still_gets_a_certificate(authority, tmp_path):
    name = ".".join(["a" * 40] * 3)
    done = openssl(tmp_path, authority.issue(CertificateRequest(name), NOW), "-verify_hostname", name)
    assert done.returncode == 0, done.stderr


def test_a_certificate_of_this_minute_is_good_on_a_node_hours_behind(authority, tmp_path):
    certificate = authority.issue(REQUEST, NOW)
    for name, text in {"ca": certificate.ca_pem, "cert": certificate.cert_pem}.items():
        (tmp_path / f"{name}.pem").write_text(text, encoding="utf-8")
    then = str(int((NOW - timedelta(hours=23)).timestamp()))
    command = ["openssl", "verify", "-attime", then, "-CAfile", "ca.pem", "cert.pem"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_a_wrong_clock_made_is_told_or_made_anew(authority):
    with pytest.raises(InputError, match="valid only from"):
        authority.issue(REQUEST, NOW - timedelta(days=2))
    early = authority.issue(REQUEST, NOW + timedelta(days=10))
    assert authority.keeps(early.cert_pem, REQUEST, NOW + timedelta(days=9, hours=1))
    assert not authority.keeps(early.cert_pem, REQUEST, NOW)
