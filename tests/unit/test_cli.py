"""The command line: exit codes of ``errors.py`` on every path, and what people read; nodes are replaced at their border."""

from __future__ import annotations

import signal
import sys
import time
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from proofs.opened import Opened
from proofs.world import BASE, ROLES, World, answers, facts, matching, nothing, said
from scs_deploy.catalogue.service import Demand
from scs_deploy.cli import change, main
from scs_deploy.cli import lab as lab_cli
from scs_deploy.errors import DeployError
from scs_deploy.lab.lab import Lab
from scs_deploy.machine import paths
from scs_deploy.machine.locks import RegionLock
from scs_deploy.nodes import look
from scs_deploy.nodes.answers import Answers
from scs_deploy.operations import preflight, site
from scs_deploy.operations.apply import Report, StepReport
from scs_deploy.plan.plan import saved
from scs_deploy.secrets import Vault


def now(answer: dict) -> dict:
    return {**answer, "live": {**answer["live"], "time": time.time()}}


class Region:
    """A region whose nodes hold what is wanted, until a test says otherwise."""

    def __init__(self, folder, monkeypatch) -> None:
        monkeypatch.setattr(look, "ask", self.ask)
        (folder / "placement.lock").write_text("store: [n1, n2, n3]\napp-worker: [n1]\n")
        self.unreachable: dict[str, str] = {}
        self.observed: dict[str, dict] = {}
        opened = Opened.of(folder)
        self.site, self.store = opened.site, opened.store
        known = {name: facts(str(node.addresses["api"].v4)) for name, node in self.site.nodes.items()}
        self.store.keep_facts({name: {"facts": one, "facts_digest": "f"} for name, one in known.items()})
        self.sealed = opened.settle().planned.sealed
        self.vault = opened.vault
        self.observed = {name: matching(name, self.sealed) for name in self.site.nodes}

    def ask(self, connections, questions, on_node=None) -> Answers:
        there = {name: answer for name, answer in self.observed.items() if name in questions}
        return Answers(
            answers({name: now(answer) for name, answer in there.items() if name not in self.unreachable}),
            self.unreachable,
            {},
        )

    def drift(self) -> None:
        self.observed["n1"]["instances"]["front"]["running"]["start"] = "older"


@pytest.fixture
def region(folder, monkeypatch) -> Region:
    monkeypatch.setenv("SCS_DEPLOY_REGION", str(folder))
    return Region(folder, monkeypatch)


