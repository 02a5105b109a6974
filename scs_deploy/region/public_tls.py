"""The certificate of the public endpoints that an operator brings: what region.yml says of it, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from pydantic import Field

from scs_deploy.documents.fields import Section
from scs_deploy.errors import Finding
from scs_deploy.machine import paths
from scs_deploy.secrets import pki

File = Annotated[str, Field(min_length=1)]


class PublicTlsSection(Section):
    """The certificate of the public endpoints, where the internal CA is not to make it. Its key is in the vault."""

    certificate: File = Field(
        description="File with the certificate, then those that issued it, without the root (PEM); relative to the region folder"
    )
    ca: File | None = Field(
        None, description="File with the CAs that clients trust (PEM), likewise; default: those of their systems"
    )


@dataclass(frozen=True, slots=True)
class PublicCertificate:
    """PEM texts, and when all of the chain is valid (UTC)."""

    chain_pem: str
    ca_pem: str
    """What clients trust; empty: the CAs of their systems."""
    names: tuple[str, ...]
    begins: datetime
    ends: datetime
    place: Finding = field(compare=False)
    """Where it is named."""

    def dates(self, now: datetime) -> Iterator[Finding]:
        """Yield what time alone has made wrong: an error while it is not valid, a warning in its last days."""
        if self.begins > now:
            yield self._finding(f"the certificate is not valid before {self.begins:%Y-%m-%d %H:%M} UTC")
        elif self.ends <= now:
            yield self._finding(f"the certificate has ended on {self.ends:%Y-%m-%d}")
        elif self.ends - now < pki.WARN_BEFORE:
            yield self._finding(f"the certificate ends in {(self.ends - now).days} days", severity="warning")

    def _finding(self, what: str, severity: str = "error") -> Finding:
        at = self.place
        page = paths.page("secrets.md")
        fix = f"put a new one in its place ({page}), or leave public_tls out: then the internal CA makes one"
        return Finding(what, fix, "", at.path, at.file, at.line, at.column, severity)  # type: ignore[arg-type]
