"""The vault as it will be, in memory: what does not exist yet has a stand-in, of which digests can be taken and nothing be made.

So a plan can be shown, saved and compared before the first value is generated: stand-ins are the same in every run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from scs_deploy.catalogue.service import Secret
from scs_deploy.secrets import account_names
from scs_deploy.secrets.pki import CertificateRequest
from scs_deploy.secrets.vault import Place, Vault

Value = str | Mapping[str, str]


class Preview:
    """A vault with all that is ``wanted``, or with other ``values`` than its own; ``chosen`` are certificates to be renewed (None: those
    that are due). ``missing`` names the secrets that have a stand-in. Nothing is written."""

    def __init__(
        self,
        vault: Vault,
        wanted: Mapping[str, Secret],
        values: account_names.Values | None = None,
        chosen: Collection[Place] | None = None,
    ) -> None:
        vault.check(wanted)
        values = vault.values() if values is None else values
        self.missing = tuple(sorted(wanted.keys() - values.keys()))
        self.standings = account_names.read(values)
        self.chosen, self.clock, self.file = chosen, vault.clock, vault.file
        self._vault = vault
        self._values: dict[str, Value] = {**values, **{name: _stand_in(name, wanted[name]) for name in self.missing}}

    def __repr__(self) -> str:
        return f"Preview({self._vault!r}, missing={self.missing})"

    @property
    def names(self) -> list[str]:
        return sorted(self._values)

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """Secrets whose value is a mapping, and its keys."""
        return {name: tuple(value) for name, value in self._values.items() if isinstance(value, Mapping)}

    def get(self, name: str) -> Value:
        """Return a value or its stand-in; raises ``InputError`` for a name that nobody declares."""
        return self._values[name] if name in self._values else self._vault.get(name)

    def pem(self, node: str, instance: str, request: CertificateRequest) -> Mapping[str, str]:
        """Return what ``Vault.pem`` does, or a stand-in where the certificate will be issued anew."""
        if self._vault.stays(node, instance, request, self.chosen):
            return self._vault.pem(node, instance)
        mark = hashlib.sha256(f"{node}/{instance} {request!r}".encode()).hexdigest()
        made = {part: f"stand-in-{part}-{mark}" for part in ("cert", "key", "bundle")}
        return {**made, "ca": self._vault.ca_pem or "stand-in-ca"}

    def unissued(self, requests: Mapping[Place, CertificateRequest]) -> list[Place]:
        """Return the certificates that will be issued anew."""
        return [place for place, one in requests.items() if not self._vault.stays(*place, one, self.chosen)]


def _stand_in(name: str, spec: Secret) -> Value:
    """Of characters that every format of files can spell; mappings with the keys that ``generate`` gives them."""
    match spec.type:
        case "fernet":
            return {str(number): f"stand-in-{name}-{number}" for number in range(spec.count)}
        case "ssh-key":
            return {part: f"stand-in-{name}-{part}" for part in ("private", "public")}
        case _:
            return f"stand-in-{name}"
