"""What the tests of the region model share: the fixture catalogue, the base region, and changes to it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from scs_deploy.catalogue.load import Catalogue, load_catalogue
from scs_deploy.errors import Finding, InputError
from scs_deploy.region.load import parse_region
from scs_deploy.region.region import Region

FIXTURES = Path(__file__).parent / "fixtures"
INVENTORIES = Path(__file__).parents[2] / "inventories"
BASE = (FIXTURES / "regions/base.yml").read_text()


@cache
def catalogue() -> Catalogue:
    return load_catalogue([FIXTURES / "roles"])


def parse(text: str | bytes) -> Region:
    return parse_region(text, Path("/region"), catalogue())


def changed(*changes: tuple[str, str]) -> str:
    """The base region with each first text, which must be there, replaced by its second."""
    text = BASE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def findings(text: str | bytes) -> tuple[Finding, ...]:
    """Errors and warnings; nothing else may come out."""
    try:
        return parse(text).warnings
    except InputError as error:
        return error.findings
