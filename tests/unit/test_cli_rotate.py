"""``scs-deploy secrets rotate``, on nodes that hold at once whatever is wanted: what is asked, refused, kept and gone on with."""

from __future__ import annotations

import time

import pytest
from typer.testing import CliRunner

from proofs.opened import Opened
from proofs.world import BASE, answers, facts, matching, said
from scs_deploy.cli import secrets
from scs_deploy.errors import CHANGES_PENDING, DeployError, InputError, UsageError
from scs_deploy.nodes import look
from scs_deploy.nodes.answers import Answers
from scs_deploy.operations.plan import wanted
from scs_deploy.secrets import account_names
from scs_deploy.secrets import vault as vault_module

SECRET = "app-database"


@pytest.fixture
def opened(folder, monkeypatch) -> Opened:
    def ask(connections, payloads, on_node=None):
        now = Opened.of(folder)
        known = now.store.facts(now.site.nodes)
        sealed = wanted(now.site, now.store.images(), now.preview(), known)
        told = {}
        for name in payloads:
            answer = matching(name, sealed) if known else said()
            told[name] = {**answer, "facts": facts(f"10.60.1.1{name[1]}"), "facts_digest": "f"} | {
                "live": {"time": time.time(), "boot_id": "b", "free_bytes": {}, "listening": []}
            }
        return Answers(answers(told), {}, {})

    monkeypatch.setattr(look, "ask", ask)
    made = Opened.of(folder)
    made.settle()
    return made


@pytest.fixture
def call(opened: Opened):
    def run(*arguments: str):
        result = CliRunner().invoke(secrets.app, ["rotate", "-r", str(opened.site.folder), *arguments])
        if isinstance(result.exception, DeployError):
            raise result.exception
        return result

    return run


def kept(opened: Opened) -> dict:
    """What the vault's file holds."""
    return vault_module.Vault.open(opened.site.folder).values()


def test_a_rotation_goes_through_its_phases_to_a_new_value(opened: Opened, call):
    old = opened.vault.get(SECRET)
    done = call("--yes")
    assert [line.partition(":")[0] for line in done.stdout.splitlines() if line.startswith("Phase")] == [
        "Phase 1 of 3", "Phase 2 of 3", "Phase 3 of 3",
    ]  # fmt: skip
    values = kept(opened)
    assert values[SECRET] != old
    assert old not in str(values)
    assert values[account_names.ENTRY] == {SECRET: "second"}
    assert old not in done.stdout
    assert values[SECRET] not in done.stdout
    call("--yes", SECRET)
    assert account_names.ENTRY not in kept(opened)


@pytest.mark.parametrize(("arguments", "raised"), [(("--plan",), None), ((), UsageError)])
def test_a_look_and_a_question_without_answer_change_nothing(opened: Opened, call, arguments, raised):
    before = {**opened.vault.values()}
    if raised:
        with pytest.raises(raised, match="no terminal"):
            call(*arguments)
    else:
        done = call(*arguments)
        assert done.exit_code == CHANGES_PENDING
        assert f"{SECRET}: store user app" in done.stdout
    assert kept(opened) == before


def test_one_that_was_begun_goes_on_and_another_waits(opened: Opened, call):
    opened.vault.change(lambda values: account_names.begin(values, {SECRET: "S3CRET-new"}))
    with pytest.raises(DeployError, match=r"is under way(.|\n)*without names"):
        call("--yes", "app-admin")
    done = call("--yes", SECRET)
    assert "Going on with app-database" in done.stdout
    assert kept(opened)[SECRET] == "S3CRET-new"


def test_a_look_at_one_that_was_begun_leaves_it_there(opened: Opened, call):
    opened.vault.change(lambda values: account_names.begin(values, {SECRET: "S3CRET-new"}))
    assert call("--plan").exit_code == CHANGES_PENDING
    assert account_names.under_way(account_names.read(kept(opened))) == {SECRET: "offered"}


def test_a_node_in_maintenance_that_logs_in_holds_it_up_before_anything_changes(opened: Opened, call):
    text = BASE.replace("{name: n2, groups", "{name: n2, state: maintenance, groups")
    assert text != BASE
    (opened.site.folder / "region.yml").write_text(text)
    before = kept(opened)
    with pytest.raises(DeployError, match=r"n2/app: its node was not looked at"):
        call("--yes")
    assert kept(opened) == before


def test_what_cannot_be_rotated_is_told_with_the_reason(opened: Opened, call):
    with pytest.raises(InputError, match=r"app-keys: cannot be rotated(.|\n)*nonsense: there is no secret"):
        call("--yes", "app-keys", "nonsense")
    with pytest.raises(InputError, match="has no password that can be rotated"):
        call("--yes", "--service", "front")
    with pytest.raises(UsageError, match="no service nope"):
        call("--yes", "--service", "nope")
