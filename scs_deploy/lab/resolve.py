"""The region's names for commands of this machine: an /etc/hosts of their own, since its DNS does not know a lab."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scs_deploy.region import vips
from scs_deploy.region.region import Region

HOSTS = Path("/etc/hosts")
# A mount namespace of its own, in which a file lies over /etc/hosts; it ends with the command.
_SCRIPT = 'mount --bind "$0" /etc/hosts && exec "$@"'


def hosts(region: Region) -> str:
    """Lines of /etc/hosts: the VIPs' names, and the nodes at their first address."""
    found = []
    for network in region.networks.values():
        name = vips.dns_name(network.name, region.domain)
        found += [f"{vip} {name}" for vip in (network.vip, network.vip6) if vip]
    found += [f"{next(iter(node.addresses.values())).first} {node.name}" for node in region.nodes if node.addresses]
    return "".join(f"{line}\n" for line in found)


def with_names(region: Region, folder: Path, argv: Sequence[str]) -> list[str]:
    """A command that runs ``argv`` with the region's names; ``folder`` takes the file."""
    file = folder / "hosts"
    text = f"{HOSTS.read_text(encoding='utf-8')}\n{hosts(region)}" if HOSTS.is_file() else hosts(region)
    if not file.is_file() or file.read_text() != text:
        file.write_text(text)
    return ["unshare", "--mount", "--", "sh", "-c", _SCRIPT, str(file), *argv]
