"""The region of the simulated nodes: a generated one whose API network is the loopback, with one service of 25 small containers per node."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from inventories import generate_region
from scs_deploy.images.lock import LockedImage, write_lock

ROOT = Path(__file__).parents[2]

SERVICE, IMAGE_NAME = "fleet", "fleet"
INSTANCES, FIRST_PORT = 25, 7001
TLS_EVERY = 5
"""Every fifth container has a certificate."""

IMAGE = hashlib.sha256(b"fleet").hexdigest()
PORTS = list(range(FIRST_PORT, FIRST_PORT + INSTANCES))
NETWORK = "127.50."
"""Instead of 10.80.: each node listens on a loopback address of its own."""

CONF = """\
# Written by scs-deploy.
[DEFAULT]
host = {{ node.name }}
bind_host = {{ address('api') }}
{% if component == 'fleet-01' %}
workers = {{ settings.workers }}
{% endif %}
"""

POLICY_RULES = 40


def options(count: int = 60) -> str:
    return "".join(f"option_{number:02} = value of option {number} of {{{{ component }}}}\n" for number in range(count))


def service() -> dict[str, Any]:
    """The ``service.yml``."""
    return {
        "format": 1,
        "name": SERVICE,
        "summary": "Small containers to measure with",
        "settings": {"workers": {"type": "integer", "default": 2, "description": "In one file of one container"}},
        "images": {IMAGE_NAME: {"packages": ["hello"]}},
        "components": {f"fleet-{number:02}": _component(number) for number in range(1, INSTANCES + 1)},
    }


def _component(number: int) -> dict[str, Any]:
    port = {"name": f"fleet-{number:02}", "port": FIRST_PORT + number - 1}
    tls = number % TLS_EVERY == 0
    return {
        "group": "all",
        "image": IMAGE_NAME,
        "command": ["sleep", "infinity"],
        "files": [
            {"template": "service.conf", "target": f"/etc/fleet-{number:02}/service.conf", "format": "ini"},
            {"template": "policy.json", "target": f"/etc/fleet-{number:02}/policy.json", "format": "json"},
        ],
        "health": {"tcp": port["name"]},
        "ports": [port if tls else {**port, "tls": False, "plain_reason": "nothing but a measurement listens here"}],
        "pause": "None",
    } | ({"tls": {}} if tls else {})


def write_roles(folder: Path) -> Path:
    """A folder for ``SCS_DEPLOY_ROLES``."""
    templates = folder / SERVICE / "templates"
    templates.mkdir(parents=True, exist_ok=True)
    (folder / SERVICE / "service.yml").write_text(yaml.safe_dump(service(), sort_keys=False))
    (templates / "service.conf").write_text(CONF + options())
    rules = {f"fleet:rule_{number:02}": "role:reader and project_id:%(project_id)s" for number in range(POLICY_RULES)}
    (templates / "policy.json").write_text(json.dumps(rules, indent=1) + "\n")
    return folder


def write_region(folder: Path, nodes: int, workers: int, others: list[str], key: Path, known_hosts: str) -> Path:
    """``region.yml`` and what lies beside it; ``others``: services that are left out. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    services: dict[str, Any] = {name: {"enabled": False} for name in others}
    services[SERVICE] = {"settings": {"workers": workers}}
    text = "".join(generate_region.region(nodes)).replace("10.80.", NETWORK)
    lines = [
        f"ssh: {{user: root, key: {key}, port: 2222}}" if line.startswith("ssh:")
        else f"services: {json.dumps(services)}" if line.startswith("services:")
        else line
        for line in text.splitlines()
    ]  # fmt: skip
    (folder / "region.yml").write_text("\n".join(lines) + "\n")
    (folder / "known_hosts").write_text(known_hosts)
    image = LockedImage.of(IMAGE, f"localhost/scs-deploy/{IMAGE_NAME}:2025.1", {"hello": "2.10-5"})
    write_lock(folder, "2025.1", {IMAGE_NAME: image})
    return folder
