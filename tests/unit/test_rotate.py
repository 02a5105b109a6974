"""Rotation of passwords: the names that accounts have in each phase, who logs in with which, and when the next phase may begin."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest

from proofs.world import ROLES, World, answers, real
from scs_deploy.catalogue.service import Secret
from scs_deploy.errors import InputError
from scs_deploy.operations import rotate
from scs_deploy.secrets import account_names, keys
from scs_deploy.secrets.account_names import Standing
from scs_deploy.secrets.placeholders import find

SECRET = "app-database"


def vault() -> dict:
    return {SECRET: "old", "app-keys": {"0": "k"}}


def states(values: dict, secret: str, fresh: str) -> list[dict]:
    """The vault's values after each phase of a rotation."""
    found = [account_names.begin(values, {secret: fresh})]
    while account_names.under_way(account_names.read(found[-1])):
        found.append(account_names.advance(found[-1], [secret]))
    return found


# -- the vault -------------------------------------------------------------------------------------------------------------


def test_at_every_moment_the_value_that_processes_hold_is_wanted_as_well_as_the_next():
    offered, taken, withdrawn, over = states(vault(), SECRET, "new")

    def wanted(values: dict) -> list[tuple[str, str]]:
        return [(one.suffix, values[one.secret]) for one in account_names.names(SECRET, account_names.read(values))]

    assert wanted(vault()) == [("", "old")]
    assert wanted(offered) == [("", "old"), ("~b", "new")]
    assert wanted(taken) == [("~b", "new"), ("", "old")]
    assert wanted(withdrawn) == [("~b", "new")]
    assert wanted(over) == [("~b", "new")]
    assert "old" not in str(withdrawn)
    assert over == {SECRET: "new", "app-keys": {"0": "k"}, "rotation": {SECRET: "second"}}


def test_the_next_rotation_takes_the_first_name_again_and_leaves_no_trace():
    (*_, over) = states(vault(), SECRET, "new")
    (*_, again) = states(over, SECRET, "newer")
    assert again == {SECRET: "newer", "app-keys": {"0": "k"}}


def test_rotations_of_several_secrets_do_not_mix():
    values = account_names.begin({"a": "1", "b": "2", "c": "3"}, {"a": "x", "b": "y"})
    values = account_names.advance(values, ["a"])
    assert account_names.under_way(account_names.read(values)) == {"a": "taken", "b": "offered"}
    assert values == {
        "a": "x", "a~other": "1", "b": "2", "b~other": "y", "c": "3",
        "rotation": {"a": "second taken", "b": "first offered"},
    }  # fmt: skip


@pytest.mark.parametrize(
    "entry", ["second", {SECRET: "third"}, {SECRET: "first lost"}, {SECRET: "first offered"}, {SECRET: "second taken"}]
)
def test_an_entry_that_somebody_broke_is_an_error(entry):
    with pytest.raises(InputError, match=r"rotation(.|\n)*restore secrets.yml"):
        account_names.read({**vault(), "rotation": entry})


def test_a_plan_says_where_a_rotation_stands():
    assert account_names.notes({"a": Standing(True)}) == ()
    (note,) = account_names.notes({"a": Standing(True, "taken"), "b": Standing(False, "taken"), "c": Standing(True)})
    assert "phase 2 of 3" in note
    assert "(a, b)" in note
    assert "secrets rotate" in note


# -- rendering -------------------------------------------------------------------------------------------------------------


def items(world: World) -> dict[str, str]:
    return {item.name: next(find(item.secret), "") for item in world.desired.items if item.kind == "user"}


def world_in(standing: Standing | None) -> World:
    made = World(standings={SECRET: standing} if standing else {})
    made.secrets[SECRET + account_names.OTHER] = "S3CRET-other"
    return made


