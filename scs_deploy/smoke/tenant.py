"""The project and the user of a smoke test: made by the administrator, found again by their name, removed in the end."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from scs_deploy.cloud.access import CloudApi

PREFIX = "scs-smoke-"
KEPT = "Left running by scs-deploy smoke --keep"
DOMAIN = "default"
ROLES = ("member",)
FLAVORS = {"small": (1, 256, 1), "large": (1, 320, 1)}
"""vCPUs, MiB, GB; private to the project."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Project and user have the same name."""

    name: str
    project_id: str
    user_id: str
    password: str = field(repr=False)


def new_name() -> str:
    return PREFIX + secrets.token_hex(3)


def ensure(admin: CloudApi, name: str) -> Tenant:
    """Make project and user, or take over what a run that was killed left: with a new password we can be its user again."""
    identity, password = admin.api.identity, secrets.token_urlsafe(24)
    project = identity.find_project(name, domain_id=DOMAIN) or identity.create_project(
        name=name, domain_id=DOMAIN, description="scs-deploy smoke test"
    )
    user = identity.find_user(name, domain_id=DOMAIN)
    if user:
        identity.update_user(user, password=password)
    else:
        user = identity.create_user(name=name, domain_id=DOMAIN, password=password)
    for role in ROLES:
        identity.assign_project_role_to_user(project, user, identity.find_role(role, ignore_missing=False))
    return Tenant(name, project.id, user.id, password)


def make_flavors(admin: CloudApi, tenant: Tenant) -> dict[str, str]:
    """Flavors as small as the guest, for this project alone; their ids."""
    found = {}
    for size, (vcpus, ram, disk) in FLAVORS.items():
        name = f"{tenant.name}-{size}"
        flavor = admin.api.compute.create_flavor(name=name, vcpus=vcpus, ram=ram, disk=disk, is_public=False)
        admin.api.compute.flavor_add_tenant_access(flavor, tenant.project_id)
        found[size] = flavor.id
    return found


def projects(admin: CloudApi) -> Iterator[Any]:
    """Projects of smoke tests, whichever run made them."""
    for project in admin.api.identity.projects(domain_id=DOMAIN):
        if project.name.startswith(PREFIX):
            yield project


def is_kept(project: Any) -> bool:
    return str(project.description or "").startswith(KEPT)


def mark_kept(admin: CloudApi, tenant: Tenant) -> None:
    admin.api.identity.update_project(tenant.project_id, description=KEPT)


def remove(admin: CloudApi, tenant: Tenant) -> None:
    """Flavors, the default security group, user and project; the project must be empty by now."""
    if admin.endpoint("compute"):
        for flavor in admin.api.compute.flavors(is_public=None):
            if flavor.name.startswith(f"{tenant.name}-"):
                admin.api.compute.delete_flavor(flavor)
    if admin.endpoint("network"):
        for group in admin.api.network.security_groups(project_id=tenant.project_id):
            admin.api.network.delete_security_group(group)
    admin.api.identity.delete_user(tenant.user_id)
    admin.api.identity.delete_project(tenant.project_id)


def orphans(admin: CloudApi) -> Iterator[Any]:
    """Users of ours whose project is gone."""
    names = {project.name for project in projects(admin)}
    for user in admin.api.identity.users(domain_id=DOMAIN):
        if user.name.startswith(PREFIX) and user.name not in names:
            yield user
