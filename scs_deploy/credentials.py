"""The file that lets the local ``openstack`` client log in to a deployed region."""

from __future__ import annotations

from pathlib import Path

import yaml

from scs_deploy.model.region import Region

_KEYSTONE = 5000


def clouds_yaml(region: Region, admin_password: str, ca_path: Path, auth_url: str = "") -> str:
    """Return a ``clouds.yaml`` with one cloud, named as the region; ``ca_path`` is a file on this machine.

    ``auth_url`` replaces the endpoint's public name where that is not in the DNS, such as in a lab.
    """
    cloud = {
        "auth": {
            "auth_url": auth_url or f"https://api.{region.domain}:{_KEYSTONE}/v3",
            "username": "admin",
            "password": str(admin_password),
            "project_name": "admin",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        "cacert": str(ca_path),
        "identity_api_version": 3,
        "interface": "public",
        "region_name": region.name,
    }
    return yaml.safe_dump({"clouds": {region.name: cloud}}, sort_keys=False)
