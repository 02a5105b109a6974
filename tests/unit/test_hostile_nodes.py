"""A node that lies: nothing that it says names a secret, stops others or reaches the terminal as more than text."""

from __future__ import annotations

import base64
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from proofs.world import CERTIFICATE, World, facts, real, said
from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Question
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import Outcome
from scs_deploy.cli import change, common, day2, main
from scs_deploy.cli.plan_page import page
from scs_deploy.cli.plan_text import print_plan
from scs_deploy.cli.progress import ApplyProgress
from scs_deploy.errors import DeployError, InputError
from scs_deploy.nodes import connection, look
from scs_deploy.nodes.connection import Connection
from scs_deploy.nodes.events import EventLog
from scs_deploy.nodes.follow import Watch
from scs_deploy.operations.apply import Report, StepReport
from scs_deploy.operations.status import StatusRow
from scs_deploy.plan.plan import Plan
from scs_deploy.render.digests import content
from scs_deploy.render.scope import Given
from scs_deploy.secrets import pki, placeholders

OTHERS = {"ca-key": "S3CRET-ca", "keystone-admin": "S3CRET-admin"}


def contents(world: World) -> dict[str, str]:
    """Every file of every node as it would be sent."""
    known = {**world.secrets, **OTHERS}

    def resolver(name: str):
        return CERTIFICATE if name.startswith("cert:") else known.get(name, "made")

    found = (file for group in world.desired.instances.values() for one in group for file in one.files)
    return {file.path: content(file, world.desired, resolver) for file in found}


def test_facts_that_look_like_references_are_sent_no_secret():
    world = real()
    world.facts_of["n1"]["os"]["codename"] = "trixie\n# \ue000ca-key|url\ue001\n# \ue000keystone-admin|url\ue001"
    sources = contents(world)["/etc/apt/scs-sources.d/debian.sources"]
    assert "ca-key" in sources, "they were printed"
    assert not [secret for secret in OTHERS.values() if secret in sources]


def test_a_secret_that_no_template_asked_for_is_in_no_payload():
    world = real()
    world.facts_of["n1"]["os"]["codename"] = f"trixie\n# {placeholders.reference('ca-key', 'url')}"
    with pytest.raises(InputError, match="would get secrets that nothing asked for: ca-key"):
        contents(world)


def test_a_template_gets_no_secret_that_nobody_declares():
    world = World()
    scope = Given(world.site.topology, world.site.templates, {}, {}, {}).scope(world.placement.placed[0])
    with pytest.raises(InputError, match="no service declares the secret ca-key"):
        scope.secret("ca-key")


_DIGESTS = """
from proofs.world import World, nothing
from scs_deploy.plan.plan import saved
world = World()
plan = world.plan({node: nothing(node, world.sealed) for node in world.desired.instances})
print(sorted(world.sealed.start.items()), sorted(world.sealed.jobs.items()), sorted(world.sealed.items.items()), saved(plan))
"""


