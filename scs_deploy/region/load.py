"""Finds and loads a region folder: every mistake of region.yml at once, then the resolved ``Region``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scs_deploy.catalogue.load import Catalogue
from scs_deploy.documents.fields import RENAMED
from scs_deploy.documents.findings import of_pydantic, real_path, suggest
from scs_deploy.documents.source import PathTuple, Source, describe, parse_yaml, scan_yaml, show_path
from scs_deploy.errors import Finding, InputError, UsageError
from scs_deploy.machine import paths
from scs_deploy.region.checks import check_region
from scs_deploy.region.checks_public_tls import read_public_tls
from scs_deploy.region.checks_text import check_texts
from scs_deploy.region.region import Region, RegionSection
from scs_deploy.region.resolve import resolve
from scs_deploy.region.settings import check_services

FILE = "region.yml"

ROUNDS = 5
"""Leaving something out may show the next mistake of form; a file with more layers of them than this is not looked at further."""


def find_region(name_or_path: str | None, search: Sequence[Path]) -> Path:
    """The folder that holds region.yml: a path, a name below one of ``search``, or the only region there is.

    Raises ``UsageError`` when there is none, or several and none was named.
    """
    known = {
        path.parent.name: path.parent for root in reversed(search) for path in sorted(Path(root).glob(f"*/{FILE}"))
    }
    places = ", ".join(str(root) for root in search) or "nowhere"
    if name_or_path is None:
        if len(known) == 1:
            return next(iter(known.values()))
        if not known:
            raise UsageError(
                "there is no region",
                why=f"looked in {places}",
                fix=f"name a folder that holds region.yml: --region PATH; to start from, copy one of {paths.examples()}",
            )
        raise UsageError(
            "several regions are there", why=f"found {', '.join(sorted(known))}", fix="choose one: --region NAME"
        )
    path = Path(name_or_path)
    if path.name == FILE and path.is_file():
        return path.parent
    if (path / FILE).is_file():
        return path
    if name_or_path in known:
        return known[name_or_path]
    close = suggest(name_or_path, known)
    fix = (
        f"did you mean {close}?"
        if close
        else "name one of: " + ", ".join(sorted(known))
        if known
        else f"give the path of its folder; to start from, copy one of {paths.examples()}"
    )
    raise UsageError(
        f"there is no region {name_or_path}", why=f"no such folder with a {FILE}, here or in {places}", fix=fix
    )


def load_region(folder: Path, catalogue: Catalogue) -> Region:
    """The region in ``folder``. Raises ``InputError`` with all findings; warnings are in ``Region.warnings``."""
    return region_of(scan_yaml(folder / FILE), folder, catalogue)


def located(error: InputError, folder: Path) -> InputError:
    """The same findings, those about keys of region.yml with their line and column."""
    name = str(folder / FILE)
    source = scan_yaml(folder / FILE)

    def one(finding: Finding) -> Finding:
        if finding.file != name or finding.line:
            return finding
        line, column = source.position(finding.path.split("."), key=True)
        return replace(finding, line=line, column=column)

    return InputError([one(finding) for finding in error.findings])


def parse_region(text: str | bytes, folder: Path, catalogue: Catalogue, name: str = FILE) -> Region:
    """The same from a text, for tests and editors."""
    return region_of(parse_yaml(text, name), folder, catalogue)


def region_of(source: Source, folder: Path, catalogue: Catalogue) -> Region:
    if source.root is None and source.findings:
        raise InputError(source.findings)
    if not isinstance(source.data, dict):
        what = f"must be a mapping (key: value), not {describe(source.data)}"
        raise InputError([*source.findings, source.finding((), what, fix="begin with format: 1")])
    findings = [*source.findings, *check_texts(source), *check_services(source, catalogue)]
    try:
        section = RegionSection.model_validate(source.data)
    except ValidationError as error:
        findings += of_pydantic(source, error, _schema(), RENAMED)
        findings += _contradictions_besides(source, error, catalogue)
        raise InputError(_in_order(findings)) from error
    public_tls, about_it = read_public_tls(source, section, folder)
    found = [*check_region(source, section, catalogue), *about_it]
    if findings:
        raise InputError(_in_order([*findings, *found]))
    if any(finding.severity == "error" for finding in found):
        raise InputError(_in_order(found))
    return resolve(section, catalogue, folder, tuple(_in_order(found)), public_tls)


def _contradictions_besides(source: Source, error: ValidationError, catalogue: Catalogue) -> list[Finding]:
    """Contradictions in what is left when the values that have the wrong form are left out.

    Nothing when no region is left. What may only follow from leaving something out is not said.
    """
    data, left_out = deepcopy(source.data), list[PathTuple]()
    for _ in range(ROUNDS):
        for detail in error.errors(include_url=False):
            path, _is_key = real_path(data, detail["loc"])
            if detail["type"] == "missing" or not _drop(data, path):
                return []
            left_out.append(path)
        try:
            section = RegionSection.model_validate(data)
        except ValidationError as next_error:
            error = next_error
        else:
            found = check_region(source, section, catalogue, whole=False)
            return [one for one in found if not any(_is_above(one.path, path) for path in left_out)]
    return []


def _is_above(shown: str, path: PathTuple) -> bool:
    return any(shown == show_path(path[:length]) for length in range(len(path) + 1))


def _drop(data: Any, path: PathTuple) -> bool:
    """Remove a key of a mapping; an item of a list stays, as the others would change their places."""
    for step in path[:-1]:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return False
    return bool(path) and isinstance(data, dict) and data.pop(path[-1], data) is not data


def _in_order(findings: Iterable[Finding]) -> list[Finding]:
    """By place in the file, each once."""
    return sorted(dict.fromkeys(findings), key=lambda one: (one.line, one.column, one.what))


@cache
def _schema() -> dict[str, Any]:
    return RegionSection.model_json_schema()
