"""Where the values come from that references in rendered text stand for."""

from __future__ import annotations

from collections.abc import Mapping

from scs_deploy.operations import certificates
from scs_deploy.region.region import Region
from scs_deploy.render.desired import Desired
from scs_deploy.secrets import Preview, Vault
from scs_deploy.secrets.pki import CertificateRequest
from scs_deploy.secrets.placeholders import Resolver, certificate_of
from scs_deploy.secrets.vault import PUBLIC_KEY, Place


def requests(desired: Desired) -> dict[Place, CertificateRequest]:
    """Return the certificates that instances want."""
    return {
        place: CertificateRequest(one.common_name, one.dns_names, one.ip_addresses)
        for place, one in desired.certificates.items()
    }


def resolver(region: Region, source: Vault | Preview, desired: Desired) -> Resolver:
    """Return the function that gives secret values, certificates included.

    Those of a vault are what nodes get; a preview has stand-ins for what does not exist yet, and is for digests only.
    """
    wanted = requests(desired)

    def value(name: str) -> str | Mapping[str, str]:
        if name == PUBLIC_KEY:
            return certificates.public_key(region, source)
        place = certificate_of(name)
        if place is None:
            return source.get(name)
        return source.pem(*place) if isinstance(source, Vault) else source.pem(*place, wanted[place])

    cache: dict[str, str | Mapping[str, str]] = {}
    return lambda name: cache[name] if name in cache else cache.setdefault(name, value(name))
