"""Placement as nova uses it: resource providers come, hold an inventory and go; nobody gets in without a token."""

from __future__ import annotations

import uuid
from typing import Any

VERSION = "placement 1.39"


def test_a_resource_provider_comes_and_goes(cloud: Any) -> None:
    key, name = str(uuid.uuid4()), f"molecule-{uuid.uuid4().hex[:8]}"
    made = cloud.ask(
        "POST", "placement", "/resource_providers", {"name": name, "uuid": key}, OpenStack_API_Version=VERSION
    )
    assert made.status == 200, made.body
    inventory = {"resource_provider_generation": made.json["generation"], "inventories": {"VCPU": {"total": 4}}}
    try:
        kept = cloud.ask("PUT", "placement", f"/resource_providers/{key}/inventories", inventory)
        assert (kept.status, kept.json["inventories"]["VCPU"]["total"]) == (200, 4)
        listed = cloud.ask("GET", "placement", "/resource_providers?resources=VCPU:4", OpenStack_API_Version=VERSION)
        assert key in {one["uuid"] for one in listed.json["resource_providers"]}
    finally:
        assert cloud.ask("DELETE", "placement", f"/resource_providers/{key}").status == 204


def test_without_a_token_it_is_closed(cloud: Any) -> None:
    assert cloud.send("GET", cloud.urls["placement", "public"] + "/resource_providers").status == 401


def test_offers_itself_on_all_interfaces(cloud: Any) -> None:
    urls = [cloud.urls["placement", interface] for interface in ("public", "internal", "admin")]
    assert all(url.startswith("https://") for url in urls)
