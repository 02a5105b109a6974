"""The measuring program's own parts that need no node: what it deploys is a valid region, what it repeats is what modules understand."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import pipeline
from bench.nodes import recorded, region, report
from bench.nodes.meter import CommandError, Cost, Meter
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.engine_podman import PodmanEngine
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.paths import labels_file
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.systemd import Systemd, Unit
from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.region.load import load_region
from scs_deploy.region.placement import place

BENCH = Path(__file__).parents[2] / "bench"
ROLES = BENCH.parent / "roles"
BEGIN = f"<!-- {report.SCRIPT} -->"
RESULTS = {
    1: {"ssh true": Cost(0.02, 0.01, 0.01), "ansible -m ping": Cost(1, 0.8, 0.1), "plan": Cost(2, 1.2, 0.3)},
    300: {"ssh true": Cost(4, 2, 1), "ansible -m ping": Cost(20, 16, 30), "plan": Cost(30, 24, 80)},
}


@pytest.fixture
def host(tmp_path: Path) -> recorded.RecordedHost:
    host = recorded.RecordedHost(tmp_path)
    for folder in (recorded.UNITS, recorded.CONTAINERS, Path(labels_file("x")).parent):
        host.path(str(folder)).mkdir(parents=True)
    host.path(f"{recorded.UNITS}/{recorded.ABSENT}").write_text(recorded.absent_text())
    return host


def test_every_node_of_the_region_gets_as_many_containers_as_are_promised(tmp_path: Path) -> None:
    roles = region.write_roles(tmp_path / "roles")
    catalogue = load_catalogue([ROLES, roles])
    others = [name for name in catalogue.services if name not in {"node", region.SERVICE}]
    folder = region.write_region(tmp_path / "region", 3, 2, others, tmp_path / "id", "")
    loaded = load_region(folder, catalogue)
    placement = place(loaded, catalogue, {})
    for node in loaded.nodes:
        own = [one for one in placement.on(node.name) if one.service == region.SERVICE]
        assert len(own) == region.INSTANCES
        assert str(node.addresses["api"].v4).startswith("127.")


def test_a_recorded_unit_starts_as_systemd_tells_it(host: recorded.RecordedHost) -> None:
    host.path(f"{recorded.UNITS}/a.service").write_text(recorded.unit_text("inactive", "generated"))
    host.path(labels_file("a")).write_text("scs-deploy.instance=a\nscs-deploy.start-digest=5\n")
    systemd = Systemd(host)
    before = systemd.show(["a.service", "b.service"])
    assert (before["a.service"].present, before["a.service"].running) == (True, False)
    assert before["b.service"] == Unit()
    systemd.restart("a.service", 1)
    after = systemd.unit("a.service")
    assert after.running
    assert (after.enabled, len(after.invocation)) == ("generated", 32)
    assert after.since


def test_recorded_containers_are_read_by_the_engine(host: recorded.RecordedHost) -> None:
    host.path(f"{recorded.CONTAINERS}/a").write_text("scs-deploy.instance=a\nscs-deploy.start-digest=5\n")
    (told,) = json.loads(recorded.containers(host.path(recorded.CONTAINERS), "i" * 64))
    managed = PodmanEngine._managed(told)
    assert (managed.instance, managed.start, managed.running, managed.image) == ("a", "5", True, "i" * 64)
    assert managed.since > 0


def test_the_script_named_systemctl_says_the_same_as_its_double(host: recorded.RecordedHost, tmp_path: Path) -> None:
    host.path(f"{recorded.UNITS}/a.service").write_text(recorded.unit_text("active", "enabled", "0" * 32, 7))
    script = tmp_path / "systemctl"
    script.write_text((BENCH / "nodes/systemctl").read_text().replace("=/run/units", f"={host.path(recorded.UNITS)}"))
    argv = ["show", "--timestamp=unix", "--property=LoadState", "--", "b.service", "a.service"]
    said = subprocess.run(["sh", str(script), *argv], capture_output=True, text=True, check=True).stdout
    assert said == host.run(["systemctl", *argv]).out


def test_the_table_says_how_many_times_ping_a_command_takes() -> None:
    table = report.table(RESULTS)
    assert "| 300 | 4.00 / 2.00 s | 20.0 / 16.0 s | 30.0 / 24.0 s (1.5× / 1.5×) |" in table
    assert len(table.splitlines()) == 4


def test_the_plot_is_xml_with_a_line_per_command() -> None:
    drawing = ET.fromstring(report.plot(RESULTS))  # noqa: S314 - our own text
    assert len(drawing.findall("{*}polyline")) == 2 * 3
    ET.fromstring(report.plot({1: RESULTS[1]}))  # noqa: S314


def test_the_page_is_changed_between_its_marks_only() -> None:
    text = f"before\n{BEGIN}\nold\n<!-- end of {report.SCRIPT} -->\nafter\n"
    made = report.replaced(text, RESULTS, "a machine")
    assert made.startswith("before\n")
    assert made.endswith("after\n")
    assert "old" not in made
    assert report.replaced(made, RESULTS, "a machine") == made
    with pytest.raises(ValueError, match="the page has no"):
        report.replaced("no marks", RESULTS, "")
    assert BEGIN in report.pages.page(report.SCRIPT).read_text()


def test_sizes_that_were_not_measured_again_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "scale.md"
    page.write_text(f"{BEGIN}\n<!-- end of {report.SCRIPT} -->\n")
    monkeypatch.setattr(report.pages, "FOLDER", tmp_path)
    report.write({300: RESULTS[300]}, "load 0")
    report.write({1: RESULTS[1]}, "load 9")
    made = page.read_text()
    assert made.index("| 1 | 0.02") < made.index("| 300 | 4.00")
    assert "1 nodes: load 9.\n300 nodes: load 0." in made


def test_a_command_that_does_not_end_is_ended(tmp_path: Path) -> None:
    meter = Meter(0, lambda: 0.0, {}, tmp_path)
    with pytest.raises(CommandError, match="not done after"):
        meter.run(["sleep", "60"], 0.2)
    with pytest.raises(CommandError, match="exit code 3"):
        meter.run(["sh", "-c", "exit 3"], 5)
    cost, said = meter.run(["sh", "-c", "echo hello"], 5)
    assert said == "hello\n"
    assert cost.wall > 0


def test_no_file_of_a_node_grows_with_the_region() -> None:
    """Every service on; 120 nodes have all groups of a region, 400 only have more of the same."""
    sizes = [pipeline.pipeline(nodes, pipeline.Timer()) for nodes in (120, 400)]
    assert not list(pipeline.growing(*sizes, 400 / 120)), "name a digest instead of every node"