@pytest.fixture
def call(monkeypatch, capfd):
    """Run the program; return exit code, standard output and error output."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["scs-deploy", *arguments])
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            main.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def done(monkeypatch):
    """Replace what happens on nodes; every step gets the status that the test sets."""
    made = SimpleNamespace(status="ok", locked=False, plans=[])

    def fake(site, store, fleet, ready, log):
        plan = ready.planned.plan
        made.plans.append((plan, ready.planned.scope.purge))
        error = {"what": "it broke", "why": "test", "fix": "mend it", "log": ["last words"]}
        results = [
            StepReport(step, made.status, error={} if made.status == "ok" else error, locked=made.locked)
            for step in plan.steps
        ]
        return Report(tuple(results), 1.0)

    monkeypatch.setattr(change, "apply", fake)
    return made


# -- 0 and 4 ---------------------------------------------------------------------------------------------------------------


def test_nothing_to_do(region: Region, call):
    code, out, _ = call("plan", "--detailed-exitcode")
    assert (code, out.strip()) == (0, "Plan: nothing to do.")


def test_changes_pending(region: Region, call):
    region.drift()
    assert call("plan")[0] == 0
    code, out, _ = call("plan", "--detailed-exitcode")
    assert code == 4
    assert "because: it was started from earlier input" in out
    assert "restart n1/front" in out
    assert out.strip().endswith("Plan: 1 to change, 1 to restart; 1 wave on 1 node.")


def test_apply_keeps_what_it_relies_on_even_when_there_is_nothing_to_do(region: Region, call, done):
    (region.site.folder / "placement.lock").write_text("store: [n1, n2, n3]\napp-worker: [n1]\n")
    assert call("apply")[0] == 0
    assert "Kept by scs-deploy" in (region.site.folder / "placement.lock").read_text()
    assert "n1/app" in region.store.applied()
    assert done.plans == []


def test_apply(region: Region, call, done):
    region.drift()
    code, out, _ = call("apply", "--yes")
    assert code == 0
    assert "1 done, 0 failed, 0 blocked" in out


# -- 1 ---------------------------------------------------------------------------------------------------------------------


def test_unreachable_nodes_are_never_green(region: Region, call, done):
    region.unreachable = {"n4": "no route to host"}
    for command in (("plan",), ("apply", "--yes"), ("plan", "--detailed-exitcode")):
        code, _, err = call(*command)
        assert code == 1
        assert "n4: no route to host" in err
    region.drift()
    assert call("apply", "--yes")[0] == 1
    assert len(done.plans) == 1, "what can be done is done"


def test_an_owner_that_cannot_tell_is_never_green(region: Region, call, done):
    region.observed["n1"]["owners"]["store"] = {"state": "unknown", "why": "connection refused", "items": {}}
    for command in ("plan", "apply"):
        code, _, err = call(command)
        assert code == 1
        assert "connection refused" in err


def test_what_a_node_cannot_do_is_never_green(region: Region, call):
    region.drift()
    region.observed["n1"]["instances"]["front"]["devices"] = {"missing": ["/dev/vdb"]}
    for command in (("plan",), ("plan", "--detailed-exitcode")):
        code, out, err = call(*command)
        assert code == 1
        assert "refused: the device /dev/vdb does not exist on the node" in out
        assert "1 refused" in out
        for text in ("n1/front", "1 step is refused", "/dev/vdb does not exist", "fix: "):
            assert text in err


def test_preflight_tells_what_services_demand(region: Region, call, monkeypatch):
    fit, unfit = facts("10.60.1.11"), facts("10.60.1.12", 1024)
    region.observed = {
        "n1": said(facts=fit, facts_digest="g"),
        "n2": said(facts=unfit, facts_digest="u"),
        "n3": said(),
    }
    demand = Demand(that="facts.memory_mib > 2048", what="{{ node.name }} is small", why="w", fix="f")
    monkeypatch.setattr(site, "kept_catalogue", lambda *_: region.site.catalogue)
    front = region.site.catalogue.services["front"]
    monkeypatch.setitem(front.components, "front", front.components["front"].model_copy(update={"demands": (demand,)}))
    monkeypatch.setattr(preflight, "evaluate", lambda subject: [])
    monkeypatch.setattr(preflight.between, "run", lambda *_: [])
    code, out, err = call("preflight")
    assert code == 1
    assert "error   n2/front: n2 is small" in out
    assert "n1 is small" not in out
    assert "3 nodes looked at: 1 errors" in out
    assert "some nodes are not fit" in err


def test_a_failed_step_tells_where_why_and_what_to_do(region: Region, call, done):
    region.drift()
    done.status = "failed"
    code, _, err = call("apply", "--yes")
    assert code == 1
    for text in ("n1/front", "it broke", "why: test", "last words", "fix: mend it", "1 step failed"):
        assert text in err


# -- 2 ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["nope"], ["plan", "--nope"], ["apply", "a", "b"]])
def test_usage(arguments, call):
    assert call(*arguments)[0] == 2


def test_apply_without_a_terminal_needs_yes(region: Region, call, done, monkeypatch):
    region.drift()
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    code, _, err = call("apply")
    assert code == 2
    assert "--yes" in err
    assert done.plans == []


def test_a_plan_file_excludes_what_it_knows_itself(region: Region, call, tmp_path):
    file = tmp_path / "a.plan"
    file.write_text(saved(World().plan()))
    for flag in (["--limit", "n1"], ["--service", "app"], ["--purge"]):
        assert call("apply", str(file), *flag)[0] == 2


def test_a_plan_of_another_region(region: Region, call, tmp_path):
    file = tmp_path / "a.plan"
    file.write_text(saved(World().plan()).replace('"region": "world"', '"region": "other"'))
    code, _, err = call("apply", str(file))
    assert code == 2
    assert "region other, not world" in err


# -- 3 ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def inventory(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "roles_search", lambda: (ROLES,))
    monkeypatch.setenv("SCS_DEPLOY_STATE_DIR", str(tmp_path / "program"))
    (tmp_path / "world").mkdir()
    return tmp_path / "world" / "region.yml"


def test_validate(inventory, call):
    inventory.write_text(BASE)
    code, out, _ = call("validate", "-r", str(inventory.parent))
    assert code == 0
    assert "valid: 4 nodes" in out


def test_validate_names_every_error_with_its_place(inventory, call):
    inventory.write_text(BASE.replace("api: 10.60.1.11", "api: 10.60.1.999").replace("domain: world.test", "domian: x"))
    code, _, err = call("validate", "-r", str(inventory.parent))
    assert code == 3
    line = next(number for number, text in enumerate(BASE.splitlines(), 1) if "name: n1" in text)
    assert f"{inventory}:{line}:" in err
    assert "racks[0].nodes[0].addresses.api" in err
    assert "domian" in err
    assert "nothing was changed" in err
    assert "Traceback" not in err


def test_no_such_region(call, inventory):
    assert call("validate", "-r", "nowhere")[0] == 2


def test_a_plan_file_that_is_none(region: Region, call, tmp_path):
    assert call("apply", str(tmp_path / "missing"))[0] == 3
    (tmp_path / "x").write_text("no plan")
    assert call("apply", str(tmp_path / "x"))[0] == 3


# -- 5, 6, 130 -------------------------------------------------------------------------------------------------------------


def test_a_region_that_another_apply_holds(region: Region, call, done):
    region.drift()
    with RegionLock(region.store.state, "apply"):
        code, _, err = call("apply", "--yes")
    assert code == 5
    assert "held by" in err
    assert done.plans == []


def test_a_node_that_another_run_holds(region: Region, call, done):
    region.drift()
    done.status, done.locked = "failed", True
    code, _, err = call("apply", "--yes")
    assert code == 5
    assert "n1" in err


def test_a_saved_plan_is_applied_without_asking_and_with_its_own_purge(region: Region, call, done, tmp_path):
    region.drift()
    file = str(tmp_path / "tonight.plan")
    assert call("plan", "--purge", "--out", file)[0] == 0
    assert call("apply", file)[0] == 0
    ((plan, purge),) = done.plans
    assert (purge, [step.id for step in plan.steps]) == (True, ["n1/front"])


def test_a_plan_that_was_saved_before_the_secrets_of_a_service_exist_is_not_stale(region: Region, call, done, tmp_path):
    region.vault.change(lambda values: {name: one for name, one in values.items() if "app" not in name})
    region.observed = {node: nothing(node, region.sealed) for node in region.observed}
    file = str(tmp_path / "tonight.plan")
    code, _, err = call("plan", "--out", file)
    assert code == 0
    assert "3 secrets are not made yet; apply does that: app-admin, app-database, app-keys" in err
    code, _, err = call("apply", file)
    assert code == 0, err
    assert "generated 3 secrets into" in err
    assert set(region.site.secrets) <= set(Vault.open(region.site.folder).names)
    assert len(done.plans) == 1


def test_a_stale_plan_is_refused(region: Region, call, done, tmp_path):
    region.drift()
    file = str(tmp_path / "tonight.plan")
    call("plan", "--out", file)
    region.observed["n2"]["instances"]["front"]["running"]["start"] = "older"
    code, _, err = call("apply", file)
    assert code == 6
    assert "stale" in err
    assert done.plans == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(region: Region, call, monkeypatch, number):
    def hit(*_, **__):
        signal.raise_signal(number)

    monkeypatch.setattr(look, "ask", hit)
    code, _, err = call("plan")
    assert code == 130
    assert "run the same command again" in err


# -- what people read ------------------------------------------------------------------------------------------------------


def test_no_colour_and_no_secret_in_a_plan_of_everything(region: Region, call):
    region.observed = {node: nothing(node, region.sealed) for node in region.observed}
    _, out, _ = call("plan")
    assert "\x1b[" not in out
    for secret in map(region.vault.get, region.site.secrets):
        assert not [one for one in ([secret] if isinstance(secret, str) else secret.values()) if one in out]
    assert "Wave 1 on n1, n2, n3, n4" in out
    for text in (
        "fetch image localhost/app:1 to n1",
        "write files of n1/app",
        "run job app-sync on n1",
        "create n1/app",
    ):
        assert text in out


def test_json(region: Region, call):
    import json

    region.drift()
    _, out, _ = call("plan", "--json")
    assert json.loads(out)["counts"]["restart"] == 1


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["apply", "--help"], ["validate", "--help"]])
def test_help_shows_examples(arguments, call):
    code, out, _ = call(*arguments)
    assert code == 0
    assert "scs-deploy" in out


def test_version(call):
    assert call("--version")[1].startswith("scs-deploy ")


@pytest.mark.parametrize(
    ("words", "line"),
    [(["--", "sh", "-c", "echo a  b"], ["sh -c 'echo a  b'"]), (["--", "a | b"], ["a | b"]), (["id"], ["id"])],
)
def test_lab_ssh_keeps_words_whole(monkeypatch, words, line):
    ran: list[list[str]] = []
    lab = object.__new__(Lab)
    monkeypatch.setattr(Lab, "ssh_command", lambda self, name: ["ssh", "root@n1"])
    monkeypatch.setattr(
        "scs_deploy.lab.lab.subprocess.run", lambda argv, **_: ran.append(argv) or SimpleNamespace(returncode=7)
    )
    monkeypatch.setattr("scs_deploy.cli.lab._lab", lambda region: lab)
    monkeypatch.setattr("scs_deploy.cli.lab._up", lambda lab: lab)
    assert CliRunner().invoke(lab_cli.app, ["ssh", "n1", *words]).exit_code == 7
    assert ran == [["ssh", "root@n1", *line]]


def test_a_saved_plan_is_for_its_owner_only(tmp_path):
    change._write(tmp_path / "tonight.plan", "text")
    assert (tmp_path / "tonight.plan").stat().st_mode & 0o777 == 0o600
    with pytest.raises(DeployError, match=r"cannot be saved"):
        change._write(tmp_path / "absent" / "tonight.plan", "text")
