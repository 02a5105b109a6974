"""How people and the program itself log in to a deployed region: endpoint, account, CA, and the file for ``openstack``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from scs_deploy.catalogue.load import Catalogue
from scs_deploy.catalogue.service import Frontend
from scs_deploy.errors import InputError
from scs_deploy.machine.files import write_atomic
from scs_deploy.region import vips
from scs_deploy.region.region import Region
from scs_deploy.render.context import bracket, catalogue_region, identity_service
from scs_deploy.secrets import Vault, account_names

CLOUDS_FILE, CA_FILE = "clouds.yaml", "ca.pem"
_OUTSIDE = ("public", "api")

ADMIN, OWN = "admin", "scs-deploy"
"""People's administrator, whom wrong passwords lock; and the program's own account, which strangers cannot lock. The secret of
each is <identity service>-<account>."""


@dataclass(frozen=True, slots=True)
class Login:
    """Where users log in: the endpoint's name stands in its certificate, ``address`` is the VIP that it leads to."""

    region: str
    """Its name in the catalogue of APIs."""
    cloud: str
    """Name of the region itself, and of the cloud in ``clouds.yaml``."""
    host: str
    address: str
    port: int
    password: str = field(repr=False)
    ca_pem: str = field(repr=False)
    """What the endpoint's certificate is verified with; empty: the CAs that this machine trusts."""
    user: str = ADMIN
    project: str = ADMIN

    @property
    def url(self) -> str:
        return f"https://{bracket(self.host)}:{self.port}/v3"


def login(region: Region, catalogue: Catalogue, vault: Vault, account: str = ADMIN) -> Login:
    """Return the login of ``ADMIN``, for people, or ``OWN``, for whatever the program does itself.

    Raises ``InputError`` when the region has no identity service or no VIP for it, or when it was not yet given the account.
    """
    service, port, frontend = _identity(catalogue)
    found = next((region.networks[n] for n in _OUTSIDE if n in region.networks and n in frontend.networks), None)
    vip = found and (found.vip or found.vip6)
    if found is None or not vip:
        raise InputError(
            f"no network gives {service} an address for users",
            where=str(region.folder / "region.yml"),
            fix=f"give one of the networks {', '.join(frontend.networks)} a vip",
        )
    host = vips.dns_name(found.name, region.domain)
    secret = f"{service}-{account}"
    if account == OWN and secret not in vault.values():
        raise InputError(
            f"the region does not have the account {OWN} yet", where=str(region.folder), fix="scs-deploy apply makes it"
        )
    own = region.public_tls if found.name == "public" else None
    return Login(
        catalogue_region(region, catalogue),
        region.name,
        host,
        str(vip),
        frontend.port or port,
        str(vault.get(secret)),
        own.ca_pem if own else vault.authority().cert_pem,
        account + account_names.names(secret, vault.standings)[0].suffix,
    )


def clouds_yaml(login: Login, ca_path: Path) -> str:
    """Return a ``clouds.yaml`` with one cloud, named as the region; ``ca_path`` is a file on this machine."""
    cloud = {
        "auth": {
            "auth_url": login.url,
            "username": login.user,
            "password": str(login.password),
            "project_name": login.project,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        **({"cacert": str(ca_path)} if login.ca_pem else {}),
        "identity_api_version": 3,
        "interface": "public",
        "region_name": login.region,
    }
    return yaml.safe_dump({"clouds": {login.cloud: cloud}}, sort_keys=False)


def write(login: Login, folder: Path) -> tuple[Path, bool]:
    """Write ``clouds.yaml`` (0600), and ``ca.pem`` unless every machine trusts the endpoint, into a folder.

    Return the former and whether anything changed.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    ca, clouds = folder / CA_FILE, folder / CLOUDS_FILE
    changed = [_put(ca, login.ca_pem, 0o644)] if login.ca_pem else []
    changed.append(_put(clouds, clouds_yaml(login, ca), 0o600))
    return clouds, any(changed)


def _identity(catalogue: Catalogue) -> tuple[str, int, Frontend]:
    """Return the service that registers itself as identity, and its port behind the load balancer."""
    service = identity_service(catalogue)
    for component in service.components.values() if service else ():
        for port in component.ports:
            if service and port.frontend:
                return service.name, port.port, port.frontend
    raise InputError("no service of the catalogue gives identity", fix="see SCS_DEPLOY_ROLES: a role was left out")


def _put(path: Path, text: str, mode: int) -> bool:
    if path.is_file() and path.read_text(encoding="utf-8") == text and path.stat().st_mode & 0o777 == mode:
        return False
    write_atomic(path, text, mode)
    return True