def test_digests_and_plans_are_the_same_in_every_process():
    made = {
        subprocess.run([sys.executable, "-c", _DIGESTS], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(made) == 1
    (one,) = made
    assert '"secret": "app-database"' in one, "a plan names the secrets of accounts"


class Liar(Connection):
    """A node that says what is in a file, whatever it is asked."""

    def argv(self, command: Sequence[str], *, tty: bool = False, log: str = "") -> list[str]:
        return ["/bin/sh", "-c", f"cat {self.host}"]


def answers(tmp_path: Path, **texts: str):
    """What the controller makes of what nodes print."""
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    nodes = {name: Liar(name, str(tmp_path / name), "") for name in texts}
    return look.ask(nodes, dict.fromkeys(nodes, Question("podman", "", {})))


def on_wire(data: dict[str, Any]) -> str:
    """The wire form of what need not be a message."""
    return base64.b64encode(gzip.compress(json.dumps({"v": wire.VERSION, **data}).encode())).decode()


def printed(**more: Any) -> str:
    """An answer, right but for what the case is about."""
    return f"scs-deploy-answer:{on_wire(said(**more))}"


def lying(path: str, value: Any) -> dict[str, Any]:
    """Facts of which one is a lie."""
    told = facts("10.60.1.11")
    told["disks"] = [
        {"name": "vda", "path": "/dev/vda", "size": 1, "serial": "S", "model": "", "rotational": False, "in_use": True}
    ]
    *above, last = path.split(".")
    place: Any = told
    for part in above:
        place = place[int(part) if part.isdigit() else part]
    place[last] = value
    return told


LIES = {
    "os.codename": "trixie\n# \ue000ca-key\ue001",
    "os.version": "13 main",
    "kernel": "6.12\x1b[2J",
    "hostname": "a" * 256,
    "python": "3.13\x9b31m",
    "disks.0.path": "/dev/vda\nrm",
    "disks.0.serial": "\ue000ca-key\ue001",
    "disks.0.size": -1,
    "interfaces.0.name": "eth0 }\nvirtual_ipaddress",
    "interfaces.0.addresses": ["10.60.1.11/24", "::::/200"],
    "resolvers": ["10.0.0.1\nserver"],
    "cpu.count": 0,
    "kernel_features": {},
    "engines": {"podman\x1b": "5"},
    "cpu.flags": ["a"] * 5000,
}


@pytest.mark.parametrize("path", LIES)
def test_facts_of_another_form_make_that_node_unknown_and_no_other(path: str, tmp_path: Path):
    told = lying(path, LIES[path])
    got = answers(tmp_path, n1=printed(facts=told), n2=printed(facts=facts("10.60.1.12")))
    assert list(got.answers) == ["n2"]
    first = re.sub(r"\.(\d+)", r"[\1]", path)
    assert got.failed["n1"].startswith(f"sent nonsense: facts.{first}")
    assert got.failed["n1"].isprintable()


NONSENSE = {
    "shape": printed(instances=[]),
    "number": printed(live={"time": 10**400, "boot_id": "b", "free_bytes": {}, "listening": []}),
    "depth": printed(
        owners={"x": {"state": "ok", "items": {"y": [{"name": "z", "attrs": {"a": json.loads("[" * 90 + "]" * 90)}}]}}}
    ),
    "text": printed(
        instances={
            "app": {
                "unit": {}, "running": None, "healthy": None, "recorded": True,
                "files": {"/a": {"state": "differs", "text": "\r" * 300_000}},
            }
        }
    ),
    "damaged": printed().replace("H4sI", "AAAA", 1),
}  # fmt: skip


def test_nonsense_makes_its_node_unknown_and_no_other(tmp_path: Path):
    got = answers(tmp_path, **NONSENSE, good=printed(facts=facts("10.60.1.12")))
    assert list(got.answers) == ["good"]
    assert got.failed.keys() == NONSENSE.keys()
    assert all(why.startswith("sent nonsense: ") for why in got.failed.values())


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1e300", str(1 << 63)])
def test_no_number_is_larger_than_can_be_reckoned_with(number: str):
    with pytest.raises(ValueError, match="no number of JSON"):
        wire.loads(f'{{"time": {number}}}')


def test_a_text_that_becomes_large_is_refused_before_it_does():
    bomb = on_wire({"results": [], "lock": "x" * wire.LIMIT})
    assert len(bomb) < 1 << 20
    for text in (bomb, "A" * (wire.LIMIT + 4)):
        with pytest.raises(wire.WireError, match="larger than allowed"):
            wire.decode(Outcome, text)


def test_a_node_that_never_stops_talking_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "SAID", 1 << 16)
    (tmp_path / "n2").write_text(printed())
    nodes = {"n1": Liar("n1", "/dev/zero", ""), "n2": Liar("n2", str(tmp_path / "n2"), "")}
    got = look.ask(nodes, dict.fromkeys(nodes, Question("podman", "", {})))
    assert (list(got.answers), list(got.failed)) == (["n2"], ["n1"])


class Told:
    """A connection on which a node tells its progress."""

    def __init__(self, *lines: object) -> None:
        self.text = "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines)

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin
        process.stdin.write(self.text.encode())
        return process


def test_forged_events_are_left_aside(tmp_path: Path):
    forged = [
        {"id": "n2/app", "status": "ok", "seconds": 1.0},
        {"id": "n1/app", "status": "[red]mine[/red]", "seconds": 1.0},
        {"id": "n1/app", "status": "ok", "seconds": 1.0, "time": 0, "run": "other"},
        {"id": "n1/app", "status": "ok"},
        '{"id": "n1/app", "status": "ok", "seconds": 1e999}',
        '{"id": "n1/app", "status": "ok", "seconds": 1.0, "x": "' + "x" * connection.LINE + '"}',
        "[" * 50_000,
        "nonsense",
    ]
    told: list[Any] = []
    right = {"id": "n1/app", "status": "ok", "seconds": 2.0}
    with Watch(Told(*forged, right, right), "x", ["n1/app"], told.append):  # type: ignore[arg-type]
        pass
    assert [(one.id, one.status, one.seconds) for one in told] == [("n1/app", "ok", 2.0)]


EVIL = "a\x1b[2J\x9b31m\x07\rb [/red] [link=x]"


@pytest.fixture
def plan() -> Plan:
    """A plan that quotes a node wherever it can."""
    world = World()
    observed = world.observed()
    app = observed["n1"]["instances"]["app"]
    path = next(file.path for file in world.instance("n1/app").files if file.path.endswith("app.conf"))
    app["files"] = {path: {"state": "differs", "mode": "0640", "text": EVIL}}
    app["extra"] = [f"/etc/{EVIL}"]
    observed["n1"]["unexpected"]["instances"] = {EVIL: {"unit": EVIL, "kind": "host", "files": [EVIL]}}
    observed["n2"]["instances"]["app"] |= {"healthy": False, "why": EVIL, "running": None}
    return world.plan(observed, unreachable={"n3": EVIL})


def test_nothing_that_a_node_says_controls_the_terminal(plan: Plan, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    print_plan(common.out, plan)
    (step, *_) = plan.steps
    error = {"what": EVIL, "why": EVIL, "fix": EVIL, "log": [EVIL]}
    failed = StepReport(step, "failed", error=error)
    change._print_report(Report((failed,), 1.0), tmp_path)
    day2._print_rows([StatusRow("n1", "app", "container", f"unhealthy: {EVIL}", 1.0, EVIL, "")])
    with ApplyProgress(common.err, plan) as progress:
        progress({"event": "told", "id": EVIL, "status": EVIL, "seconds": 1.0})
    with pytest.raises(SystemExit):
        main.fail(DeployError(EVIL, where=EVIL, why=EVIL, fix=EVIL))
    common.print_json({"why": EVIL})
    Liar("n1", "-", "").lines([], common.out.out)
    got = capsys.readouterr()
    text = got.out + got.err
    assert text.count("[2J") >= 10
    assert not re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    assert not re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", page(plan, pki.utc_now()))


def test_a_log_reaches_the_terminal_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "log").write_text(EVIL * 10_000 + "\nsecond\n")
    assert Liar("n1", str(tmp_path / "log"), "").lines([], lambda line: common.out.out(line, end="")) == 0
    text = capsys.readouterr().out
    assert text.endswith("\nsecond\n")
    assert not re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)


def test_an_event_is_of_its_run_and_time(tmp_path: Path):
    with EventLog(tmp_path, "mine") as log:
        log.emit("told", id="n1/app")
    (line,) = log.path.read_text().splitlines()
    assert json.loads(line)["run"] == "mine"
