"""Reads the public certificate of a region and tells everything that would keep clients from trusting it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from scs_deploy.documents.source import PathTuple, Source
from scs_deploy.errors import Finding
from scs_deploy.region import vips
from scs_deploy.region.public_tls import PublicCertificate
from scs_deploy.region.region import RegionSection
from scs_deploy.secrets import pki

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_KEY = "PRIVATE KEY-----"
_RSA_BITS = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1)
_BROKEN_HASHES = ("md5", "sha1")


@dataclass(frozen=True, slots=True)
class _Read:
    """A certificate and where it stands."""

    cert: x509.Certificate
    where: str

    @property
    def subject(self) -> str:
        return self.cert.subject.rfc4514_string()


def read_public_tls(
    source: Source, region: RegionSection, folder: Path
) -> tuple[PublicCertificate | None, list[Finding]]:
    """Return the public certificate, if there is one, and what is wrong with it apart from its dates."""
    said, at = region.public_tls, ("public_tls",)
    if said is None:
        return None, []
    findings: list[Finding] = []
    if region.networks.public is None:
        fix = "declare networks.public with a vip, or remove public_tls"
        findings.append(source.finding(at, "there is no public network whose address could show it", fix=fix, key=True))
    chain = _certificates(source, (*at, "certificate"), folder / said.certificate, findings)
    trusted = _certificates(source, (*at, "ca"), folder / said.ca, findings) if said.ca else []
    if not chain or (said.ca and not trusted):
        return None, findings
    name = vips.dns_name("public", region.domain)
    where: PathTuple = (*at, "certificate")
    findings += [
        source.finding(where, what, why=why, fix=fix)
        for what, why, fix in _faults(chain, name, [one.cert for one in trusted], said.ca)
    ]
    certs = [one.cert for one in chain]
    return PublicCertificate(
        _pem(certs),
        _pem([one.cert for one in trusted]),
        tuple(_names(certs[0])),
        max(cert.not_valid_before_utc for cert in certs),
        min(cert.not_valid_after_utc for cert in certs),
        source.finding(where, ""),
    ), findings


def _certificates(source: Source, at: PathTuple, path: Path, findings: list[Finding]) -> list[_Read]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        fix = f"convert it: openssl x509 -inform DER -in {path.name} -out NEW.pem"
        findings.append(source.finding(at, "the file is not PEM", why=f"{path} is no text", fix=fix))
        return []
    except (OSError, ValueError) as error:  # ValueError: a null byte
        why, fix = f"{path}: {getattr(error, 'strerror', '') or error}", "correct the path, or put the file there"
        findings.append(source.finding(at, "the file cannot be read", why=why, fix=fix))
        return []
    if _KEY in text:
        fix = f"scs-deploy certs import {path} puts the key into the vault; then remove it from the file, and from git's history"
        why = f"{path}:{_line(text, text.index(_KEY))}; the folder of a region is meant for git"
        findings.append(source.finding(at, "the file holds a private key", why=why, fix=fix))
        return []
    found: list[_Read] = []
    for number, block in enumerate(_BLOCK.finditer(text), 1):
        where = f"{path.name}:{_line(text, block.start())}"
        try:
            found.append(_Read(x509.load_pem_x509_certificate(block.group().encode()), where))
        except ValueError as error:
            what = f"certificate {number} of the file cannot be read"
            fix = "copy the file again from where it came"
            findings.append(source.finding(at, what, why=f"{where}: {str(error)[:200]}", fix=fix))
            return []
    if not found:
        why = f"{path} has no block -----BEGIN CERTIFICATE-----"
        findings.append(source.finding(at, "the file holds no certificate", why=why, fix="give a PEM file"))
    return found


Kind = TypeVar("Kind", bound=x509.ExtensionType)

Fault = tuple[str, str, str]
"""What, why and what to do."""


def _faults(
    chain: Sequence[_Read], name: str, trusted: Sequence[x509.Certificate], whose: str | None
) -> Iterator[Fault]:
    first = chain[0]
    if _is_ca(first.cert):  # then nothing else that could be said is about the right one
        why = f"{first.where}: {first.subject}"
        yield "the first certificate is that of a CA", why, "begin with the certificate of the endpoints"
        return
    yield from _leaf(first, name)
    yield from _chain(chain)
    yield from _trust(chain[-1], trusted or _system(), whose or "the CAs of this machine")


def _leaf(one: _Read, name: str) -> Iterator[Fault]:
    names = _names(one.cert)
    if not any(_covers(pattern, name) for pattern in names):
        why = f"{one.where} names {', '.join(names) or 'nothing'}"
        yield f"the certificate does not name {name}", why, "get one for this name, or correct domain"
    purposes = _extension(one.cert, x509.ExtendedKeyUsage)
    if purposes and ExtendedKeyUsageOID.SERVER_AUTH not in purposes:
        yield "the certificate is not for servers", f"{one.where}: its purposes", "get one with the purpose serverAuth"
    yield from _strength(one)


def _strength(one: _Read) -> Iterator[Fault]:
    key, kind = _key(one.cert), ""
    if key is None:
        kind = "of a kind that is not known here"
    elif isinstance(key, rsa.RSAPublicKey):
        kind = f"RSA with {key.key_size} bits" if key.key_size < _RSA_BITS else ""
    elif isinstance(key, ec.EllipticCurvePublicKey):
        kind = "" if isinstance(key.curve, _CURVES) else f"the curve {key.curve.name}"
    else:
        kind = type(key).__name__.removesuffix("PublicKey")
    if kind:
        fix = f"get one with RSA of {_RSA_BITS} bits or more, P-256 or P-384: browsers take no other"
        yield f"the key of {one.subject} is {kind}", one.where, fix
    try:
        algorithm = one.cert.signature_hash_algorithm
    except UnsupportedAlgorithm:
        algorithm = None  # then its issuer cannot be verified, which is told
    if algorithm and algorithm.name in _BROKEN_HASHES:
        yield f"{one.subject} is signed with {algorithm.name}", one.where, "get one that is signed with SHA-256"


def _key(cert: x509.Certificate) -> CertificatePublicKeyTypes | None:
    """The key of a certificate; None for one that cannot be read, such as on a curve that nobody uses."""
    try:
        return cert.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _chain(chain: Sequence[_Read]) -> Iterator[Fault]:
    for one, issuer in pairwise(chain):
        if not _issued(one.cert, issuer.cert):
            why = (
                f"{one.where} was issued by {one.cert.issuer.rfc4514_string()}, and {issuer.where} is {issuer.subject}"
            )
            fix = "put them in order: each is followed by the one that issued it"
            yield "the chain is not in order", why, fix
        if not _is_ca(issuer.cert):
            yield f"{issuer.subject} is no CA, and stands in the chain", issuer.where, "remove it"
        yield from _strength(issuer)


def _trust(last: _Read, trusted: Sequence[x509.Certificate], whose: str) -> Iterator[Fault]:
    if not any(last.cert == root or _issued(last.cert, root) for root in trusted):
        why = f"{last.where} was issued by {last.cert.issuer.rfc4514_string()}, which is not among {whose}"
        fix = "add the missing certificate of the chain, or name the CA's file in public_tls.ca"
        yield "the chain does not lead to a CA that clients trust", why, fix


def _issued(cert: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        cert.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _covers(pattern: str, name: str) -> bool:
    """A star stands for the whole first label (RFC 6125)."""
    pattern, name = pattern.lower(), name.lower()
    return pattern == name or (pattern.startswith("*.") and pattern[2:] == name.partition(".")[2])


def _names(cert: x509.Certificate) -> list[str]:
    found = _extension(cert, x509.SubjectAlternativeName)
    return found.get_values_for_type(x509.DNSName) if found else []


def _is_ca(cert: x509.Certificate) -> bool:
    found = _extension(cert, x509.BasicConstraints)
    return bool(found and found.ca)


def _extension(cert: x509.Certificate, kind: type[Kind]) -> Kind | None:
    try:
        return cert.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def _system() -> list[x509.Certificate]:
    """What this machine trusts, less what is so old that it cannot be read."""
    found = []
    for block in _BLOCK.finditer(pki.system_cas().read_text(encoding="utf-8", errors="replace")):
        with suppress(ValueError), warnings.catch_warnings(action="ignore"):
            found.append(x509.load_pem_x509_certificate(block.group().encode()))
    return found


def _pem(certs: Sequence[x509.Certificate]) -> str:
    return "".join(cert.public_bytes(Encoding.PEM).decode() for cert in certs)


def _line(text: str, index: int) -> int:
    return text.count("\n", 0, index) + 1
