"""Every kind of mistake in region.yml is reported on its line, with what to do: the cases are in errors.yml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from regions import BASE, FIXTURES, changed, findings, parse

from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.documents.source import read_yaml
from scs_deploy.errors import InputError
from scs_deploy.region.load import parse_region

CASES = read_yaml(FIXTURES / "regions/errors.yml").data


def test_base_is_valid() -> None:
    assert parse(BASE).warnings == ()


@pytest.mark.parametrize("case", CASES, ids=[case["case"].replace(" ", "-") for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    also = [tuple(case["also"])] if "also" in case else []
    text = case["whole"] if "whole" in case else changed((case["old"], case["new"]), *also)
    found = findings(text)
    lines = [number for number, line in enumerate(text.split("\n"), 1) if case["at"] in line]
    wanted = lines[case.get("nth", 1) - 1]
    on_line = [finding for finding in found if finding.line == wanted]
    shown = "\n".join(map(str, found))
    told = [finding for finding in on_line if all(part in str(finding) for part in case["says"])]
    assert told, f"not on line {wanted}:\n{shown}"
    assert told[0].severity == case.get("severity", "error"), shown
    assert told[0].fix
    assert (told[0].file, told[0].column > 0) == ("region.yml", True)
    if case.get("severity") != "warning":
        with pytest.raises(InputError):
            parse(text)


def test_all_errors_of_a_file_at_once() -> None:
    text = changed(
        ("engine: podman", "enigne: podman"),
        ("patience: 1.5", "patience: 1.5\npatience: 2"),
        ("{memory_mb: 256}", "{memory_mb: lots}"),
        ("state: maintenance", "state: gone"),
        ("name: r3", "name: R3"),
    )
    found = findings(text)
    assert [finding.path for finding in found] == [
        "enigne",
        "patience",
        "services.memcached.settings.memory_mb",
        "racks[0].nodes[1].state",
        "racks[2].name",
    ]
    assert [finding.line for finding in found] == sorted(finding.line for finding in found)


def test_contradictions_are_told_beside_mistakes_of_form() -> None:
    """A file with both is not to be checked twice; what only follows from a mistake of form is not said."""
    text = changed(
        ("engine: podman", "enigne: podman"), ("name: r3", "name: r1"), ("state: maintenance", "state: gone")
    )
    assert [finding.path for finding in findings(text)] == ["enigne", "racks[0].nodes[1].state", "racks[2].name"]


def test_contradictions_are_told_beside_mistakes_in_settings() -> None:
    text = changed(("{memory_mb: 256}", "{memory_mb: lots}"), ("name: r3", "name: r1"))
    paths = [finding.path for finding in findings(text) if finding.severity == "error"]
    assert paths[0] == "services.memcached.settings.memory_mb"
    assert paths[-1] == "racks[2].name"


def test_an_even_quorum_of_all_members_is_an_error(tmp_path: Path) -> None:
    service = (FIXTURES / "roles/memcached/service.yml").read_text()
    (tmp_path / "memcached").mkdir()
    (tmp_path / "memcached/service.yml").write_text(
        service.replace("group: control", "group: control\n    quorum: true")
    )
    text = changed(("groups: [compute]", "groups: [control]"))
    text = text[: text.index("services:")] + text[text.index("racks:") :]
    with pytest.raises(InputError, match="memcached would have 4 members, an even number"):
        parse_region(text, tmp_path, load_catalogue([tmp_path]))


def test_mistakes_in_all_items_do_not_make_a_list_too_short() -> None:
    text = changed(
        ("  - name: r2\n", "  - name: R2\n"), ("  - name: r3\n", "  - name: R3\n"), ("  - name: r1\n", "  - name: R1\n")
    )
    assert [finding.path for finding in findings(text)] == [f"racks[{number}].name" for number in range(3)]
