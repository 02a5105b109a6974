"""The internal certificate authority of a region and the certificates it issues: EC P-256, for servers and clients at once."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scs_deploy.errors import InputError

CA_VALIDITY = timedelta(days=3650)
BACKDATED = timedelta(days=1)
"""A certificate of this minute must be good on nodes whose clock is behind ours: by hours, where one of both takes local time for UTC."""
LONGEST = timedelta(days=365)
"""What a certificate may live, from its first to its last second: the bound of the tests of the Sovereign Cloud Stack."""
VALIDITY = timedelta(days=363)
"""From the moment of issue; with the day that certificates are backdated it stays below ``LONGEST``."""
RENEWED_FROM = 1 / 3
"""Part of its life that is left when a certificate is renewed: four months of a year, for whoever applies seldom."""
WARN_BEFORE = timedelta(days=30)
"""A certificate that still serves so near to its end was forgotten: nobody applied for months."""
_COMMON_NAME_LIMIT = 64  # ub-common-name, RFC 5280


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """Whom a certificate names; without any DNS name or address, the common name becomes its DNS name."""

    common_name: str
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()

    def alternative_names(self) -> list[x509.GeneralName]:
        """The subject alternative names, in a fixed order; raises ``ValueError`` for what is no name or address."""
        names = set(self.dns_names) or (set() if self.ip_addresses else {self.common_name})
        addresses = {ipaddress.ip_address(address) for address in self.ip_addresses}
        return [
            *(x509.DNSName(name) for name in sorted(names)),
            *(
                x509.IPAddress(address)
                for address in sorted(addresses, key=lambda address: (address.version, int(address)))
            ),
        ]


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM texts, and when it ends (UTC)."""

    cert_pem: str
    key_pem: str = field(repr=False)
    ca_pem: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class CertificateDetails:
    """What a certificate says of itself: serial number in hexadecimal, begin and end in UTC."""

    serial: str
    begins: datetime
    ends: datetime


def look(cert_pem: str) -> CertificateDetails:
    """Read a certificate; raises ``InputError`` when it is none."""
    try:
        cert = x509.load_pem_x509_certificate(cert_pem.encode())
    except ValueError as error:
        raise InputError("not a certificate", why=str(error), fix="restore the vault from version control") from error
    return CertificateDetails(f"{cert.serial_number:x}", cert.not_valid_before_utc, cert.not_valid_after_utc)