def test_accounts_and_consumers_in_each_phase():
    cases = [
        (None, {"app": SECRET}, "mysql://app:"),
        (Standing(False, "offered"), {"app": SECRET, "app~b": f"{SECRET}~other"}, "mysql://app:"),
        (Standing(True, "taken"), {"app~b": SECRET, "app": f"{SECRET}~other"}, "mysql://app~b:"),
        (Standing(True, "withdrawn"), {"app~b": SECRET}, "mysql://app~b:"),
        (Standing(True), {"app~b": SECRET}, "mysql://app~b:"),
        (Standing(True, "offered"), {"app~b": SECRET, "app": f"{SECRET}~other"}, "mysql://app~b:"),
    ]
    for standing, accounts, login in cases:
        world = world_in(standing)
        found = items(world)
        assert {name: found[name] for name in found if found[name]} == accounts, standing
        text = world.file("n1/app", "app.conf").text
        assert login in text, standing
        assert f"{SECRET}~other" not in text
        assert {name for name in found if not found[name]} == {"app-one", "app-two"}, "accounts without a secret stay"


@pytest.fixture(scope="module")
def whole():
    """Everything that the roles of the repository make of a whole cloud, with all accounts under their second name."""
    return real(standings=dict.fromkeys(rotated(real()), Standing(True)))


def rotated(world: World) -> list[str]:
    return sorted({name for item in world.desired.items if account(world, item) for name in find(item.secret)})


def account(world: World, item) -> bool:
    return item.kind in world.catalogue.services[item.owner].owns.accounts


def test_there_is_something_to_rotate_in_every_backend(whole: World):
    owners = {item.owner for item in whole.desired.items if account(whole, item)}
    assert len(owners) == 3
    assert len(rotated(whole)) > 15


def test_no_file_of_any_role_holds_the_first_name_with_the_password_of_the_second(whole: World):
    """Who prints a password prints the name that goes with it, through login_name."""
    base = real()
    for secret in rotated(base):
        accounts = {item.name for item in base.desired.items if secret in set(find(item.secret))}
        for instance in (one for group in whole.desired.instances.values() for one in group):
            texts = [file.text for file in instance.files if not file.bookkeeping]
            if not any(secret in set(find(text)) for text in texts):
                continue
            assert any(f"{name}~b" in text for name in accounts for text in texts), (instance.id, secret)
            for text in texts:
                for line in text.splitlines():
                    if secret in set(find(line)) and "://" in line:
                        assert any(f"//{name}~b:" in line for name in accounts), (instance.id, line)


def test_a_template_with_a_fixed_name_is_noticed(tmp_path):
    folder = tmp_path / "app"
    shutil.copytree(ROLES / "app", folder)
    config = folder / "templates/app.conf.j2"
    config.write_text(config.read_text().replace("{{ login_name('app', 'app-database') }}", "fixed"))
    others = [path for path in ROLES.iterdir() if path.name != "app"]
    for path in others:
        shutil.copytree(path, tmp_path / path.name)
    rotate.require_names(world_in(Standing(True, "taken")).desired, [SECRET])
    world = World(standings={SECRET: Standing(True, "taken")}, roles=(tmp_path,))
    with pytest.raises(InputError, match=r"no user app~b(.|\n)*login_name"):
        rotate.require_names(world.desired, [SECRET])


def test_what_hangs_on_an_account_follows_it(whole: World):
    named = [item for item in whole.desired.items if item.kind == "role_assignment"]
    assert named
    assert all(item.attrs["user"].endswith("~b") and item.name.endswith("~b") for item in named)
    users = {item.name for item in whole.desired.items if item.owner == named[0].owner and item.kind == "user"}
    assert {item.attrs["user"] for item in named} <= users
    names = [item.id for item in whole.desired.items]
    assert len(names) == len(set(names))


def test_while_both_names_are_valid_both_have_the_same_rights():
    world = real(standings=dict.fromkeys(rotated(real()), Standing(False, "offered")))
    for item in world.desired.items:
        if item.kind == "role_assignment" and not item.name.endswith("~b"):
            (other,) = [one for one in world.desired.items if one.name == f"{item.name}~b" and one.kind == item.kind]
            assert other.attrs == {**item.attrs, "user": f"{item.attrs['user']}~b"}


# -- keys that sign --------------------------------------------------------------------------------------------------------


NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIGNING = Secret(type="fernet", count=3, valid_minutes=60)


