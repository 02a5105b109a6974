"""The vault of a region folder: ``secrets.yml`` with names and values, ``certs/<node>.yml`` with that node's certificates."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import cached_property
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


Place = tuple[str, str]
"""Node and instance, which has at most one certificate."""


class Vault:
    """Values and certificates by name; no repr and no error of it ever shows one.

    Opening and reading never write. ``complete``, ``certify`` and ``change`` do, at once; ``Preview`` tells beforehand.
    """

    def __init__(self, folder: Path, secret: str, clock: Callable[[], datetime] = pki.utc_now) -> None:
        self.folder = folder
        self.clock = clock
        self._password = secret
        self._file = EncryptedFile(folder / FILE, secret)
        self._values: dict[str, Value] = {}
        self._certs: dict[str, dict[str, Value]] = {}

    def __repr__(self) -> str:
        return f"Vault({str(self.folder)!r}, {len(self._values)} secrets)"

    @classmethod
    def open(cls, folder: Path, password_source: Path | None = None, *, new: bool = False) -> Vault:
        """Open the vault of a region folder; ``password_source`` is a file or a command (see ``password.read``).

        With ``new``, one that does not exist is empty until ``complete``. Raises ``InputError`` without a vault otherwise, for a
        wrong password and for a damaged file.
        """
        there = (folder / FILE).exists()
        if not there and not new:
            raise InputError("there is no vault yet", where=str(folder / FILE), fix="run 'scs-deploy secrets init'")
        vault = cls(folder, password.read(folder, password_source))
        vault._values = vault._file.read() if there else {}
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

    def authority(self) -> pki.Authority:
        """The internal CA; raises ``InputError`` before it was made."""
        return pki.Authority(_text(self.get(CA_KEY)), _text(self.get(CA_CERT)))

    @property
    def ca_pem(self) -> str:
        """The certificate of the internal CA; empty before it was made."""
        return _text(self._values[CA_CERT]) if CA_CERT in self._values else ""

    def issued(self, node: str, instance: str) -> str:
        """Return the certificate (PEM) that an instance has; empty if it has none."""
        pair = self._pair(node, instance)
        return pair["cert"] if pair else ""

    def pem(self, node: str, instance: str) -> dict[str, str]:
        """Return what files hold of an instance's certificate: ``cert``, ``key``, ``ca``, and ``bundle``, which is all three.

        Raises ``InputError`` if it has none.
        """
        pair = self._pair(node, instance)
        if pair is None:
            raise InputError("no certificate was issued", where=f"{node}/{instance}", fix="run 'scs-deploy apply'")
        return {
            "cert": pair["cert"],
            "key": pair["key"],
            "ca": self.ca_pem,
            "bundle": pair["cert"] + self.ca_pem + pair["key"],
        }

    def stays(
        self, node: str, instance: str, request: pki.CertificateRequest, chosen: Collection[Place] | None = None
    ) -> bool:
        """Whether an instance keeps its certificate: its names are those of the request, and it is not about to end.

        With ``chosen`` just those are issued anew, and others that are due wait.
        """
        pair = self._pair(node, instance)
        if pair is None or CA_KEY not in self._values or (chosen and (node, instance) in chosen):
            return False
        renewed_from = pki.RENEWED_FROM if chosen is None else 0
        return bool(self._authority.keeps(pair["cert"], request, self.clock(), renewed_from))

    # -- what writes -------------------------------------------------------------------------------------------------------

    def change(self, make: Callable[[account_names.Values], account_names.Values]) -> None:
        """Replace all values by what ``make`` returns of them, read anew and written at once."""
        with locked(self.folder):
            self._write(_secret(make(self._read())))

    def complete(self, wanted: Mapping[str, Secret]) -> list[str]:
        """Make what is missing, the internal CA too, and write it once; return the names of new secrets.

        Raises ``InputError`` when a value is there but of the wrong shape or form, such as a text where keys are wanted.
        """
        made: list[str] = []
        if not {*wanted, CA_KEY, CA_CERT} <= self._values.keys():
            with locked(self.folder):
                values = self._read()
                new = {name: generate(name, spec) for name, spec in wanted.items() if name not in values}
                self._write({**values, **new, **({} if {CA_KEY, CA_CERT} & values.keys() else self._new_authority())})
            made = sorted(new)
        self.check(wanted)
        return made

    def certify(
        self, requests: Mapping[Place, pki.CertificateRequest], chosen: Collection[Place] | None = None
    ) -> list[str]:
        """Issue the certificates that do not stay (see ``stays``) and write them, one file per node; return the nodes."""
        anew = {place: one for place, one in requests.items() if not self.stays(*place, one, chosen)}
        for node in sorted({node for node, _ in anew}):
            with locked(self.folder):
                file = self._certs_file(node)
                certificates = file.read() if file.exists() else {}
                for (where, instance), request in anew.items():
                    if where == node:
                        made = self._authority.issue(request, self.clock())
                        certificates[instance] = {"cert": SecretValue(made.cert_pem), "key": SecretValue(made.key_pem)}
                file.write(certificates)
            self._certs[node] = certificates
        return sorted({node for node, _ in anew})

    def _read(self) -> dict[str, Value]:
        """Read again: another process may have written."""
        return self._file.read() if self._file.exists() else {}

    def _write(self, values: dict[str, Value]) -> None:
        self._values = values
        self.__dict__.pop("_authority", None)
        self._file.write(values)

    def _new_authority(self) -> dict[str, Value]:
        made = pki.Authority.create(self.folder.resolve().name, self.clock())
        return {CA_KEY: SecretValue(made.key_pem), CA_CERT: SecretValue(made.cert_pem)}

    @cached_property
    def _authority(self) -> pki.Authority:
        return self.authority()

    def check(self, wanted: Mapping[str, Secret]) -> None:
        """Raise ``InputError`` for values that services cannot take; what is missing is no mistake."""
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
            if name in self._values and isinstance(self._values[name], dict) != (secret.type in MAPPINGS)
        ]
        if findings:
            raise InputError(findings)

    def _certs_file(self, node: str) -> EncryptedFile:
        return EncryptedFile(self.folder / CERTS / f"{node}.yml", self._password)

    def _pair(self, node: str, instance: str) -> dict[str, SecretValue] | None:
        """Certificate and key of an instance, ``cert`` and ``key``."""
        known = self._node(node).get(instance)
        return known if isinstance(known, dict) and {"cert", "key"} <= known.keys() else None

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
