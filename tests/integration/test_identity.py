"""Accounts and the catalogue: strangers do not lock the program out, why a login is refused, a region that gets another name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from proofs.deployment import Cloud, until
from scs_deploy.cloud import credentials, prove
from scs_deploy.cloud.access import Access
from scs_deploy.cloud.credentials import ADMIN, OWN, Login
from scs_deploy.errors import DeployError

GUESSES = 12
"""Two more than keystone.settings.lockout_attempts."""

UNLOCK = "UPDATE keystone.local_user SET failed_auth_count = 0, failed_auth_at = NULL"


TOKENS = "/run/scs-deploy/keystone-tokens.json"


def login(cloud: Cloud, account: str) -> Login:
    site = cloud.site
    return credentials.login(site.region, site.catalogue, cloud.vault, account)


def token(cloud: Cloud, login: Login) -> None:
    """A lab's networks may be reached from inside its namespace only."""
    with cloud.reached():
        prove.token(login)


def guess(cloud: Cloud, account: str) -> None:
    """What a stranger does."""
    for number in range(GUESSES):
        with pytest.raises(DeployError, match="refused"):
            token(cloud, replace(login(cloud, account), password=f"guess {number}"))


@contextmanager
def administrator(cloud: Cloud) -> Iterator[Any]:
    """Keystone as people's administrator uses it."""
    with cloud.reached(), Access(cloud.site.region, login(cloud, ADMIN)) as access:
        yield access.admin().api.identity


def refusal(cloud: Cloud) -> str:
    """Why nothing is known of Keystone's resources; the plan ends with 1 then. On a busy machine it takes another look."""

    def told() -> str:
        why = str(cloud.plan(code=1)["unknown"]["n1/keystone resources"])
        return "" if "no answer within" in why or "its log says why" in why else why

    return str(until(told, "Keystone's resources are asked for in time", 300, 1))


def test_strangers_lock_people_and_not_the_program(settled: Cloud) -> None:
    try:
        for account in (ADMIN, OWN):
            guess(settled, account)
        with pytest.raises(DeployError, match="login of admin is refused"):
            token(settled, login(settled, ADMIN))
        settled.assert_settled()
        settled.run("prove", code=0)
        settled.run("cloud", "setup", "--dry-run", code=0)
        with settled.services(keystone={"settings": {"token_minutes": 50}}):
            settled.apply()
        settled.apply()
    finally:
        settled.sql(UNLOCK)
    token(settled, login(settled, ADMIN))


def test_a_region_without_the_account_gets_it_by_one_apply_while_its_administrator_is_locked(settled: Cloud) -> None:
    """As one is that was deployed when the program logged in as admin."""
    with administrator(settled) as identity:
        identity.delete_user(identity.find_user(login(settled, OWN).user))
    settled.vault.change(lambda values: {name: value for name, value in values.items() if name != f"keystone-{OWN}"})
    try:
        guess(settled, ADMIN)
        settled.apply()
        settled.run("prove", code=0)
        settled.assert_settled()
    finally:
        settled.sql(UNLOCK)


def test_the_plan_says_why_the_program_is_refused(settled: Cloud) -> None:
    right = login(settled, OWN)
    with administrator(settled) as identity:
        own = identity.find_user(right.user)

        def put(**wanted: Any) -> None:
            answer = identity.patch(f"/users/{own.id}", json={"user": wanted})
            assert answer.ok, answer.text

        try:
            put(options={"ignore_lockout_failure_attempts": False})
            assert "ignore_lockout_failure_attempts: off, wanted on" in json.dumps(settled.plan())
            guess(settled, OWN)
            settled.plan()  # a token that the program got before is as good as ever
            settled.on_node(f"rm {TOKENS}")
            assert "refuses the login of scs-deploy: the account is locked by wrong passwords" in refusal(settled)
            settled.sql(UNLOCK)
            put(password="changed by hand")
            assert "the password is wrong: somebody changed it in Keystone" in refusal(settled)
            put(password=right.password, enabled=False)
            assert "the account is disabled" in refusal(settled)
        except BaseException:
            settled.sql(UNLOCK)
            put(password=right.password, enabled=True, options={"ignore_lockout_failure_attempts": True})
            raise
    settled.vault.change(lambda values: {**values, f"keystone-{OWN}": "a new password of the program"})
    settled.apply()
    settled.assert_settled()


def test_the_password_of_the_program_is_rotated_as_others_are(settled: Cloud) -> None:
    before = login(settled, OWN)
    settled.run("secrets", "rotate", f"keystone-{OWN}", "--yes", code=0)
    after = login(settled, OWN)
    assert {before.user, after.user} == {OWN, f"{OWN}~b"}
    settled.run("prove", code=0)
    with pytest.raises(DeployError, match="refused"):
        token(settled, before)
    with administrator(settled) as identity:
        assert [one.name for one in identity.users() if one.name.startswith(OWN)] == [after.user]


def test_a_region_with_another_name_in_the_catalogue_leaves_nothing_behind(settled: Cloud, tmp_path: Path) -> None:
    own = settled.site.region.name
    with administrator(settled) as identity:
        elsewhere = identity.create_region(id="elsewhere")
        service = identity.find_service("keystone")
        other = identity.create_endpoint(
            service_id=service.id, interface="public", region_id="elsewhere", url="https://elsewhere.test"
        )
    try:
        with settled.services(keystone={"settings": {"region_id": "RegionOne"}}):
            settled.apply()
            settled.assert_settled()
            _named(settled, tmp_path, "RegionOne", own)
    finally:
        settled.apply()
        _named(settled, tmp_path, own, own)
        with administrator(settled) as identity:
            identity.delete_endpoint(other)
            identity.delete_region(elsewhere)


def _named(cloud: Cloud, out: Path, region: str, own: str) -> None:
    with administrator(cloud) as identity:
        assert {one.id for one in identity.regions()} == {region, "elsewhere"}
        found = sorted((one.region_id, one.interface) for one in identity.endpoints())
        assert found == sorted([*((region, name) for name in ("admin", "internal", "public")), ("elsewhere", "public")])
    cloud.run("credentials", "--out", str(out), code=0)
    cloud.run("prove", code=0)
    cloud.run("cloud", "setup", "--dry-run", code=0)
    clouds = yaml.safe_load((out / "clouds.yaml").read_text())["clouds"]
    assert {name: one["region_name"] for name, one in clouds.items()} == {own: region}
