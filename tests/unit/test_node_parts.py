"""The parts of the node side: wire, mask, lock, files, health, reconcilers, packages, systemd's answers, and a virgin node."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from node_fakes import FakeHost, FakeNode, Wanted, converge, looked, observe, wave

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import (
    facts,
    files,
    health,
    jobs,
    live,
    lock,
    owners,
    packages,
    wire,
)
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.engine import (
    EngineError,
    EngineMissingError,
)
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.engine_open import open_engine
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.failure import StepError
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.host import Done, Host
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.mask import mask
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.observe import _patiently
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import (
    Answer,
    Health,
    OwnerAsked,
    OwnerSeen,
    Page,
    Settled,
)
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import ItemSeen, Operation
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.systemd import Systemd, Unit
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import (
    Failure,
    Outcome,
    ResourcesStep,
    Result,
    Work,
)


def test_wire_returns_what_it_was_given_and_refuses_the_rest() -> None:
    failure = Failure("ä" * 1000, log=("a", "b"))
    message = Outcome((Result("n1/x", "failed", (), 1.5, failure),))
    assert wire.decode(Outcome, wire.encode(message)) == message
    other = base64.b64encode(gzip.compress(b'{"v": 1}')).decode()
    for text in ("", "no base64 ä", wire.encode(message)[:-20], other):
        with pytest.raises(wire.WireError):
            wire.decode(Outcome, text)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda one: one.pop("steps"), "steps: is missing"),
        (lambda one: one.update(more=1), "more: nothing of that name is known"),
        (lambda one: one.update(wave="3"), "wave: a text where a number is wanted"),
        (lambda one: one.update(wave=True), "wave: true or false where a number is wanted"),
        (lambda one: one["steps"].append(7), "steps[1]: a number where an object is wanted"),
        (lambda one: one["steps"][0].update(kind="trick"), "steps[0].kind: none of image, instance, job, remove, resources"),
        (lambda one: one["steps"][0].update(action="jump"), "steps[0].action: 'jump' is none of create, prepare, update"),
        (lambda one: one["steps"][0]["instance"].pop("start"), "steps[0].instance.start: is missing"),
        (lambda one: one["steps"][0]["instance"]["files"][1].update(uid="0"), "steps[0].instance.files[1].uid: a text where a number is wanted"),
        (lambda one: one["steps"][0]["instance"]["health"].update(tcp=["h"]), "steps[0].instance.health.tcp: 1 values where 2 are wanted"),
        (lambda one: one["steps"][0]["instance"]["health"].update(tcp=["h", "1"]), "steps[0].instance.health.tcp.port: a text where a number is wanted"),
    ],
)  # fmt: skip
def test_what_has_a_wrong_shape_is_refused_with_its_place(
    change: Callable[[dict[str, Any]], object], told: str
) -> None:
    work = json.loads(json.dumps(wave(Wanted().step("create"))))
    wire.load(Work, work)
    change(work)
    with pytest.raises(wire.WireError) as caught:
        wire.load(Work, work)
    assert str(caught.value) == told


def test_facts_are_refused_where_they_have_a_wrong_shape(tmp_path: Path) -> None:
    found = observe(looked(), FakeNode(tmp_path))
    found["facts"]["cpu"]["count"] = "many"
    with pytest.raises(wire.WireError, match=r"^facts\.cpu\.count: a text where a number is wanted$"):
        wire.load(Answer, found)


def test_a_small_text_cannot_become_a_large_message(monkeypatch: pytest.MonkeyPatch) -> None:
    text = wire.encode(Outcome([Result("x" * 5000, "ok")]))
    assert wire.decode(Outcome, text)
    monkeypatch.setattr(wire, "LIMIT", 4000)
    with pytest.raises(wire.WireError, match="larger than allowed"):
        wire.decode(Outcome, text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password = hunter2\nport = 1\n", "password = ***\nport = 1\n"),
        ("password: 'hunter2'\n", "password: ***\n"),
        ('{"a": 1, "password": "hun\\"ter2", "b": 2}', '{"a": 1, "password": "***", "b": 2}'),
        ("PASSWORD=hunter2", "PASSWORD=***"),
        ("old_password = hunter2", "old_password = ***"),
        ("password =\n    hunter2\nport = 1", "password =\n    ***\nport = 1"),
        ("password: |\n  hunter2\n  hunter3\nport: 1", "password: ***\n  ***\n  ***\nport: 1"),
        ("url = mysql://nova:hunter2@10.0.0.1/nova", "url = mysql://nova:***@10.0.0.1/nova"),
        ("url = rabbit://u:hunter2@h1:5672,u:hun@ter3@h2:5672//", "url = rabbit://u:***@h2:5672//"),
        ("see http://host:80/path", "see http://host:80/path"),
        ('"password": 1234,', '"password": ***'),
    ],
)
def test_mask_hides_values_and_nothing_else(text: str, shown: str) -> None:
    assert mask(text, ["password"]) == shown


def test_atomic_write_leaves_no_trace_of_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a" / "file"
    files.write(path, b"old", 0o640, path.parent.parent.stat().st_uid, path.parent.parent.stat().st_gid)

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        files.write(path, b"new", 0o640, 0, 0)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_second_converge_waits_then_names_the_holder(tmp_path: Path) -> None:
    node = FakeNode(tmp_path)
    assert lock.holder(node.host) is None
    with lock.node_lock(node.host, "anna@controller", "run-1"):
        found = observe(looked(), node)["lock"]
        assert (found["holder"], found["run"]) == ("anna@controller", "run-1")
        answer = converge(wave(Wanted().step("create")), node)
        assert answer["lock"]["holder"] == "anna@controller"
        assert [result["status"] for result in answer["results"]] == ["skipped"]
    assert not node.host.path("/etc/scs-deploy").exists()
    assert lock.holder(node.host) is None


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    node = FakeNode(tmp_path)
    code = (
        "import os, pathlib\n"
        f"from {lock.__name__} import node_lock\n"
        f"from {Host.__module__} import Host\n"
        f"with node_lock(Host(pathlib.Path({str(tmp_path)!r})), 'dead', 'r'): os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert lock.holder(node.host) is None
    assert converge(wave(Wanted().step("create")), node)["lock"] is None


@pytest.mark.parametrize("next_one", ["look", "change"])
def test_the_code_of_a_killed_module_is_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, next_one: str
) -> None:
    node, name = FakeNode(tmp_path), "/tmp/ansible_scs.node.converge_payload_ab12"
    code, other = node.host.path(name), node.host.path("/tmp/ansible_scs.node.converge_payload_other")
    for folder in (code, other):
        folder.mkdir(parents=True)
        (folder / "payload.zip").touch()
    module = Path(f"{name}/payload.zip/ansible_collections/lock.py")
    monkeypatch.setattr(lock, "__file__", str(module))
    held = lock.node_lock(node.host, "dead", "r")
    held.__enter__()
    monkeypatch.setattr(lock, "__file__", "elsewhere")
    held.gen.close()  # type: ignore[attr-defined] - as a kill: the file is unlocked, and not emptied
    assert lock.holder(node.host) is None if next_one == "look" else converge(wave(), node)["lock"] is None
    assert not code.exists()
    assert other.exists(), "somebody else's, who may be at work"


def test_the_code_of_a_module_at_work_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node, name = FakeNode(tmp_path), "/tmp/ansible_scs.node.converge_payload_ab12"
    node.host.path(name).mkdir(parents=True)
    monkeypatch.setattr(lock, "__file__", f"{name}/lock.py")
    with lock.node_lock(node.host, "anna@controller", "r"):
        assert lock.holder(node.host)
        assert node.host.path(name).exists()


RECONCILER = """
from . import _client
def observe(context, wanted):
    return _client.listed(context, wanted)
