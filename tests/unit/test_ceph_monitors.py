"""Who makes a Ceph cluster: a monitor that was told to, once; every other one waits and joins. The entry script runs as it is rendered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.region.load import parse_region
from scs_deploy.region.placement import place
from scs_deploy.render import Given
from scs_deploy.render.context import Topology
from scs_deploy.render.files import hook_files
from scs_deploy.render.scope import InstanceScope
from scs_deploy.render.templates import TemplateSet

ROOT = Path(__file__).parents[2]
RUN, DATA = "/run/scs-deploy/ceph-mon", "/var/lib/ceph/mon"

PROGRAMS = {
    # The probe of another monitor's port is the only thing that is given 3 s; the map is asked for by way of it too.
    "timeout": 'if [ "$1" = 3 ]; then [ -e {folder}/lives ]; else shift; exec "$@"; fi',
    "ceph": '[ -e {folder}/serves ] || exit 1; echo joined >>{folder}/did',
    "monmaptool": "echo formed >>{folder}/did",
    "ceph-mon": 'echo mkfs >>{folder}/did; [ ! -e {folder}/breaks ] || exit 1; mkdir {folder}/mon/new',
    "sync": ":",
    # A wait: what happens meanwhile, and an end to waiting when nothing more does.
    "sleep": '[ -x {folder}/meanwhile ] || kill $PPID; sh {folder}/meanwhile; rm -f {folder}/meanwhile',
}  # fmt: skip


@cache
def scope(name: str) -> InstanceScope:
    """The world of the first monitor of a region."""
    folder = ROOT / "inventories" / name
    catalogue = load_catalogue([ROOT / "roles"])
    region = parse_region((folder / "region.yml").read_text(), folder, catalogue)
    placement = place(region, catalogue, {})
    given = Given(Topology(region, catalogue, placement), TemplateSet.load(catalogue), {}, {}, {})
    return given.scope(placement.of("ceph-mon")[0])


@cache
def script(name: str) -> tuple[str, dict[str, str]]:
    """The entry script of the first monitor of a region, up to where it starts the daemon, and what it is given."""
    text = scope(name).text("mon.sh")
    environment = {key: scope(name).string(value) for key, value in scope(name).component.environment.items()}
    return text[: text.index("/etc/ceph/post-crashes\nexec")], environment


class Monitor:
    def __init__(self, folder: Path, region: str) -> None:
        self.folder, self.order, self.store = folder, folder / "run/form", folder / "mon/store"
        for name in ("bin", "run", "mon"):
            (folder / name).mkdir()
        for name, text in PROGRAMS.items():
            (folder / "bin" / name).write_text(f"#!/bin/bash\n{text.format(folder=folder)}\n")
            (folder / "bin" / name).chmod(0o755)
        text, self.given = script(region)
        assert DATA in text
        assert f"order={RUN}/form\n" in text, "the same as in the hook"
        self.text = text.replace(DATA, str(folder / "mon")).replace(RUN, str(folder / "run"))
        self.text = self.text.replace("/etc/ceph/ceph.conf", "/dev/null")

    def meanwhile(self, what: str) -> None:
        (self.folder / "meanwhile").write_text(what.format(folder=self.folder))
        (self.folder / "meanwhile").chmod(0o755)

    def start(self) -> list[str]:
        """What it did; ``waits`` where it would wait for ever."""
        (self.folder / "did").write_text("")
        env = self.given | {"PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", self.text], env=env, capture_output=True, text=True, check=False, timeout=30
        )
        did = (self.folder / "did").read_text().split()
        if done.returncode == -15:
            assert "waiting for a quorum to join, or for the order" in done.stderr
            return [*did, "waits"]
        return did if not done.returncode else [*did, "failed"]


@pytest.fixture(params=["box", "half-rack"])
def each(request, tmp_path) -> Monitor:
    """The only monitor of a region, and the first of three."""
    return Monitor(tmp_path, request.param)


@pytest.fixture
def one_of_three(tmp_path) -> Monitor:
    return Monitor(tmp_path, "half-rack")


def test_the_regions_are_what_they_are_taken_for():
    assert not script("box")[1]["SCS_OTHERS"]
    assert len(script("half-rack")[1]["SCS_OTHERS"].split()) == 2


def test_an_empty_monitor_forms_nothing_by_itself(each):
    assert each.start() == ["waits"]
    assert not each.store.exists()


def test_an_order_makes_the_cluster_once(each):
    each.order.touch()
    assert each.start() == ["formed", "mkfs"]
    assert each.store.is_dir()
    assert not each.order.exists()
    assert each.start() == [], "from then on it only starts"
    each.store.rmdir()
    assert each.start() == ["waits"], (
        "a store that is lost, such as a disk that was not mounted, makes no second cluster"
    )


def test_an_order_ends_the_wait(each):
    each.meanwhile("touch {folder}/run/form")
    assert each.start() == ["formed", "mkfs"]


def test_a_start_that_was_cut_short_is_made_up_for(each):
    each.order.touch()
    (each.folder / "breaks").touch()
    assert each.start() == ["formed", "mkfs", "failed"]
    assert each.order.exists(), "used up only when there is a store"
    (each.folder / "breaks").unlink()
    assert each.start() == ["formed", "mkfs"]


def test_it_joins_those_that_serve(one_of_three):
    one_of_three.meanwhile("touch {folder}/serves")
    assert one_of_three.start() == ["joined", "mkfs"]


def test_an_order_forms_nothing_beside_others_that_have_data(one_of_three):
    one_of_three.order.touch()
    (one_of_three.folder / "lives").touch()
    assert one_of_three.start() == ["waits"]
    (one_of_three.folder / "serves").touch()
    assert one_of_three.start() == ["joined", "mkfs"]
    assert not one_of_three.order.exists()


def test_an_order_left_over_is_used_up_by_a_start_with_data(each):
    each.store.mkdir()
    each.order.touch()
    assert each.start() == []
    assert not each.order.exists()


# -- hooks -----------------------------------------------------------------------------------------------------------------


def hook(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Run a hook as it is placed on a node whose root is a folder."""
    placed = files("box", name)
    for path, text in placed.items():
        (folder / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (folder / path.lstrip("/")).write_text(text.replace(': "/', f': "{folder}/'))
    (program,) = (folder / path.lstrip("/") for path in placed if path.endswith(f"/{name}"))
    return subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False)


def files(region: str, name: str) -> dict[str, str]:
    return {file.path: file.text for file in hook_files(scope(region)) if file.path.endswith((f"/{name}", ".json"))}


def test_hooks_tell_what_is_there_and_leave_the_order_where_the_script_looks(tmp_path):
    order, store = tmp_path / RUN.lstrip("/") / "form", tmp_path / "var/lib/scs-deploy/data/ceph-mon/mon/store"
    assert json.loads(hook(tmp_path, "probe").stdout)["state"] == "empty"
    assert hook(tmp_path, "form").returncode == 0
    assert order.exists()
    order.unlink()
    store.mkdir(parents=True)
    assert json.loads(hook(tmp_path, "probe").stdout)["state"] == "member"
    refused = hook(tmp_path, "form")
    assert refused.returncode == 1
    assert "belongs to a cluster already" in refused.stderr
    assert not order.exists()
