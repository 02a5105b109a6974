"""Takes away what a project holds, in the order that its parts allow, and looks whether anything remains."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from scs_deploy.cloud.access import Cloud, explained
from scs_deploy.errors import DeployError
from scs_deploy.smoke import objects

SECONDS = 180
Say = Callable[[str], None]


class Cleaner:
    """Works as the project's own user. ``keep``: ids of servers, images and balancers' addresses that stay."""

    def __init__(self, cloud: Cloud, patience: float, say: Say, keep: Iterable[str] = ()) -> None:
        self._cloud, self._seconds, self._say, self._keep = cloud, SECONDS * patience, say, frozenset(keep)

    def run(self) -> None:
        """Raises ``DeployError`` naming what remains."""
        left: list[str] = []
        problems: list[str] = []
        for title, api, list_them, delete in self._kinds():
            if not self._cloud.endpoint(api):
                continue
            try:
                with explained(f"cannot remove {title}"):
                    left += self._remove(title, list_them, delete)
            except DeployError as error:
                problems.append(f"{error.what}: {error.why}")
        if left or problems:
            raise DeployError(
                "something of the smoke test remains",
                where=self._cloud.login.project,
                why="; ".join([*left, *problems]),
                fix="scs-deploy smoke --clean tries again",
            )

    def _remove(self, title: str, list_them: Callable[[], Iterable[Any]], delete: Callable[[Any], None]) -> list[str]:
        """Delete all of one kind, again and again until none is there: some must come to rest before they can go."""
        deadline = time.monotonic() + self._seconds
        asked: dict[str, float] = {}
        why = ""
        while True:
            found = [one for one in list_them() if _id(one) not in self._keep]
            if not found:
                return []
            if time.monotonic() > deadline:
                return [f"{title} {_name(one)} ({why or getattr(one, 'status', '')})" for one in found]
            for one in found:
                if time.monotonic() - asked.get(_id(one), 0) > 10:
                    self._say(f"removing {title} {_name(one)}")
                    asked[_id(one)] = time.monotonic()
                    why = _try(delete, one)
            time.sleep(1)

    def _kinds(self) -> list[tuple[str, str, Callable[[], Iterable[Any]], Callable[[Any], None]]]:
        api = self._cloud.api
        project = self._cloud.project_id
        volumes, network, compute = api.block_storage, api.network, api.compute
        store = "object-store-s3"
        return [
            ("load balancer", "load-balancer", lambda: api.load_balancer.load_balancers(), self._balancer),
            ("server", "compute", lambda: compute.servers(), lambda one: compute.delete_server(one.id)),
            ("backup", "block-storage", lambda: volumes.backups(), lambda one: volumes.delete_backup(one.id)),
            (
                "snapshot of a volume",
                "block-storage",
                lambda: volumes.snapshots(),
                lambda one: volumes.delete_snapshot(one.id),
            ),
            ("volume", "block-storage", self._volumes, lambda one: volumes.delete_volume(one.id)),
            ("image", "image", lambda: api.image.images(owner=project), lambda one: api.image.delete_image(one.id)),
            (
                "floating address",
                "network",
                lambda: network.ips(project_id=project),
                lambda one: network.delete_ip(one.id),
            ),
            ("router", "network", lambda: network.routers(project_id=project), self._router),
            ("port", "network", self._ports, lambda one: network.delete_port(one.id)),
            (
                "network",
                "network",
                lambda: network.networks(project_id=project),
                lambda one: network.delete_network(one.id),
            ),
            ("security group", "network", self._groups, lambda one: network.delete_security_group(one.id)),
            ("key", "compute", lambda: compute.keypairs(), lambda one: compute.delete_keypair(one.name)),
            ("secret", "key-manager", lambda: api.key_manager.secrets(), self._secret),
            ("bucket", store, self._buckets, lambda name: objects.client(self._cloud).remove_bucket(name)),
            ("S3 credentials", "identity", self._credentials, lambda _: objects.forget(self._cloud)),
        ]

    def _balancer(self, one: Any) -> None:
        self._cloud.api.load_balancer.delete_load_balancer(one.id, cascade=True)

    def _volumes(self) -> list[Any]:
        found = self._cloud.api.block_storage.volumes()
        return [one for one in found if not {str(a.get("server_id")) for a in one.attachments or ()} & self._keep]

    def _router(self, one: Any) -> None:
        network = self._cloud.api.network
        for port in network.ports(device_id=one.id):
            if port.device_owner.startswith("network:") and "gateway" not in port.device_owner:
                network.remove_interface_from_router(one, port_id=port.id)
        network.delete_router(one.id)

    def _ports(self) -> list[Any]:
        network = self._cloud.api.network
        return [
            port
            for port in network.ports(project_id=self._cloud.project_id)
            if not port.device_owner.startswith("network:")
        ]

    def _groups(self) -> list[Any]:
        groups = self._cloud.api.network.security_groups(project_id=self._cloud.project_id)
        return [group for group in groups if group.name != "default"]

    def _secret(self, one: Any) -> None:
        number = str(one.secret_ref or one.id).rpartition("/")[2]
        self._cloud.api.key_manager.delete(f"/secrets/{number}").raise_for_status()

    def _buckets(self) -> list[str]:
        return objects.client(self._cloud).buckets()

    def _credentials(self) -> list[str]:
        return ["EC2"] if objects._listed(self._cloud) else []


def _try(delete: Callable[[Any], None], one: Any) -> str:
    """Ask for the end of one; a conflict means not yet."""
    from openstack import exceptions

    try:
        delete(one)
    except exceptions.NotFoundException:
        return ""
    except (exceptions.ConflictException, exceptions.BadRequestException) as error:
        return " ".join(str(error.details or error).split())[:200]
    return ""


def _id(one: Any) -> str:
    return one if isinstance(one, str) else str(one.id)


def _name(one: Any) -> str:
    return (
        one
        if isinstance(one, str)
        else str(getattr(one, "name", "") or getattr(one, "floating_ip_address", "") or one.id)
    )
