"""A plan as a page: all of it, nothing executable, nothing from elsewhere."""

from __future__ import annotations

import datetime
import re
from html.parser import HTMLParser

from scs_deploy.cli.plan_page import page
from scs_deploy.plan.plan import Change, Plan, Step, Wave

MADE = datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)
EVIL = "<script>alert(1)</script>"


def example() -> Plan:
    changed = Step(
        "n1/db", "instance", "n1", "db", "mariadb", "update", 1,
        reasons=("db.cnf changed",), restart=True, interrupts=True, pause="Queries fail for 3 s",
        changes=(Change("/etc/db.cnf", "changed", f"-old = 1\n+new = {EVIL}"),),
    )  # fmt: skip
    job = Step("n1/job sync", "job", "n1", "sync", "keystone", "run", 2, reasons=("it never ran",))
    return Plan(
        "box", "2025.1", (Wave(1, (changed,)), Wave(2, (job,))), {"n2": f"no route {EVIL}"}, ("n3 is in maintenance",)
    )


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_it_says_what_the_text_says() -> None:
    text = page(example(), MADE)
    for part in (
        "Plan for box", "1 to change, 1 to restart, 1 jobs to run", "update n1/db", "db.cnf changed", "Queries fail for 3 s",
        "/etc/db.cnf", "run job sync on n1", "n3 is in maintenance", "no route", "2026-01-02 03:04 UTC", example().digest,
    ):  # fmt: skip
        assert part in text, part


def test_nothing_in_a_plan_becomes_part_of_the_page() -> None:
    tags = Tags(page(example(), MADE))
    assert tags.open == []
    assert "script" not in tags.found


def test_it_needs_nothing_from_elsewhere() -> None:
    assert not re.findall(r"""(?:src|href)\s*=|url\(|@import""", page(example(), MADE))
