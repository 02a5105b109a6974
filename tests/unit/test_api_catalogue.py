"""The catalogue of APIs: under which type services check access rules, and under which name everybody looks for the region."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from functools import cache

from regions import INVENTORIES

from proofs.world import World, real

SECTION = "keystone_authtoken"
NAMED = ("services:\n", "services:\n  keystone: {settings: {region_id: RegionOne}}\n")


@cache
def cloud() -> World:
    return real(NAMED)


def configurations() -> Iterator[tuple[str, str, configparser.ConfigParser]]:
    """Service, path and content of what services read in the format of oslo.config."""
    for group in cloud().desired.instances.values():
        for instance in group:
            for file in instance.files:
                if re.search(r"^\[(keystone_authtoken|service_user|nova|neutron|placement)\]", file.text, re.M):
                    found = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
                    found.read_string(file.text)
                    yield instance.service, file.path, found


def types() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for item in cloud().desired.items:
        if item.kind == "service":
            found.setdefault(item.service, set()).add(item.attrs["type"])
    return found


def test_every_api_that_checks_tokens_knows_its_type_in_the_catalogue():
    """Without it keystonemiddleware refuses every token with access rules, and with another one those that fit."""
    checking = {service: found[SECTION] for service, _, found in configurations() if SECTION in found}
    assert len(checking) >= 7
    for service, section in checking.items():
        assert section.get("service_type") in types()[service], service


def test_everybody_looks_for_the_region_by_its_name_in_the_catalogue():
    """Whatever a setting that names a region is called."""
    keys = re.compile(r"(.*_)?region(_name)?|.*_region_id")
    found = {
        (service, path, section, key, value)
        for service, path, content in configurations()
        for section in content.sections()
        for key, value in content[section].items()
        if keys.fullmatch(key)
    }
    assert len(found) > 15
    assert {one for one in found if one[-1] != "RegionOne"} == set()
    endpoints = {item.attrs["region"] for item in cloud().desired.items if item.kind == "endpoint"}
    assert endpoints == {item.name for item in cloud().desired.items if item.kind == "region"} == {"RegionOne"}


def test_one_role_knows_the_setting_that_names_the_region():
    roles = INVENTORIES.parent / "roles"
    assert [path.parent.name for path in roles.glob("*/service.yml") if "region_id:" in path.read_text()] == [
        "keystone"
    ]
