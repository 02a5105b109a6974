"""Application credentials with access rules: what a rule allows is answered, whatever else is refused, at every API."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from proofs.deployment import Cloud, until
from scs_deploy.cloud import credentials
from scs_deploy.cloud.access import Access
from scs_deploy.cloud.access import CloudApi as Apis
from scs_deploy.cloud.credentials import OWN

Rule = Mapping[str, str]

APIS = {
    "compute": ("/v2.1/servers", "/v2.1/flavors"),
    "image": ("/v2/images", "/v2/tasks"),
    "network": ("/v2.0/networks", "/v2.0/ports"),
    "block-storage": ("/v3/*/volumes", "/v3/*/snapshots"),
    "volumev3": ("/v3/*/volumes", "/v3/*/snapshots"),
    "load-balancer": ("/v2/lbaas/loadbalancers", "/v2/lbaas/pools"),
    "key-manager": ("/v1/secrets", "/v1/containers"),
    "placement": ("/resource_providers", "/traits"),
    "identity": ("/v3/projects", "/v3/users"),
}
"""Type in the catalogue, a path that a rule allows, and another one of the same API."""

UNRULED = ("object-store",)
"""APIs that check tokens by themselves and know no access rules."""


class Restricted:
    """A credential of a new administrator of a new project, and requests with its token."""

    def __init__(self, access: Access, user: Apis, rules: list[Rule]) -> None:
        self._access, self.user = access, user
        made = user.session.post(
            f"{user.login.url}/users/{user.user_id}/application_credentials",
            json={"application_credential": {"name": secrets.token_hex(4), "access_rules": rules}},
        ).json()["application_credential"]
        login = {"id": made["id"], "secret": made["secret"]}
        body = {"auth": {"identity": {"methods": ["application_credential"], "application_credential": login}}}
        answer = user.http.post(f"{user.login.url}/auth/tokens", json=body)
        assert answer.status_code == 201, answer.text
        self.token = answer.headers["X-Subject-Token"]

    def ask(self, api: str, path: str, method: str = "GET", body: Any = None) -> Any:
        """Ask at the host of an API's public endpoint."""
        host = "/".join(self.user.endpoint(api).split("/")[:3])
        path = path.replace("*", self.user.project_id)
        return self.user.http.request(method, host + path, headers={"X-Auth-Token": self.token}, json=body)


Make = Callable[..., Restricted]


@contextmanager
def restricted(cloud: Cloud) -> Iterator[Make]:
    site = cloud.site
    login = credentials.login(site.region, site.catalogue, cloud.vault, OWN)
    name, password = f"rules-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    with Access(site.region, login) as access:
        identity = access.admin().api.identity
        project = identity.create_project(name=name, domain_id="default")
        user = identity.create_user(name=name, password=password, domain_id="default")
        try:
            for role in ("admin", "member"):
                identity.assign_project_role_to_user(project, user, identity.find_role(role))
            own = access.user(name, password, name)
            yield lambda *rules: Restricted(access, own, list(rules))
        finally:
            identity.delete_user(user)
            identity.delete_project(project)


@pytest.fixture
def make(cloud: Cloud) -> Iterator[Make]:
    with restricted(cloud) as found:
        yield found


def rule(api: str, path: str, method: str = "GET") -> Rule:
    return {"service": api, "method": method, "path": path}


def test_what_the_rules_allow_is_answered_and_nothing_else(make: Make) -> None:
    every = make(*(rule(api, path) for api, (path, _) in APIS.items()))
    none = make(rule("compute", "/v2.1/os-keypairs"))
    answers = {
        api: (
            every.ask(api, allowed).status_code,
            every.ask(api, other).status_code,
            every.ask(api, allowed, "POST", {}).status_code,
            none.ask(api, allowed).status_code,
        )
        for api, (allowed, other) in APIS.items()
    }
    print(answers)
    assert {api: found for api, found in answers.items() if found[0] != 200} == {}
    assert {api: found for api, found in answers.items() if not set(found[1:]) <= {401, 403}} == {}


@pytest.mark.parametrize("api", UNRULED)
def test_an_api_that_knows_no_rules_takes_no_such_token(make: Make, api: str) -> None:
    found = make(rule(api, "/**"))
    path = "/" + found.user.endpoint(api).split("/", 3)[3]
    assert found.user.http.get(found.user.endpoint(api), headers={"X-Auth-Token": found.user.session.get_token()}).ok
    assert found.ask(api, path).status_code in (401, 403)


def test_what_an_allowed_request_takes_at_other_apis_is_allowed(make: Make, smoke: dict[str, Any]) -> None:
    """Nova asks Neutron, Cinder and Glance in the user's name; the rules are about what the user asks."""
    found = make(
        rule("compute", "/v2.1/servers", "POST"),
        rule("compute", "/v2.1/servers/*"),
        rule("compute", "/v2.1/servers/*", "DELETE"),
    )
    api = found.user.api
    image = next(one for one in api.image.images() if one.status == "active" and (one.min_disk or 0) <= 2)
    flavor = next(one for one in api.compute.flavors() if one.vcpus == 1 and one.ram <= 1024)
    network = api.network.create_network(name="rules")
    api.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.201.0.0/24")
    volume = {"boot_index": 0, "source_type": "image", "uuid": image.id, "destination_type": "volume"}
    body = {
        "name": "rules", "flavorRef": flavor.id, "networks": [{"uuid": network.id}],
        "block_device_mapping_v2": [{**volume, "volume_size": max(image.min_disk, 1), "delete_on_termination": True}],
    }  # fmt: skip
    answer = found.ask("compute", "/v2.1/servers", "POST", {"server": body})
    assert answer.status_code == 202, answer.text
    path = f"/v2.1/servers/{answer.json()['server']['id']}"

    def state() -> str:
        server = found.ask("compute", path).json()["server"]
        assert server["status"] != "ERROR", server["fault"]
        return str(server["status"])

    try:
        until(lambda: state() == "ACTIVE", "the server runs", 240, 2)
    finally:
        assert found.ask("compute", path, "DELETE").status_code == 204
        until(lambda: found.ask("compute", path).status_code == 404, "the server is gone", 120, 2)
        until(lambda: not list(api.block_storage.volumes()), "its volume is gone", 120, 2)
        api.network.delete_network(network)
