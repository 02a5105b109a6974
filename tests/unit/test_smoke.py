"""Bookkeeping of the smoke test: choosing steps, what blocks whom, reports, and S3's signature."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from typing import Any, cast
from xml.etree import ElementTree as Xml

import pytest

from scs_deploy.errors import DeployError, Interrupted, UsageError
from scs_deploy.smoke import reach, report, s3
from scs_deploy.smoke.bench import Bench
from scs_deploy.smoke.run import STEPS
from scs_deploy.smoke.steps import NotDeployedError, SmokeResult, SmokeStep, in_the_way, run_step, select

NO_BENCH = cast(Bench, None)


def step(name: str, *needs: str, apis: tuple[str, ...] = (), run: Any = lambda bench: "fine") -> SmokeStep:
    return SmokeStep(name, name.upper(), run, needs, apis)


def result(name: str, status: Any) -> SmokeResult:
    return SmokeResult(name, name, status)


def test_every_step_comes_after_what_it_needs_and_has_a_name_of_its_own() -> None:
    seen: set[str] = set()
    for one in STEPS:
        assert set(one.needs) <= seen, one.name
        assert one.name not in seen
        seen.add(one.name)


def test_only_takes_what_a_step_needs_along() -> None:
    steps = [step("a"), step("b", "a"), step("c"), step("d", "b")]
    assert [one.name for one in select(steps, ["d"])] == ["a", "b", "d"]
    assert select(steps, []) == steps
    assert {"server", "network", "login"} <= {one.name for one in select(STEPS, ["tcp"])}


def test_an_unknown_step_is_a_usage_error_with_the_likely_one() -> None:
    with pytest.raises(UsageError) as caught:
        select(STEPS, ["pign"])
    assert "did you mean ping?" in str(caught.value)


@pytest.mark.parametrize(
    ("done", "status", "detail"),
    [
        ([result("a", "passed")], None, ""),
        ([result("a", "failed")], "blocked", "needs a"),
        ([result("a", "blocked")], "blocked", "needs a"),
        ([result("a", "not deployed")], "not deployed", "needs a"),
        ([result("a", "not deployed"), result("z", "failed")], "not deployed", "needs a"),
    ],
)
def test_what_is_in_the_way(done: list[SmokeResult], status: str | None, detail: str) -> None:
    found = in_the_way(step("b", "a", "z"), done, lambda api: True)
    assert (found.status if found else None) == status
    assert (found.detail if found else "") == detail


def test_a_step_of_a_service_that_is_not_there_is_not_deployed_whatever_failed_before() -> None:
    found = in_the_way(
        step("b", "a", apis=("compute", "network")), [result("a", "failed")], lambda api: api == "network"
    )
    assert found is not None
    assert (found.status, found.detail) == ("not deployed", "no compute service")


def test_a_step_ends_passed_failed_or_not_deployed_and_an_interruption_goes_on() -> None:
    def fails(bench: Bench) -> str:
        raise DeployError("broken", why="because")

    def without(bench: Bench) -> str:
        raise NotDeployedError("no backup service")

    def stopped(bench: Bench) -> str:
        raise Interrupted("Ctrl-C")

    assert run_step(step("a"), NO_BENCH).detail == "fine"
    failed = run_step(step("a", run=fails), NO_BENCH)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.why == "because"
    assert run_step(step("a", run=without), NO_BENCH).status == "not deployed"
    with pytest.raises(Interrupted):
        run_step(step("a", run=stopped), NO_BENCH)


def test_errors_of_the_libraries_fail_the_step_with_the_servers_words() -> None:
    import requests
    from openstack import exceptions

    def refused(bench: Bench) -> str:
        answer = requests.Response()
        answer.status_code, answer._content = 409, b'{"conflictingRequest": {"message": "Quota exceeded"}}'
        answer.headers["Content-Type"] = "application/json"
        exceptions.raise_from_response(answer)
        return ""

    error = run_step(step("a", run=refused), NO_BENCH).error
    assert error is not None
    assert "HTTP 409: Quota exceeded" in error.why


def test_green_means_passed_and_nothing_failed() -> None:
    assert report.green([result("a", "passed"), result("b", "not deployed")])
    assert not report.green([result("a", "passed"), result("b", "failed")])
    assert not report.green([result("a", "passed"), result("b", "blocked")])
    assert not report.green([result("b", "not deployed")])


def test_junit_and_json_tell_the_same() -> None:
    error = DeployError("broken", where="here", why="console: \x1b[31mred\x00", fix="mend it")
    results = [
        SmokeResult("a", "A", "passed", 1.25, "10.0.0.5"),
        SmokeResult("b", "B", "failed", 2.0, error=error),
        SmokeResult("c", "C", "blocked", detail="needs b"),
        SmokeResult("d", "D", "not deployed", detail="no image service"),
    ]
    suite = Xml.fromstring(report.junit("box", results, 3.5)).find("testsuite")  # noqa: S314 - our own
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "1", "2")
    cases = {case.get("name"): case for case in suite}
    assert cases["a"].get("time") == "1.250"
    failure = cases["b"].find("failure")
    assert failure is not None
    assert "mend it" in (failure.text or "")
    skipped = cases["d"].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "not deployed: no image service"
    data = json.loads(json.dumps(report.as_json("box", results, 3.5, "")))
    assert data["green"] is False
    assert data["steps"][1]["error"]["fix"] == "mend it"
    assert report.summary(results, 3.5) == "1 passed, 1 failed, 1 blocked, 1 not deployed in 4 s"


def test_the_signature_of_the_published_example() -> None:
    """GET Object of the documentation of AWS Signature Version 4."""
    headers = s3.sign(
        "GET",
        "https://examplebucket.s3.amazonaws.com/test.txt",
        {"Range": "bytes=0-9"},
        b"",
        datetime(2013, 5, 24, tzinfo=UTC),
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "us-east-1",
    )
    assert headers["Authorization"].endswith("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")


def test_a_ping_packet_has_a_right_checksum() -> None:
    packet = reach._packet(reach.V4_REQUEST, 4711, 1)
    assert len(packet) % 2 == 0
    assert reach._checksum(packet) == 0
    assert struct.unpack("!BBHHH", packet[:8])[3:] == (4711, 1)