def test_the_staged_key_becomes_the_primary_one_and_the_last_primary_is_kept():
    values = keys.rotate({"sign": {"0": "staged", "1": "older", "2": "primary"}}, {"sign": SIGNING}, NOW)
    fresh = values["sign"].pop("0")
    assert values["sign"] == {"2": "primary", "3": "staged"}
    assert fresh not in ("staged", "older", "primary")
    again = keys.rotate({**values, "sign": {**values["sign"], "0": fresh}}, {"sign": SIGNING}, NOW)
    assert {number: again["sign"][number] for number in ("3", "4")} == {"3": "staged", "4": fresh}
    assert set(again["sign"]) == {"0", "3", "4"}
    alone = keys.rotate({"sign": {"0": "s", "1": "p"}}, {"sign": Secret(type="fernet", count=2)}, NOW)
    assert alone["sign"]["2"] == "s"
    assert len(alone["sign"]) == 2


def test_a_key_is_not_dropped_before_what_it_signed_has_ended():
    values = keys.rotate({"sign": {"0": "a", "1": "b", "2": "c"}}, {"sign": SIGNING}, NOW)
    assert keys.too_early("sign", SIGNING, {}, NOW) is None
    found = keys.too_early("sign", SIGNING, values, NOW + timedelta(minutes=59))
    assert found
    assert "before 2026-01-01T01:00" in found.what
    assert keys.too_early("sign", SIGNING, values, NOW + timedelta(minutes=60)) is None


# -- when the next phase may begin -----------------------------------------------------------------------------------------


def lagging(world: World, observed: dict) -> list[str]:
    return rotate.lagging(world.sealed, answers(observed), [SECRET])


def test_nobody_lags_behind_where_everything_is_as_wanted():
    world = world_in(Standing(True, "taken"))
    assert lagging(world, world.observed()) == []


def running(observed: dict) -> None:
    observed["n2"]["instances"]["app"]["running"]["start"] = "earlier"


def written(observed: dict) -> None:
    observed["n2"]["instances"]["app"]["files"] = {"/etc/scs-deploy/app/etc/app/app.conf": {"state": "differs"}}


def stopped(observed: dict) -> None:
    observed["n2"]["instances"]["app"]["running"] = None


def away(observed: dict) -> None:
    del observed["n2"]


def unset(observed: dict) -> None:
    users = observed["n1"]["owners"]["store"]["items"]["user"]
    users[:] = [one for one in users if one["name"] != "app~b"]


def other_secret(observed: dict) -> None:
    next(one for one in observed["n1"]["owners"]["store"]["items"]["user"] if one["name"] == "app")["secret"] = (
        "differs"
    )


def disabled(observed: dict) -> None:
    users = observed["n1"]["owners"]["store"]["items"]["user"]
    next(one for one in users if one["name"] == "app")["differences"] = [
        {"what": "enabled", "is": "no", "wanted": "yes"}
    ]


@pytest.mark.parametrize(
    ("change", "who"),
    [
        (running, "n2/app: it runs with earlier input"),
        (written, "n2/app: its files differ"),
        (stopped, "n2/app: it does not run"),
        (away, "n2/app: its node was not looked at"),
        (unset, "user app~b is not set"),
        (other_secret, "user app is not set"),
        (disabled, "user app is not set"),
    ],
)
def test_who_lags_behind_is_named(change, who):
    world = world_in(Standing(True, "taken"))
    observed = world.observed()
    change(observed)
    assert any(who in one for one in lagging(world, observed)), lagging(world, observed)


def test_the_last_phase_is_over_when_the_old_account_is_gone():
    world = world_in(Standing(True, "withdrawn"))
    observed = world.observed()
    assert lagging(world, observed) == []
    observed["n1"]["owners"]["store"]["items"]["user"].append({"name": "app", "attrs": {}, "secret": ""})
    assert lagging(world, observed) == ["store: user app is still there"]


def test_an_unrelated_difference_holds_nothing_up():
    world = world_in(Standing(True, "taken"))
    observed = world.observed()
    observed["n1"]["instances"]["front"]["running"]["start"] = "earlier"
    assert lagging(world, observed) == []


def test_a_node_that_was_never_reached_holds_it_up():
    world = World(standings={SECRET: Standing(True)}, without_facts=("n4",))
    assert any("n4: it was never reached" in one for one in lagging(world, world.observed()))
