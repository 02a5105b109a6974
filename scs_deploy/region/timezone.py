"""Names of time zones that every Debian system has, and what older names are called today; asked of the package tzdata."""

from __future__ import annotations

import difflib
from functools import cache
from importlib.resources import files

from scs_deploy.documents.fields import wrong


def known(name: str) -> str:
    """Return the name of a zone; raises ``PydanticCustomError`` with the present name of an older one, else with near misses.

    Older names, such as US/Pacific, are links that Debian keeps in tzdata-legacy, which nodes and images have not.
    """
    if name in zones():
        return name
    if present := _present(name):
        raise wrong(f"{name} is an older name of a time zone, which Debian's tzdata has no more", f"write {present}")
    raise wrong(f"there is no time zone {name}", f"did you mean {' or '.join(_near(name)) or 'Etc/UTC'}?")


@cache
def zones() -> frozenset[str]:
    """What the tables of the tz database name, one per place, and what is no place: UTC and fixed offsets from it."""
    tables = (_text(f"zoneinfo/{table}") for table in ("zone.tab", "zone1970.tab"))
    rows = [line.split("\t") for table in tables for line in table.splitlines() if line and not line.startswith("#")]
    others = {name for name in _text("zones").split() if name.startswith("Etc/") or name in ("UTC", "GMT")}
    return frozenset({row[2] for row in rows} | others)


@cache
def _links() -> dict[str, str]:
    lines = (line.split() for line in _text("zoneinfo/tzdata.zi").splitlines() if line.startswith("L "))
    return {name: target for _, target, name in lines}


def _present(name: str) -> str:
    while name in _links() and name not in zones():
        name = _links()[name]
    return name if name in zones() else ""


def _near(name: str) -> list[str]:
    places = {zone.lower(): zone for zone in sorted(zones())}
    cities = {zone.rpartition("/")[2].lower(): zone for zone in sorted(zones())}
    city = name.rpartition("/")[2].lower()
    whole = [places[one] for one in difflib.get_close_matches(name.lower(), places, 3, 0.8)]
    return whole or [cities[one] for one in difflib.get_close_matches(city, cities, 3, 0.8)]


def _text(name: str) -> str:
    return files("tzdata").joinpath(name).read_text(encoding="utf-8")