def apply(context, changes):
    if context["address"] == "down":
        raise ConnectionError("backend is down")
    return [f"{change['op']} {change['name']}" for change in changes]
"""


def test_reconcilers_are_loaded_by_path_and_leave_nothing_behind(tmp_path: Path) -> None:
    host, folder = FakeHost(tmp_path), tmp_path / "etc/scs-deploy/db/resources"
    asked = OwnerAsked("/etc/scs-deploy/db/resources", ["user"])
    assert owners.observe_owner(host, "db", asked)[0] == OwnerSeen("unknown", "not deployed yet")
    folder.mkdir(parents=True)
    (folder / "user.py").write_text(RECONCILER)
    (folder / "_client.py").write_text("def listed(context, wanted): return [{'name': w['name']} for w in wanted]\n")
    (folder / "context.json").write_text('{"address": "up"}')
    (folder / "wanted.json").write_text(
        json.dumps([{"kind": "user", "name": "nova"}, {"kind": "database", "name": "x"}])
    )
    before = sorted(folder.iterdir())
    assert owners.observe_owner(host, "db", asked)[0] == OwnerSeen("ok", "", {"user": [ItemSeen("nova")]})
    assert sorted(folder.iterdir()) == before
    done: list[str] = []
    step = ResourcesStep("n1/x", "db", asked.reconciler, [Operation("user", "create", "nova")])
    owners.apply_changes(host, step, done)
    assert done == ["create nova"]
    (folder / "context.json").write_text('{"address": "down"}')
    with pytest.raises(StepError, match="db did not take user nova") as caught:
        owners.apply_changes(host, step, done)
    assert caught.value.why == "ConnectionError: backend is down"
    missing, _ = owners.observe_owner(host, "db", replace(asked, kinds=["grant"]))
    assert missing.state == "unknown"
    assert missing.why.endswith("grant.py is not there yet")
    (folder / "user.py").write_text("syntax error here")
    assert owners.observe_owner(host, "db", asked)[0].state == "unknown"


@pytest.mark.parametrize(
    ("differences", "state"),
    [
        ([], "ok"),
        ([{"what": "tags", "is": "administrator", "wanted": "none"}], "ok"),
        ([{"what": "size", "is": 2, "wanted": 3}], "unknown"),
        ([{"what": "size", "is": "2"}], "unknown"),
    ],
)
def test_differences_are_texts_or_their_owner_is_unknown(
    tmp_path: Path, differences: list[dict[str, Any]], state: str
) -> None:
    folder, item = tmp_path / "resources", {"name": "nova", "attrs": {}, "differences": differences}
    folder.mkdir()
    (folder / "user.py").write_text(f"def observe(context, wanted): return [{item!r}]\n")
    answer, _ = owners.observe_owner(FakeHost(tmp_path), "db", OwnerAsked("/resources", ["user"]))
    assert answer.state == state
    assert answer.items == ({"user": [ItemSeen("nova", {}, tuple(differences))]} if state == "ok" else {})
    assert ("user nova is told in a wrong form: differences[0]." in answer.why) == (state == "unknown")


def test_a_change_waits_for_an_owner_that_answers_again(tmp_path: Path) -> None:
    folder = tmp_path / "etc/scs-deploy/db/resources"
    folder.mkdir(parents=True)
    (folder / "user.py").write_text(RECONCILER)
    (folder / "_client.py").write_text("")
    (folder / "context.json").write_text('{"address": "down"}')

    class Repaired(FakeHost):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.clock > 1_000.0 + owners.ANSWER_SECONDS / 2:
                (folder / "context.json").write_text('{"address": "up"}')

    done: list[str] = []
    step = ResourcesStep("n1/x", "db", "/etc/scs-deploy/db/resources", [Operation("user", "create", "nova")])
    owners.apply_changes(Repaired(tmp_path), step, done)
    assert done == ["create nova"]


@pytest.mark.parametrize(
    ("since", "error", "wanted", "slept"),
    [
        (990.0, "ConnectionRefusedError", "ok", True),  # has just been started
        (1.0, "ConnectionRefusedError", "unknown", False),  # has been down for long
        (0.0, "ConnectionRefusedError", "unknown", False),  # does not run
        (990.0, "PermissionError", "unknown", False),  # answers, and refuses: asking again could lock the account
    ],
)
def test_a_look_waits_for_an_owner_that_has_just_been_started(
    tmp_path: Path, since: float, error: str, wanted: str, slept: bool
) -> None:
    folder = tmp_path / "resources"
    folder.mkdir()
    text = "import pathlib\ndef observe(context, wanted):\n    if pathlib.Path({!r}).exists(): raise {}('no')\n    return []\n"
    starting = tmp_path / "starting"
    starting.touch()
    (folder / "user.py").write_text(text.format(str(starting), error))

    class Ready(FakeHost):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.clock > 1_010.0:
                starting.unlink(missing_ok=True)

    host, asked = Ready(tmp_path), OwnerAsked("/resources", ["user"])
    unit = Unit(load="loaded", active="active" if since else "inactive", since=since)
    answer = _patiently(host, "db", asked, owners.observe_owner(host, "db", asked), unit)
    assert answer.state == wanted
    assert (host.clock > 1_000.0) == slept


def test_owners_are_asked_while_others_import(tmp_path: Path) -> None:
    over, names = threading.Event(), [f"imported_meanwhile_{number}" for number in range(200)]

    def imports() -> None:
        while not over.is_set():
            for name in names:
                sys.modules[name] = ModuleType(name)
            for name in names:
                del sys.modules[name]

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    other = threading.Thread(target=imports)
    other.start()
    try:
        for _ in range(300):
            owners._forget(tmp_path)
    finally:
        over.set()
        other.join()
        sys.setswitchinterval(before)


def test_what_nothing_declares_any_more_is_found_and_deleted_by_the_node(tmp_path: Path) -> None:
    host, folder = FakeHost(tmp_path), tmp_path / "etc/scs-deploy/db/resources"
    folder.mkdir(parents=True)
    (folder / "user.py").write_text(RECONCILER)
    (folder / "_client.py").write_text(
        "def listed(context, wanted): return [{'name': name} for name in ('old', 'nova', 'left')]\n"
    )
    (folder / "context.json").write_text('{"address": "up"}')
    (folder / "wanted.json").write_text(
        json.dumps([{"kind": "user", "name": "nova"}, {"kind": "database", "name": "old"}])
    )
    done: list[str] = []
    prune = Operation("user", "prune")
    step = ResourcesStep("n1/x", "db", "/etc/scs-deploy/db/resources", [prune])
    owners.apply_changes(host, step, done)
    assert done == ["delete left", "delete old"]
    done.clear()
    owners.apply_changes(host, replace(step, changes=[Operation("user", "create", "nova"), prune]), done)
    assert done == ["create nova", "delete left", "delete old"]


def test_health_waits_with_growing_pauses_and_stops_at_the_limit(tmp_path: Path) -> None:
    node = FakeNode(tmp_path)
    asked: list[float] = []

    def answer(argv: Any) -> Done:
        asked.append(node.host.clock)
        return Done(0 if len(asked) == 4 else 1, "", "not yet")

    health.await_healthy("x", "", Health(command=["probe"], timeout=30), answer, node.host, node.systemd)
    assert len(asked) == 4
    assert asked[3] - asked[2] > asked[1] - asked[0]
    with pytest.raises(StepError, match="not healthy") as caught:
        health.await_healthy(
            "x", "", Health(command=["p"], timeout=3), lambda _: Done(1, "", "no"), node.host, node.systemd
        )
    assert caught.value.why == "no"


def test_nothing_to_ask_is_neither_healthy_nor_ill(tmp_path: Path) -> None:
    assert health.check(Health(), None, lambda _: Done(0, "", ""), FakeHost(tmp_path)) == (None, "")


def test_a_client_is_healthy_while_a_process_of_its_container_is_connected(tmp_path: Path) -> None:
    host, question = FakeHost(tmp_path), Health(client=5671)
    row = '0 0 10.1.1.1:4000 10.1.1.1:5671 users:(("python",pid=7,fd=3),("python",pid=8,fd=3))'
    host.answers["ss"] = Done(0, row, "")
    for pid, container in (("7", "other"), ("8", "c0ffee")):
        host.path(f"/proc/{pid}").mkdir(parents=True)
        host.path(f"/proc/{pid}/cgroup").write_text(f"0::/system.slice/x.service/libpod-payload-{container}\n")

    def ask(container: str) -> Any:
        return health.check(question, None, lambda _: Done(0, "", ""), host, lambda: container)

    assert ask("c0ffee") == (True, "")
    assert ask("decaf") == ask("") == (False, "it holds no connection to port 5671")
    assert host.ran[0][-1] == "dport = :5671"


def test_packages_are_installed_once_and_apts_words_come_back(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    host.answers["dpkg-query"] = Done(1, "installed chrony 4.6-1\nnot-installed ntp \n", "no packages found matching x")
    assert packages.versions(host, ["chrony", "ntp", "x"]) == {"chrony": "4.6-1"}
    assert packages.install(host, ["chrony"]) == []
    host.answers["apt-get"] = Done(100, "", "E: Unable to locate package x\n")
    with pytest.raises(StepError, match="cannot install x") as caught:
        packages.install(host, ["chrony", "x"])
    assert caught.value.why == "E: Unable to locate package x"


def test_units_are_asked_for_at_once_and_in_order(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    blocks = [
        "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nInvocationID=abc\nNRestarts=2\nActiveEnterTimestamp=@17",
        "LoadState=not-found\nActiveState=inactive\nUnitFileState=\nNRestarts=0",
    ]
    host.answers["systemctl"] = Done(0, "\n\n".join(blocks) + "\n", "")
    found = Systemd(host).show(["a.service", "b.service", "a.service"])
    assert len(host.ran) == 1
    one, two = found["a.service"], found["b.service"]
    assert (one.running, one.enabled, one.invocation, one.restarts, one.since) == (True, "enabled", "abc", 2, 17.0)
    assert (two.running, two.enabled) == (False, "absent")


def test_journal_is_told_without_the_engines_chatter(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    entries = [
        {"MESSAGE": "container create …", "SYSLOG_IDENTIFIER": "podman"},
        {"MESSAGE": "f" * 64, "SYSLOG_IDENTIFIER": "cache"},
        {"MESSAGE": [98, 105, 110, 100, 255], "SYSLOG_IDENTIFIER": "cache"},
    ]
    host.answers["journalctl"] = Done(0, "\n".join(json.dumps(entry) for entry in entries), "")
    assert Systemd(host).journal("cache.service", "cache") == ["bind�"]


def test_job_limit_follows_the_pids_controller(tmp_path: Path) -> None:
    node = FakeNode(tmp_path)
    assert jobs.pids_limit(node) == 0
    controllers = tmp_path / "sys/fs/cgroup/cgroup.controllers"
    controllers.parent.mkdir(parents=True)
    controllers.write_text("cpu memory pids\n")
    assert jobs.pids_limit(node) is None


def test_virgin_node_is_observed_without_engine_systemd_or_files(tmp_path: Path) -> None:
    def missing() -> Any:
        raise EngineMissingError("podman is not installed")

    node = FakeNode(tmp_path, missing)
    found = observe(looked(Wanted(), Wanted("clock", {}, "host", packages=["chrony"]), jobs={"sync": "d"}), node)
    assert found["engine"]["state"] == "missing"
    assert found["images"] == []
    assert found["instances"]["cache"]["running"] is None
    assert found["instances"]["clock"]["packages"] == {"missing": ["chrony"]}
    assert found["jobs"] == {"sync": {"state": "never", "digest": ""}}


def test_facts_come_only_when_their_digest_is_new(tmp_path: Path) -> None:
    node = FakeNode(tmp_path)
    first = observe(looked(), node)
    again = observe(looked(facts_digest=first["facts_digest"]), node)
    assert first["facts"] is not None
    assert again["facts"] is None


def test_facts_of_this_machine_are_stable() -> None:
    host = Host()
    assert wire.digest(facts.gather(host, {}, {})) == wire.digest(facts.gather(host, {}, {}))
    assert live.gather(host).time > 0


def test_vips_are_no_facts(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    addresses = [("10.0.0.5", 24), ("10.0.0.100", 32)]
    link = {
        "ifname": "eth0", "mtu": 1500, "address": "02:00:00:00:00:01",
        "addr_info": [{"family": "inet", "local": a, "prefixlen": p, "scope": "global"} for a, p in addresses],
    }  # fmt: skip
    host.answers["ip"] = Done(0, json.dumps([link, link | {"ifname": "tap1234"}]), "")
    (found,) = facts.gather(host, {}, {})["interfaces"]
    assert found["addresses"] == ["10.0.0.5/24"]


def test_a_bridge_that_holds_an_address_of_the_node_is_a_fact(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    address = {"family": "inet", "local": "10.0.0.5", "prefixlen": 24, "scope": "global"}
    port = {"mtu": 1500, "address": "02:00:00:00:00:01", "linkinfo": {"info_kind": "tun"}, "addr_info": []}
    host.answers["ip"] = Done(
        0, json.dumps([{**port, "ifname": "guest1"}, {**port, "ifname": "bridge1", "addr_info": [address]}]), ""
    )
    assert [link["name"] for link in facts.gather(host, {}, {})["interfaces"]] == ["bridge1"]


def test_missing_and_silent_engines_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(EngineMissingError):
        open_engine("podman", host)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/podman")
    with pytest.raises(EngineError, match=r"podman\.socket"):
        open_engine("podman", host)


def test_a_bug_in_one_step_is_its_own_result(tmp_path: Path) -> None:
    node = FakeNode(tmp_path)
    broken = Wanted("broken").step()
    (folder,) = broken["instance"]["dirs"].values()
    folder[0] = "rwx"
    results = converge(wave(broken, Wanted().step("create")), node)["results"]
    assert [result["status"] for result in results] == ["failed", "ok"]
    assert "bug" in results[0]["error"]["fix"]


def test_purge_never_leaves_the_data_root(tmp_path: Path) -> None:
    node = FakeNode(tmp_path)
    node.host.path("/home/anna").mkdir(parents=True)
    step = Wanted().step("remove", purge=True)
    step["manifest"]["data"] = ["/home/anna", "/var/lib/scs-deploy/data/../../../../home/anna"]
    (result,) = converge(wave(step), node)["results"]
    assert result["status"] == "failed"
    assert node.host.path("/home/anna").is_dir()


def test_a_start_counts_once_the_frontend_answers_too(tmp_path: Path) -> None:
    node = FakeNode(tmp_path)
    statuses = [503, 503, 200]

    class Front(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.pop(0) if self.path == "/front" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Front) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        one, front = (Page("http", "127.0.0.1", server.server_port, path) for path in ("/", "/front"))
        asked = Health(http=one, timeout=30, front=front)
        health.await_healthy("x", "", asked, lambda argv: Done(0, "", ""), node.host, node.systemd)
        server.shutdown()
    assert not statuses


def test_a_disk_counts_under_the_name_that_the_node_has_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container /dev/vdb may be a loop device of the machine, which has another vdb of its own, or none."""

    def device(name: str, kind: str, number: str, size: int) -> dict[str, Any]:
        return {
            "name": name, "type": kind, "size": size, "serial": None, "model": None, "rota": False, "fstype": None,
            "mountpoints": [None], "maj:min": number,
        }  # fmt: skip

    listed = [
        device("vda", "disk", "254:0", 5),
        device("vdb", "disk", "254:16", 6),
        device("loop0", "loop", "7:0", 7),
        device("loop1", "loop", "7:1", 8),
    ]
    node = FakeNode(tmp_path)
    node.host.answers["lsblk"] = Done(0, json.dumps({"blockdevices": listed}), "")
    monkeypatch.setattr(node.host, "block_devices", lambda: {"vda": "254:0", "vdb": "7:0", "loop1": "7:1"})
    found = observe(looked(), node)["facts"]["disks"]
    assert [(disk["name"], disk["path"], disk["size"]) for disk in found] == [
        ("vda", "/dev/vda", 5),
        ("vdb", "/dev/vdb", 7),
    ]


