"""The vault of a region folder: ``secrets.yml`` with names and values, ``certs/<node>.yml`` with that node's certificates."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from scs_deploy.catalogue.service import Secret
from scs_deploy.errors import Finding, InputError
from scs_deploy.machine.locks import locked
from scs_deploy.secrets import account_names, form, password, pki
from scs_deploy.secrets.encrypted import EncryptedFile
from scs_deploy.secrets.generate import MAPPINGS, generate
from scs_deploy.secrets.value import SecretValue, Value

FILE = "secrets.yml"
CERTS = "certs"
CA_KEY, CA_CERT = "ca-key", "ca-cert"
PUBLIC_KEY = "public-tls-key"
"""The private key of the public certificate that region.yml names."""


class Vault:
    """Values by name, generated when they are missing; no repr and no error of it ever shows one.

    ``ensure`` writes at once. Certificates are kept in memory until ``save``, so that a run writes each node's file once.
    """

    def __init__(self, folder: Path, secret: str, clock: Callable[[], datetime] = pki.utc_now) -> None:
        self.folder = folder
        self.clock = clock
        self.renewed_from = pki.RENEWED_FROM
        self._password = secret
        self._file = EncryptedFile(folder / FILE, secret)
        self._values: dict[str, Value] = {}
        self._ca: pki.Authority | None = None
        self._certs: dict[str, dict[str, Value]] = {}
        self._changed: dict[str, set[str]] = {}

    def __repr__(self) -> str:
        return f"Vault({str(self.folder)!r}, {len(self._values)} secrets)"

    @classmethod
    def open(cls, folder: Path, password_source: Path | None = None) -> Vault:
        """Open the vault of a region folder; ``password_source`` is a file or a command (see ``password.read``).

        Raises ``InputError`` without a vault, for a wrong password and for a damaged file.
        """
        if not (folder / FILE).is_file():
            raise InputError("there is no vault yet", where=str(folder / FILE), fix="run 'scs-deploy secrets init'")
        vault = cls(folder, password.read(folder, password_source))
        vault._values = vault._file.read()
        return vault

    @classmethod
    def create(cls, folder: Path, password_source: Path | None = None) -> Vault:
        """Open the vault, made with a CA if there is none; the password must exist."""
        if not (folder / FILE).exists():
            fresh = cls(folder, password.read(folder, password_source))
            with locked(folder):
                if not fresh._file.exists():
                    fresh._file.write({})
        vault = cls.open(folder, password_source)
        vault.authority()
        return vault

    @property
    def file(self) -> EncryptedFile:
        return self._file

    @property
    def names(self) -> list[str]:
        return sorted(self._values)

    @property
    def standings(self) -> dict[str, account_names.Standing]:
        """Where the rotation of each secret stands."""
        return account_names.read(self._values)

    def values(self) -> account_names.Values:
        """Return all values by name."""
        return dict(self._values)

    def change(self, make: Callable[[account_names.Values], account_names.Values], *, keep: bool = True) -> None:
        """Replace all values by what ``make`` returns of them, read anew and written at once; without ``keep`` only for this run."""
        if not keep:
            self._values = _secret(make(self._values))
            return
        with locked(self.folder):
            self._values = _secret(make(self._file.read()))
            self._file.write(self._values)

    def get(self, name: str) -> Value:
        """Return a value; raises ``InputError`` for an unknown name."""
        try:
            return self._values[name]
        except KeyError:
            pass
        near = difflib.get_close_matches(name, self._values, 1)
        raise InputError(
            f"there is no secret {name!r}",
            where=str(self._file.path),
            fix=f"did you mean {near[0]!r}?" if near else "'scs-deploy secrets show' lists the names, 'edit' adds one",
        )

    def ensure(self, wanted: Mapping[str, Secret]) -> list[str]:
        """Generate what is missing, save once, return the new names.

        Raises ``InputError`` when a value is there but of the wrong shape or form, such as a text where keys are wanted.
        """
        missing = {name: secret for name, secret in wanted.items() if name not in self._values}
        made: list[str] = []
        if missing:
            made = self._add(lambda values: {n: generate(n, s) for n, s in missing.items() if n not in values})
        self._check(wanted)
        return made

    def authority(self) -> pki.Authority:
        """The internal CA, made when it is missing."""
        if self._ca is None:
            if CA_KEY not in self._values and CA_CERT not in self._values:
                self._add(self._new_authority)
            self._ca = pki.Authority(_text(self.get(CA_KEY)), _text(self.get(CA_CERT)))
        return self._ca

    def certificate(self, node: str, instance: str, request: pki.CertificateRequest) -> pki.Certificate:
        """Return the certificate of an instance, issued anew when its names changed or it is about to end."""
        authority, now = self.authority(), self.clock()
        known = self._node(node).get(instance)
        if isinstance(known, dict) and {"cert", "key"} <= known.keys():
            not_after = authority.keeps(known["cert"], request, now, self.renewed_from)
            if not_after:
                return pki.Certificate(known["cert"], known["key"], authority.cert_pem, not_after)
        made = authority.issue(request, now)
        self._node(node)[instance] = {"cert": SecretValue(made.cert_pem), "key": SecretValue(made.key_pem)}
        self._changed.setdefault(node, set()).add(instance)
        return made

    def issued(self, node: str, instance: str) -> str:
        """Return the certificate (PEM) that an instance has; empty if it has none."""
        known = self._node(node).get(instance)
        return known.get("cert", "") if isinstance(known, dict) else ""

    def forget(self, places: Iterable[tuple[str, str]]) -> None:
        """Have the certificates of instances (node, name) issued anew; on disk they stay until ``save``."""
        for node, instance in places:
            self._node(node).pop(instance, None)

    @property
    def unsaved(self) -> bool:
        """Whether certificates were issued that are not on disk yet."""
        return bool(self._changed)

    def save(self) -> list[str]:
        """Write the certificates that were issued, one file per node; return the nodes."""
        with locked(self.folder):
            for node, instances in self._changed.items():
                file = self._certs_file(node)
                ours = {instance: self._certs[node][instance] for instance in instances}
                file.write({**(file.read() if file.exists() else {}), **ours})
        saved = sorted(self._changed)
        self._changed.clear()
        return saved

    def _add(self, make: Callable[[Mapping[str, Value]], dict[str, Value]]) -> list[str]:
        """Read again what another process may have written, add to it, write."""
        with locked(self.folder):
            self._values = self._file.read()
            new = make(self._values)
            if new:
                self._values |= new
                self._file.write(self._values)
        return sorted(new)

    def _new_authority(self, values: Mapping[str, Value]) -> dict[str, Value]:
        if CA_KEY in values:
            return {}
        made = pki.Authority.create(self.folder.resolve().name, self.clock())
        return {CA_KEY: SecretValue(made.key_pem), CA_CERT: SecretValue(made.cert_pem)}

    def _check(self, wanted: Mapping[str, Secret]) -> None:
        findings = [*form.check(self._values, wanted, str(self._file.path))]
        findings += [
            Finding(
                f"has the wrong shape for a secret of type {secret.type}",
                why=f"it must be a {'mapping' if secret.type in MAPPINGS else 'single text'}",
                fix="correct it with 'scs-deploy secrets edit', or remove it there: it is then made anew",
                path=name,
                file=str(self._file.path),
            )
            for name, secret in wanted.items()
            if isinstance(self._values[name], dict) != (secret.type in MAPPINGS)
        ]
        if findings:
            raise InputError(findings)

    def _certs_file(self, node: str) -> EncryptedFile:
        return EncryptedFile(self.folder / CERTS / f"{node}.yml", self._password)

    def _node(self, node: str) -> dict[str, Value]:
        if node not in self._certs:
            file = self._certs_file(node)
            self._certs[node] = file.read() if file.exists() else {}
        return self._certs[node]


def _secret(values: account_names.Values) -> dict[str, Value]:
    return {
        name: SecretValue(value) if isinstance(value, str) else {key: SecretValue(one) for key, one in value.items()}
        for name, value in values.items()
    }


def _text(value: Value) -> str:
    if isinstance(value, str):
        return value
    raise InputError("ca-key and ca-cert must be text", fix="restore secrets.yml from version control")
