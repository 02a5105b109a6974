"""The states that kill points lead to, and how a region is told to go there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proofs.deployment import Cloud
from scs_deploy.secrets import password, vault
from scs_deploy.secrets.encrypted import EncryptedFile
from scs_deploy.secrets.value import SecretValue

APPLY = ("apply", "--yes")
DESTROY = ("destroy", "--yes", "--purge")
FIRST, SECOND = "first", "second"
CHANGED_SECRET = "keystone-database"
REISSUED = "memcached"
"""The instance whose certificate is issued anew in the second vault."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be deployed: what services say beside the region's own values, the vault, the command that gets there."""

    name: str
    services: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    vault: str = FIRST
    command: tuple[str, ...] = APPLY


PLAIN = Target("plain")
SETTINGS = Target(
    "settings",
    {
        "memcached": {"settings": {"memory_mb": 72}},
        "rabbitmq": {"settings": {"log_level": "warning"}},
        "haproxy": {"settings": {"check_seconds": 3}},
        "mariadb": {"settings": {"max_connections": 500}},
        "keystone": {"settings": {"token_minutes": 45, "notifications": True}},
    },
)
SECRETS = Target("secrets", vault=SECOND)
REMOVED = Target("no rabbitmq", {"rabbitmq": {"enabled": False}})
NOTHING = Target("nothing", command=DESTROY)
CORE = {one.name: one for one in (PLAIN, SETTINGS, SECRETS, REMOVED, NOTHING)}

CLOUD_SETTINGS = Target(
    "settings",
    {
        **SETTINGS.services,
        "glance": {"settings": {"debug": True}},
        "nova": {"settings": {"reserved_disk_mb": 5120}},
        "neutron": {"settings": {"dns_servers": ["192.0.2.53"]}},
        "cinder": {"settings": {"debug": True}},
        "horizon": {"settings": {"session_minutes": 45}},
    },
)
CLOUD_REMOVED = Target("no horizon, no barbican", {"horizon": {"enabled": False}, "barbican": {"enabled": False}})
CLOUD = {one.name: one for one in (PLAIN, CLOUD_SETTINGS, SECRETS, CLOUD_REMOVED)}


class TargetRegion:
    """A deployed region that is told to go from one target to another; ``keep`` holds the two vaults."""

    def __init__(self, cloud: Cloud, keep: Path) -> None:
        self.cloud, self._keep = cloud, keep
        self._services: Mapping[str, Any] = {}
        cloud.edit(lambda data: self._remember(data.get("services") or {}))

    def _remember(self, services: Mapping[str, Any]) -> None:
        self._services = dict(services)

    def want(self, target: Target) -> None:
        """Change region.yml and the vault."""
        values = {**self._services}
        for name, said in target.services.items():
            values[name] = {**values.get(name, {}), **said}
        self.cloud.edit(lambda data: data.update(services=values))
        self._use(target.vault)

    # -- vaults --------------------------------------------------------------------------------------------------------

    def make_vaults(self) -> None:
        """Keep the region's vault as the first; the second differs in one secret and lacks one certificate, to be issued."""
        self._store(FIRST)
        secrets = EncryptedFile(self._keep / SECOND / vault.FILE, password.read(self.cloud.folder, None))
        self._store(SECOND)
        secrets.write({**secrets.read(), CHANGED_SECRET: SecretValue("changed-by-a-kill-point")})
        for path in sorted((self._keep / SECOND / vault.CERTS).glob("*.yml")):
            certificates = EncryptedFile(path, password.read(self.cloud.folder, None))
            certificates.write({name: one for name, one in certificates.read().items() if name != REISSUED})

    def settle_vault(self, name: str) -> None:
        """Keep what an undisturbed run added, so that every later one finds the same."""
        self._store(name)

    def _store(self, name: str) -> None:
        folder = self._keep / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        shutil.copy2(self.cloud.folder / vault.FILE, folder / vault.FILE)
        shutil.copytree(self.cloud.folder / vault.CERTS, folder / vault.CERTS)

    def _use(self, name: str) -> None:
        if not (self._keep / name).is_dir():
            return
        for path in (self._keep / name).rglob("*.yml"):
            target = self.cloud.folder / path.relative_to(self._keep / name)
            shutil.copy2(path, target)