ASKING = """
import os, subprocess, urllib.request
def observe(context, wanted):
    told = urllib.request.urlopen(context["url"], timeout=5).read().decode()
    return [{"name": told, "attrs": {"umask": os.umask(0)}}]
"""
LOOK = """
import json, sys
from scs_deploy.ansible_collections.scs.node.plugins.module_utils import node, owners, question, wire
here = node.LocalNode.local("podman")
answer, _ = owners.observe_owner(here.host, "o", question.OwnerAsked(sys.argv[1], ["thing"]))
print(wire.dumps([answer, here.host.run(["env"]).out]))
"""


def test_what_the_node_sets_for_everybody_is_not_for_us(tmp_path: Path) -> None:
    """A proxy of /etc/environment reaches modules by PAM; it knows none of our APIs."""

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"direct")

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "thing.py").write_text(ASKING, encoding="utf-8")
    (tmp_path / "context.json").write_text(
        json.dumps({"url": f"http://127.0.0.1:{server.server_port}/"}), encoding="utf-8"
    )
    proxy = "http://192.0.2.1:3128"
    environment = {
        "PATH": "/odd",
        "http_proxy": proxy,
        "HTTPS_PROXY": proxy,
        "all_proxy": proxy,
        "LC_ALL": "de_DE.ISO-8859-1",
    }
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(tmp_path)],
        env=environment,
        umask=0o077,
        capture_output=True,
        text=True,
        check=True,
    )
    server.shutdown()
    answer, env = json.loads(done.stdout)
    (thing,) = answer["items"]["thing"]
    assert (thing["name"], thing["attrs"]) == ("direct", {"umask": 0o022}), answer
    assert "proxy" not in env.lower()
    assert "LC_ALL=C.UTF-8" in env


