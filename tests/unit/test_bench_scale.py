"""The measuring program's own parts that need no node: what it deploys is a valid region, what it repeats is what modules understand."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bench import pipeline
from bench.nodes import recorded, region
from bench.nodes.meter import CommandError, Meter
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.engine_podman import PodmanEngine
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.paths import labels_file
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.systemd import Systemd, Unit
from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.region.load import load_region
from scs_deploy.region.placement import place

BENCH = Path(__file__).parents[2] / "bench"
ROLES = BENCH.parent / "roles"


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
