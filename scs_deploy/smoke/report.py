"""The outcome of a smoke test for people's programs: JUnit and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as Xml

from scs_deploy.smoke.steps import SmokeResult, Status

LABELS: tuple[Status, ...] = ("passed", "failed", "blocked", "not deployed")


def summary(results: Sequence[SmokeResult], seconds: float) -> str:
    counts = Counter(result.status for result in results)
    shown = ", ".join(f"{counts[label]} {label}" for label in LABELS if counts[label] or label in ("passed", "failed"))
    return f"{shown} in {seconds:.0f} s"


def green(results: Sequence[SmokeResult]) -> bool:
    """Something passed and nothing failed; what is not deployed is no failure."""
    statuses = {result.status for result in results}
    return "passed" in statuses and not statuses & {"failed", "blocked"}


def as_json(region: str, results: Sequence[SmokeResult], seconds: float, address: str) -> dict[str, Any]:
    return {
        "region": region,
        "green": green(results),
        "seconds": round(seconds, 1),
        "address": address,
        "steps": [result.as_json() for result in results],
    }


def junit(region: str, results: Sequence[SmokeResult], seconds: float) -> str:
    """JUnit XML; blocked and not deployed steps are skipped ones. Two elements of it are used: too little for a dependency."""
    counts = Counter(result.status for result in results)
    skipped = counts["blocked"] + counts["not deployed"]
    suite = Xml.Element(
        "testsuite",
        name="scs-deploy smoke",
        hostname=region,
        tests=str(len(results)),
        failures=str(counts["failed"]),
        errors="0",
        skipped=str(skipped),
        time=f"{seconds:.3f}",
    )
    for result in results:
        case = Xml.SubElement(suite, "testcase", classname="smoke", name=result.name, time=f"{result.seconds:.3f}")
        if result.error:
            Xml.SubElement(case, "failure", message=_clean(result.error.what)).text = _clean(str(result.error))
        elif result.status != "passed":
            Xml.SubElement(case, "skipped", message=f"{result.status}: {_clean(result.detail)}")
        elif result.detail:
            Xml.SubElement(case, "system-out").text = _clean(result.detail)
    root = Xml.Element("testsuites")
    root.append(suite)
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _clean(text: str) -> str:
    """Consoles may hold control characters, which XML does not allow."""
    return "".join(char for char in text if char in "\t\n" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd")