class Authority:
    """A CA: its key and its certificate."""

    def __init__(self, key_pem: str, cert_pem: str) -> None:
        """Raises ``InputError`` when the two are unreadable or do not belong together."""
        self.key_pem, self.cert_pem = key_pem, cert_pem
        try:
            key = serialization.load_pem_private_key(key_pem.encode(), password=None)
            self._cert = x509.load_pem_x509_certificate(cert_pem.encode())
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != self._cert.public_key():
            raise InputError(
                "the internal CA is unusable",
                why="ca-key and ca-cert are damaged or do not belong together",
                fix="restore secrets.yml from version control; or remove both with 'scs-deploy secrets edit': "
                "a new CA is made and every service gets a new certificate",
            )
        self._key = key
        self._key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())

    def __repr__(self) -> str:
        return f"Authority(not_after={self.not_after:%Y-%m-%d})"

    @property
    def not_after(self) -> datetime:
        return self._cert.not_valid_after_utc

    @classmethod
    def create(cls, region: str, now: datetime, validity: timedelta = CA_VALIDITY) -> Authority:
        """Make a new CA; its name holds its first day, so that a later CA of the same region is told apart."""
        key = ec.generate_private_key(ec.SECP256R1())
        suffix = f" CA {now:%Y-%m-%d}"
        name = _name(f"scs-deploy {region}"[: _COMMON_NAME_LIMIT - len(suffix)] + suffix)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        cert = (
            _builder(name, name, key.public_key(), now - BACKDATED, now + validity)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign=False), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(_key_pem(key), _cert_pem(cert))

    def issue(self, request: CertificateRequest, now: datetime, validity: timedelta = VALIDITY) -> Certificate:
        """Return a new key and its certificate, which ends with the CA at the latest.

        Raises ``InputError`` for a name or address that cannot be certified, and for a CA that is about to end.
        """
        if self.not_after - now < WARN_BEFORE:
            raise InputError(
                f"the internal CA ends on {self.not_after:%Y-%m-%d}",
                why="certificates of a CA that is about to end would have to be replaced at once",
                fix="remove ca-key and ca-cert with 'scs-deploy secrets edit' and apply: a new CA is made",
            )
        if self._cert.not_valid_before_utc > now:
            raise InputError(
                f"the internal CA is valid only from {self._cert.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on",
                why=f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC: it is wrong now, or was when the CA was made",
                fix="correct the clock; if it was wrong then, remove ca-key and ca-cert with 'scs-deploy secrets edit' and apply",
            )
        key = ec.generate_private_key(ec.SECP256R1())
        not_after = min(now + validity, self.not_after)
        try:
            names = x509.SubjectAlternativeName(request.alternative_names())
            subject = _name(request.common_name[:_COMMON_NAME_LIMIT])
        except ValueError as error:
            raise InputError(
                f"no certificate can be made for {request.common_name!r}",
                why=str(error),
                fix="names are ASCII (punycode for others), addresses are IPv4 or IPv6 without a prefix length",
            ) from error
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._key_id)
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        cert = (
            _builder(
                subject,
                self._cert.subject,
                key.public_key(),
                max(now - BACKDATED, self._cert.not_valid_before_utc),
                not_after,
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign=True), critical=True)
            .add_extension(purposes, critical=False)
            .add_extension(names, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(authority, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Certificate(_cert_pem(cert), _key_pem(key), self.cert_pem, cert.not_valid_after_utc)

    def keeps(
        self, cert_pem: str, request: CertificateRequest, now: datetime, renewed_from: float = RENEWED_FROM
    ) -> datetime | None:
        """Return when a certificate ends if it is still right: ours, for exactly these names, not made to live too long, and with
        more than a part of its life (``renewed_from``) left."""
        try:
            cert = x509.load_pem_x509_certificate(cert_pem.encode())
            names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            issuer = cert.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
            same = (
                list(names) == request.alternative_names()
                and cert.subject == _name(request.common_name[:_COMMON_NAME_LIMIT])
                and cert.issuer == self._cert.subject
                and issuer.key_identifier == self._key_id.digest
            )
        except (ValueError, x509.ExtensionNotFound):
            return None
        life, ends = cert.not_valid_after_utc - cert.not_valid_before_utc, cert.not_valid_after_utc
        good = same and cert.not_valid_before_utc <= now and life <= LONGEST
        return ends if good and ends - now > life * renewed_from else None


def system_cas() -> Path:
    """The file with the CAs that this machine trusts: what a client without a CA of its own goes by."""
    from requests.utils import DEFAULT_CA_BUNDLE_PATH  # of the package that brings the CAs of Mozilla

    told = ssl.get_default_verify_paths().cafile
    found = (Path(one) for one in (told, "/etc/ssl/certs/ca-certificates.crt", DEFAULT_CA_BUNDLE_PATH) if one)
    return next(path for path in found if path.is_file())


def plain_key(pem: bytes) -> str:
    """Return a private key as it is kept: PKCS#8 in PEM, without a password. Raises ``InputError``, which never shows it."""
    problem, key = "", None
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        problem = "it is encrypted"
    except (ValueError, UnsupportedAlgorithm):
        problem = "it is no PEM, damaged, or of an unknown kind"
    if key is None:
        raise InputError(
            "the private key cannot be read",
            why=problem,
            fix="give it without a password: openssl pkey -in KEY | scs-deploy certs import -",
        )
    form, bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, bare).decode()


def belongs(key_pem: str, cert_pem: str) -> bool:
    """Tell whether a private key is that of the first certificate of a text; raises ``InputError`` for what cannot be read."""
    key = serialization.load_pem_private_key(plain_key(key_pem.encode()).encode(), password=None)
    return key.public_key() == x509.load_pem_x509_certificates(cert_pem.encode())[0].public_key()


def utc_now() -> datetime:
    return datetime.now(UTC)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=start,
        not_valid_after=end,
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    """Signing of handshakes for a certificate, of certificates for a CA."""
    return x509.KeyUsage(
        digital_signature=sign,
        key_cert_sign=not sign,
        crl_sign=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _cert_pem(cert: x509.Certificate) -> str:
    return cert.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
