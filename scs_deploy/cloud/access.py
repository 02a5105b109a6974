"""Connections to a deployed cloud as users make them: the public endpoints over TLS, by names that only the region knows."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from scs_deploy import pki
from scs_deploy.context import VIP_NAMES
from scs_deploy.credentials import Login
from scs_deploy.errors import DeployError
from scs_deploy.model.region import Region

TIMEOUT_SECONDS = 120
RETRIES = 4
"""Of what may be asked twice: a load balancer answers 503 for a moment after a restart, and closes the connection without
a word when it finds that the service had closed its own."""

ALIASES: dict[str, tuple[str, ...]] = {
    "block-storage": ("block-storage", "volumev3", "volume"),
    "object-store-s3": ("object-store-s3",),
}
"""Types under which the catalogue may list an API."""


STATUS_RETRIES = 5
"""Of anything that was answered with 503, within 15 s: a load balancer without a healthy member passed nothing on."""


class Access:
    """Logs in to one region. The CA lies in a file for as long as the context lasts, since the libraries want a path."""

    def __init__(self, region: Region, login: Login, *, careless: bool = False) -> None:
        """``careless``: also ask again for something new, although it may then be made twice."""
        self.login, self.region, self._careless = login, region, careless
        self.names = vip_names(region)
        self._folder = tempfile.TemporaryDirectory(prefix="scs-cloud-")
        self._clouds: list[Cloud] = []

    def __enter__(self) -> Access:
        return self

    def __exit__(self, *_: object) -> None:
        for cloud in self._clouds:
            cloud.close()
        self._folder.cleanup()

    @cached_property
    def ca(self) -> Path:
        if not self.login.ca_pem:
            return pki.system_cas()
        path = Path(self._folder.name) / "ca.pem"
        path.write_text(self.login.ca_pem, encoding="utf-8")
        return path

    def admin(self) -> Cloud:
        return self.cloud(self.login)

    def user(self, name: str, password: str, project: str) -> Cloud:
        return self.cloud(replace(self.login, user=name, password=password, project=project))

    def cloud(self, login: Login) -> Cloud:
        found = Cloud(login, self.names, self.ca, self._careless)
        self._clouds.append(found)
        return found


class Cloud:
    """The APIs as one user of one project. ``api`` is openstacksdk's connection, made at the first use."""

    def __init__(self, login: Login, names: Mapping[str, str], ca: Path, careless: bool = False) -> None:
        self.login, self._names, self._ca, self._careless = login, names, ca, careless

    @cached_property
    def session(self) -> Any:
        from keystoneauth1 import session as keystone_session
        from keystoneauth1.identity import v3

        auth = v3.Password(
            self.login.url,
            username=self.login.user,
            password=self.login.password,
            project_name=self.login.project,
            user_domain_name="Default",
            project_domain_name="Default",
        )
        return keystone_session.Session(
            auth=auth, session=self.http, verify=str(self._ca), timeout=TIMEOUT_SECONDS, app_name="scs-deploy"
        )

    @cached_property
    def http(self) -> Any:
        """A plain HTTP session that knows the region's names and its CA."""
        return http_session(self._names, self._ca)

    @cached_property
    def api(self) -> Any:
        from openstack import connection
        from openstack.config import cloud_region

        # From a session, so that no clouds.yaml and no OS_* variable of the caller has a say.
        config = cloud_region.from_session(
            self.session,
            name=self.login.region,
            region_name=self.login.region,
            interface="public",
            connect_retries=1 if self._careless else 0,
            status_code_retries=STATUS_RETRIES,
        )
        return connection.Connection(config=config)

    @cached_property
    def catalogue(self) -> dict[str, str]:
        """Type of each API in the catalogue, and its public URL."""
        with explained(f"no token for {self.login.user}", self.login.url):
            access = self.session.auth.get_access(self.session)
        found: dict[str, str] = {}
        for service in access.service_catalog.catalog:
            for endpoint in service["endpoints"]:
                if endpoint["interface"] == "public":
                    found[service["type"]] = endpoint["url"]
        return found

    def endpoint(self, kind: str) -> str:
        """The public URL of an API; "" when it is not deployed."""
        return next((self.catalogue[name] for name in ALIASES.get(kind, (kind,)) if name in self.catalogue), "")

    def has(self, kinds: Sequence[str]) -> bool:
        return all(self.endpoint(kind) for kind in kinds)

    @property
    def project_id(self) -> str:
        return str(self.session.get_project_id())

    @property
    def user_id(self) -> str:
        return str(self.session.get_user_id())

    def close(self) -> None:
        if "http" in self.__dict__:
            self.http.close()


def vip_names(region: Region) -> dict[str, str]:
    """DNS names of the endpoints and the addresses behind them, as the region file says: no DNS server need know them."""
    return {
        f"{VIP_NAMES.get(network.name, network.name)}.{region.domain}": str(network.vip or network.vip6)
        for network in region.networks.values()
        if network.vip or network.vip6
    }


def http_session(names: Mapping[str, str], ca: Path) -> Any:
    """A ``requests`` session that connects to the region's VIPs and verifies the certificates against their names."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    class ByAddress(HTTPAdapter):
        def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
            where, tls = super().build_connection_pool_key_attributes(request, verify, cert)
            name = where["host"]
            if name in names:
                where["host"] = names[name]
                tls["server_hostname"] = tls["assert_hostname"] = name
            return where, tls

        def add_headers(self, request: Any, **kwargs: Any) -> None:
            super().add_headers(request, **kwargs)
            # http.client would send the address.
            request.headers.setdefault("Host", request.url.partition("://")[2].partition("/")[0])

    retry = Retry(
        total=RETRIES,
        other=0,  # a certificate does not become valid by asking again
        backoff_factor=0.5,
        status_forcelist=(502, 503, 504),
        allowed_methods=("GET", "HEAD", "PUT", "PATCH", "DELETE"),
        raise_on_status=False,
    )
    found = requests.Session()
    found.trust_env = False
    found.verify = str(ca)
    found.mount("https://", ByAddress(max_retries=retry))
    return found


@contextlib.contextmanager
def explained(what: str, where: str = "", fix: str = "") -> Iterator[None]:
    """Turn the errors of the libraries into ours, with the server's own words."""
    import requests
    from keystoneauth1 import exceptions as keystone_errors
    from openstack import exceptions as sdk_errors

    try:
        yield
    except (
        keystone_errors.ClientException,
        sdk_errors.SDKException,
        requests.RequestException,
    ) as error:
        raise DeployError(what, where=where, why=words(error), fix=fix or hint(error)) from error


def words(error: BaseException) -> str:
    """What the server said: its message and its id of the request, without the library's frame around it."""
    text = str(getattr(error, "details", "") or getattr(error, "message", "") or error)
    status = getattr(error, "http_status", None) or getattr(error, "status_code", None)
    request = getattr(error, "request_id", "")
    text = " ".join(text.split()) or type(error).__name__
    return (
        (f"HTTP {status}: " if status and str(status) not in text else "")
        + text
        + (f" (request {request})" if request else "")
    )


def hint(error: BaseException) -> str:
    status = getattr(error, "http_status", None) or getattr(error, "status_code", None)
    if status in (500, 502, 503, 504):
        return "see scs-deploy status, and scs-deploy logs of the service"
    if status is None:
        return "see scs-deploy status; is the region deployed, and its public network reachable from here?"
    return ""
