"""Time zones: what is accepted is in every Debian system, older names lead to present ones, and misspelt ones to near misses."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from pydantic_core import PydanticCustomError

from scs_deploy.region import timezone

LEGACY = {
    "US/Pacific",
    "Europe/Kiev",
    "Asia/Calcutta",
    "GB",
    "Japan",
    "Poland",
    "EST",
    "CET",
    "EST5EDT",
    "Zulu",
    "Brazil/East",
}
"""Some that Debian trixie has in tzdata-legacy only."""


@pytest.mark.parametrize("name", ["Europe/Berlin", "Etc/UTC", "UTC", "Etc/GMT+5", "America/Argentina/Buenos_Aires"])
def test_a_present_name_is_taken(name: str) -> None:
    assert timezone.known(name) == name


def test_no_older_name_is_taken() -> None:
    assert not LEGACY & timezone.zones()
    assert len(timezone.zones()) > 440


@pytest.mark.parametrize("name", sorted(LEGACY - {"EST5EDT"}))
def test_an_older_name_leads_to_one_with_the_same_clock(name: str) -> None:
    with pytest.raises(PydanticCustomError) as error:
        timezone.known(name)
    present = str(error.value.context["fix"]).removeprefix("write ")
    assert present in timezone.zones()
    assert _clock(present) == _clock(name)


def _clock(name: str) -> list[object]:
    from datetime import datetime

    return [datetime(2026, month, 1, tzinfo=ZoneInfo(name)).utcoffset() for month in range(1, 13)]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Europe/Berlinn", "Europe/Berlin"),
        ("berlin", "Europe/Berlin"),
        ("EST5EDT", "Etc/UTC"),
        ("utc", "UTC"),
        ("", "Etc/UTC"),
    ],
)
def test_a_misspelt_name_leads_to_near_ones(name: str, near: str) -> None:
    with pytest.raises(PydanticCustomError) as error:
        timezone.known(name)
    assert near in str(error.value.context["fix"])
