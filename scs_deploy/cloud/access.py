"""Connections to a deployed cloud as users make them: the public endpoints over TLS, by names that only the region knows."""

from __future__ import annotations

import contextlib
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from scs_deploy.cloud.credentials import Login
from scs_deploy.errors import DeployError
from scs_deploy.region import vips
from scs_deploy.region.region import Region
from scs_deploy.secrets import pki

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
        self._clouds: list[CloudApi] = []

    def __enter__(self) -> Access:
        return self

    def __exit__(self, *_: object) -> None:
        for cloud in self._clouds:
            cloud.close()
        self._folder.cleanup()

    @cached_property
    def ca(self) -> Path:
        return ca_file(self.login, Path(self._folder.name))

    def admin(self) -> CloudApi:
        return self.cloud(self.login)

    def user(self, name: str, password: str, project: str) -> CloudApi:
        return self.cloud(replace(self.login, user=name, password=password, project=project))

    def cloud(self, login: Login) -> CloudApi:
        found = CloudApi(login, self.names, self.ca, self._careless)
        self._clouds.append(found)
        return found


class CloudApi:
    """The APIs as one user of one project. ``api`` is openstacksdk's connection, made at the first use."""

    def __init__(self, login: Login, names: Mapping[str, str], ca: Path, careless: bool = False) -> None:
        self.login, self._names, self._ca, self._careless = login, names, ca, careless

    @cached_property
    def session(self) -> Any:
        return keystone_session(self.login, self.http, timeout=TIMEOUT_SECONDS)

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
            name=self.login.cloud,
            region_name=self.login.region,
            interface="public",
            connect_retries=1 if self._careless else 0,
            status_code_retries=STATUS_RETRIES,
        )
        return connection.Connection(config=config)

    @cached_property
    def catalogue(self) -> dict[str, str]:
        """Type of each API in the catalogue, and its public URL in this region."""
        with explained(f"no token for {self.login.user}", self.login.url):
            access = self.session.auth.get_access(self.session)
        found: dict[str, str] = {}
        for service in access.service_catalog.catalog:
            for endpoint in service["endpoints"]:
                if endpoint["interface"] == "public" and endpoint["region_id"] == self.login.region:
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
        vips.dns_name(network.name, region.domain): str(network.vip or network.vip6)
        for network in region.networks.values()
        if network.vip or network.vip6
    }


def ca_file(login: Login, folder: Path) -> Path:
    """The CAs that the endpoints are verified with; those of the region itself are written to ``folder``."""
    if not login.ca_pem:
        return pki.system_cas()
    path = folder / "ca.pem"
    path.write_text(login.ca_pem, encoding="utf-8")
    return path


def keystone_session(login: Login, http: Any, **options: Any) -> Any:
    """keystoneauth's session of one user, over a session of ``http_session``."""
    from keystoneauth1 import session
    from keystoneauth1.identity import v3

    auth = v3.Password(
        login.url,
        username=login.user,
        password=login.password,
        project_name=login.project,
        user_domain_name="Default",
        project_domain_name="Default",
    )
    return session.Session(auth=auth, session=http, verify=http.verify, app_name="scs-deploy", **options)


def http_session(
    names: Mapping[str, str],
    ca: Path,
    *,
    retries: int = RETRIES,
    connected: Callable[[ssl.SSLSocket], object] = lambda connection: None,
) -> Any:
    """A ``requests`` session that connects to the region's VIPs and verifies the certificates against their names.

    ``connected`` is told of each connection that was made and verified.
    """
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPSConnection
    from urllib3.util.retry import Retry

    class Told(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            if isinstance(self.sock, ssl.SSLSocket):
                connected(self.sock)

    class ByAddress(HTTPAdapter):
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
            pool = super().get_connection_with_tls_context(*args, **kwargs)
            pool.ConnectionCls = Told
            return pool

        def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
            where, tls = super().build_connection_pool_key_attributes(request, verify, cert)
            name = where["host"]
            if name in names:
                where["host"] = names[name]
                tls["server_hostname"] = name
            return where, tls

        def add_headers(self, request: Any, **kwargs: Any) -> None:
            super().add_headers(request, **kwargs)
            # http.client would send the address.
            request.headers.setdefault("Host", request.url.partition("://")[2].partition("/")[0])

    retry = Retry(
        total=retries,
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
