"""Takes away what a project holds, in the order that its parts allow, and looks whether anything remains."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from scs_deploy.cloud.access import CloudApi, explained, words
from scs_deploy.errors import DeployError
from scs_deploy.smoke import objects

SECONDS = 180
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Left:
    """What could not be deleted; ``uses``: ids of what it holds, or hangs on."""

    id: str
    name: str
    why: str
    uses: frozenset[str]

    def __str__(self) -> str:
        return f"{self.name} ({self.why})" if self.why else self.name


class Cleaner:
    """Works as the project's own user. ``keep``: ids of servers, images and balancers' addresses that stay."""

    def __init__(self, cloud: CloudApi, patience: float, say: Say, keep: Iterable[str] = ()) -> None:
        self._cloud, self._seconds, self._say, self._keep = cloud, SECONDS * patience, say, frozenset(keep)
        self._left: list[Left] = []

    def run(self) -> None:
        """Raises ``DeployError`` naming what remains, and what it waits for."""
        self._left = []
        problems: list[str] = []
        for title, api, list_them, delete in self._kinds():
            if not self._cloud.endpoint(api):
                continue
            try:
                with explained(f"cannot remove {title}"):
                    self._remove(title, list_them, delete)
            except DeployError as error:
                problems.append(f"{error.what}: {error.why}")
        if self._left or problems:
            raise DeployError(
                "something of the smoke test remains",
                where=self._cloud.login.project,
                why="; ".join([*map(str, self._left), *problems]),
                fix="scs-deploy smoke --clean tries again",
            )

    def _remove(self, title: str, list_them: Callable[[], Iterable[Any]], delete: Callable[[Any], None]) -> None:
        """Delete all of one kind, again and again until none is there: some must come to rest before they can go, and an
        API that failed once is asked again. What waits for something that could not be deleted is asked for only once."""
        deadline = time.monotonic() + self._seconds
        asked: dict[str, float] = {}
        why: dict[str, str] = {}
        while True:
            over = time.monotonic() > deadline
            try:
                found = [one for one in list_them() if _id(one) not in self._keep]
            except _failures() as error:
                if over or not _may_pass(error):
                    raise
                time.sleep(1)
                continue
            open_ones = [one for one in found if not (_id(one) in asked and self._holder(one))]
            if over or not open_ones:
                self._left += [self._left_over(title, one, why.get(_id(one), "")) for one in found]
                return
            for one in open_ones:
                if time.monotonic() - asked.get(_id(one), 0) > 10:
                    self._say(f"removing {title} {_name(one)}")
                    asked[_id(one)] = time.monotonic()
                    why[_id(one)] = _try(delete, one)
            time.sleep(1)

    def _holder(self, one: Any) -> Left | None:
        """What could not be deleted and keeps this one from being."""
        return next((left for left in self._left if left.id in _uses(one) or _id(one) in left.uses), None)

    def _left_over(self, title: str, one: Any, why: str) -> Left:
        holder = self._holder(one)
        if holder:
            why = f"waits for {holder.name}, which was not deleted"
        return Left(_id(one), f"{title} {_name(one)}", why or getattr(one, "status", "") or "", _uses(one))

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
    """Ask for the end of one; return why not yet: a conflict, or an API that failed."""
    from openstack import exceptions

    try:
        delete(one)
    except exceptions.NotFoundException:
        return ""
    except _failures() as error:
        if not _may_pass(error):
            raise
        return words(error)[:200]
    return ""


def _failures() -> tuple[type[Exception], ...]:
    import requests
    from keystoneauth1 import exceptions as keystone_errors
    from openstack import exceptions

    return exceptions.SDKException, keystone_errors.ClientException, requests.RequestException


def _may_pass(error: Exception) -> bool:
    """Whether asking again may help: something is in use, the service failed or did not answer."""
    status = getattr(error, "status_code", None) or getattr(error, "http_status", None)
    return status is None or status in (400, 409) or int(status) >= 500


def _uses(one: Any) -> frozenset[str]:
    """Ids that an object names: the server of a port or of a volume's attachment, the volume of a snapshot, the network of a port."""
    found = [getattr(one, name, None) for name in ("device_id", "volume_id", "network_id")]
    found += getattr(one, "security_group_ids", None) or ()
    found += [attachment.get("server_id") for attachment in getattr(one, "attachments", None) or ()]
    return frozenset(str(number) for number in found if number)


def _id(one: Any) -> str:
    return one if isinstance(one, str) else str(one.id)


def _name(one: Any) -> str:
    return (
        one
        if isinstance(one, str)
        else str(getattr(one, "name", "") or getattr(one, "floating_ip_address", "") or one.id)
    )
