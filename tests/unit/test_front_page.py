"""What a newcomer reads first is short, and what is made from the program is what the program says."""

from __future__ import annotations

from pathlib import Path

from tools import commands, picture

ROOT = Path(__file__).parents[2]


def test_the_front_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 90


def test_the_list_of_commands_is_that_of_the_program() -> None:
    assert commands.PAGE.read_text(encoding="utf-8") == commands.page(), "run: python -m tools.commands"


def test_the_picture_shows_a_reason_and_a_masked_diff_and_no_secret() -> None:
    before, after = picture.worlds()
    shown = picture.plan(before, after)
    texts = [change.diff for step in shown.steps for change in step.changes]
    assert all(step.reasons and step.restart for step in shown.steps)
    assert any("***" in text for text in texts)
    drawn = picture.drawn(shown)
    secrets = [str(value) for value in before.secrets.values() if isinstance(value, str)]
    assert len(secrets) > 10
    assert not [secret for secret in secrets if secret in drawn]
    assert picture.PICTURE.read_text(encoding="utf-8").startswith("<svg")