@pytest.mark.parametrize(
    ("named", "upstream", "found"),
    [
        ("nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch example.org\n", None, ["192.0.2.53", "2001:db8::53"]),
        ("# stub\nnameserver 127.0.0.53\noptions edns0\n", "nameserver 192.0.2.53\n", ["192.0.2.53"]),
        ("nameserver 127.0.0.1\nnameserver 192.0.2.53\n", None, ["192.0.2.53"]),
        ("nameserver ::1\nnameserver fe80::1%eth0\n", "nameserver fe80::1%2\nnameserver 169.254.169.253\n", []),
        ("nameserver 0.0.0.0\nnameserver ::ffff:127.0.0.1\nnameserver x\n", None, []),
        (None, None, []),
    ],
)
def test_resolvers_are_those_that_other_machines_can_ask(tmp_path, named, upstream, found) -> None:
    node = FakeNode(tmp_path)
    for path, text in (("/etc/resolv.conf", named), ("/run/systemd/resolve/resolv.conf", upstream)):
        if text is not None:
            node.host.path(path).parent.mkdir(parents=True, exist_ok=True)
            node.host.path(path).write_text(text)
    assert observe(looked(), node)["facts"]["resolvers"] == found


def test_a_restart_waits_until_what_it_took_away_is_whole_again(tmp_path: Path) -> None:
    node, answers = FakeNode(tmp_path), [Done(1, "", "3 are degraded"), Done(0, "", "")]
    asked = Health(unit=True, settled=Settled(["gate"], 10))
    health.await_healthy("x", "", asked, lambda argv: answers.pop(0), node.host, node.systemd)
    assert not answers
    with pytest.raises(StepError, match="not settled after") as caught:
        health.await_healthy("x", "", asked, lambda argv: Done(1, "", "3 are degraded"), node.host, node.systemd)
    assert caught.value.why == "3 are degraded"


def test_the_version_of_data_is_that_of_its_last_start_else_of_what_runs(tmp_path: Path) -> None:
    node, wanted = FakeNode(tmp_path), Wanted()
    question = looked(wanted)
    question["instances"]["cache"]["package"] = "cached"

    def version() -> str:
        return str(observe(question, node)["instances"]["cache"]["version"])

    assert version() == ""
    assert all(one["status"] == "ok" for one in converge(wave(wanted.step("create")), node)["results"])
    node.fake.execute = lambda name, argv: Done(0, "\1\0\0\0\0\0\0\x0b=1:1.6.9-1\n", "")  # type: ignore[method-assign]
    assert version() == "1:1.6.9-1"  # started by an earlier scs-deploy, which recorded nothing
    node.fake.execute = lambda name, argv: Done(125, "", "gone")  # type: ignore[method-assign]
    assert version() == ""
    step = wanted.step(restart=True)
    step["instance"]["manifest"]["version"] = "1.7.0-1"
    converge(wave(step), node)
    assert version() == "1.7.0-1"
    step = wanted.step("prepare", restart=False)
    converge(wave(step), node)
    assert version() == "1.7.0-1"  # whose files alone are written keeps it
