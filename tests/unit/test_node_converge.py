"""converge and observe together on a node in a temporary folder: what is on disk and what runs, not which calls were made."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from node_fakes import IMAGE, FakeNode, Wanted, converge, job_container, looked, observe, wave

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import files
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.engine import Ended, ManagedContainer
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.host import Done

CONF = "/etc/scs-deploy/cache/etc/cache.conf"


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    return FakeNode(tmp_path)


def apply(node: FakeNode, *steps: dict[str, Any]) -> list[dict[str, Any]]:
    node.again()
    results: list[dict[str, Any]] = converge(wave(*steps), node)["results"]
    return results


def seen(node: FakeNode, wanted: Wanted) -> dict[str, Any]:
    found: dict[str, Any] = observe(looked(wanted), node)["instances"][wanted.name]
    return found


def settled(node: FakeNode, wanted: Wanted) -> bool:
    """What the controller's diff asks for an empty plan."""
    found = seen(node, wanted)
    same = not found["files"] and not found["dirs"] and not found["packages"]["missing"] and found["recorded"]
    running = found["running"]
    if running and running["image"] not in (IMAGE, ""):
        return False
    return same and running is not None and (running["start"], running["reload"]) == (wanted.start, wanted.reload)


def rest(node: FakeNode, wanted: Wanted) -> dict[str, Any]:
    """The step that the controller makes of what it sees: only files that differ, a restart only when it is due."""
    found = seen(node, wanted)
    running = found["running"]
    return wanted.step(
        only=found["files"], delete=found["extra"], restart=running is None or running["start"] != wanted.start
    )


def test_create_then_settled(node: FakeNode) -> None:
    wanted = Wanted()
    assert seen(node, wanted)["files"][CONF]["state"] == "absent"
    (result,) = apply(node, wanted.step("create"))
    assert result["status"] == "ok"
    assert result["error"] is None
    assert node.host.path(CONF).read_text() == wanted.texts[CONF]
    assert node.host.path(wanted.data).is_dir()
    assert settled(node, wanted)
    assert seen(node, wanted)["healthy"] is True


def test_update_without_restart_keeps_the_process(node: FakeNode) -> None:
    wanted = Wanted()
    apply(node, wanted.step("create"))
    before = seen(node, wanted)["running"]
    apply(node, wanted.step(restart=False))
    assert seen(node, wanted)["running"] == before


def test_new_digest_is_due_until_the_restart(node: FakeNode) -> None:
    wanted = Wanted()
    apply(node, wanted.step("create"))
    newer = replace(wanted, start="s2", texts={CONF: "port = 2\n"})
    apply(node, newer.step(restart=False))
    assert not seen(node, newer)["files"]
    assert not settled(node, newer)
    apply(node, newer.step())
    assert settled(node, newer)


@pytest.mark.parametrize(
    ("damage", "state"),
    [
        (lambda path: path.write_text("port = 9\npassword = other\n"), {"state": "differs", "same_content": False}),
        (lambda path: path.unlink(), {"state": "absent"}),
        (lambda path: path.chmod(0o644), {"state": "differs", "mode": "0644", "same_content": True, "text": None}),
        (
            lambda path: (path.unlink(), path.symlink_to("/dev/null")),
            {"state": "differs", "same_content": False, "text": None},
        ),
    ],
    ids=["edited", "missing", "mode", "symlink"],
)
def test_drift_is_told_and_repaired(node: FakeNode, damage: Callable[[Path], Any], state: dict[str, Any]) -> None:
    wanted = Wanted()
    apply(node, wanted.step("create"))
    damage(node.host.path(CONF))
    found = seen(node, wanted)["files"][CONF]
    assert {key: found.get(key) for key in state} == state
    assert "other" not in str(found)
    apply(node, wanted.step())
    assert settled(node, wanted)


def test_old_content_comes_back_masked(node: FakeNode) -> None:
    wanted = Wanted()
    apply(node, wanted.step("create"))
    newer = replace(wanted, texts={CONF: "port = 2\n"})
    assert seen(node, newer)["files"][CONF]["text"] == "port = 1\npassword = ***\n"


def test_extra_files_containers_and_instances_are_unexpected(node: FakeNode) -> None:
    wanted, other = Wanted(), Wanted("other", {"/etc/scs-deploy/other/x": "x"}, unit="other.service")
    apply(node, wanted.step("create"), other.step("create"))
    node.host.path("/etc/scs-deploy/cache/hand-made").write_text("?")
    node.fake.containers["stray"] = replace(node.fake.containers["cache"], instance="stray")
    found = observe(looked(wanted), node)["unexpected"]
    assert found["files"] == ["/etc/scs-deploy/cache/hand-made"]
    assert found["containers"] == ["stray"]
    assert found["instances"]["other"]["unit"] == "other.service"
    assert "/etc/scs-deploy/other/x" in found["instances"]["other"]["files"]


def test_file_an_instance_no_longer_has_is_extra_wherever_it_lies(node: FakeNode) -> None:
    wanted = Wanted("base", {"/etc/chrony/a.conf": "a", "/etc/chrony/b.conf": "b"}, kind="host", unit="")
    apply(node, wanted.step("create"))
    newer = replace(wanted, texts={"/etc/chrony/a.conf": "a"})
    assert seen(node, newer)["extra"] == ["/etc/chrony/b.conf"]
    apply(node, newer.step(delete=["/etc/chrony/b.conf"]))
    assert seen(node, newer)["extra"] == []
    assert not node.host.path("/etc/chrony/b.conf").exists()


def test_failed_unit_blocks_only_its_dependants(node: FakeNode) -> None:
    first, second, third = (
        Wanted(name, {f"/etc/scs-deploy/{name}/x": name}, unit=f"{name}.service") for name in ("db", "api", "cache")
    )
    node.systemd.broken.add("db.service")
    results = apply(node, first.step("create"), second.step("create", needs=["n1/db"]), third.step("create"))
    assert [result["status"] for result in results] == ["failed", "blocked", "ok"]
    assert results[0]["error"]["log"] == ["cannot bind"]
    assert "n1/db" in results[1]["error"]["why"]
    assert not node.host.path("/etc/scs-deploy/api/x").exists()
    assert seen(node, first)["running"] is None
    assert settled(node, third)


def test_health_timeout_has_the_log_and_the_process_counts_as_restarted(node: FakeNode) -> None:
    wanted = Wanted(health={"tcp": ["127.0.0.1", 1], "timeout": 5})
    (result,) = apply(node, wanted.step("create"))
    assert result["status"] == "failed"
    assert result["error"]["log"] == ["cache.service: cannot bind"]
    assert "refused" in result["error"]["why"]
    found = seen(node, wanted)
    assert found["healthy"] is False
    assert found["running"]["start"] == "s1"


def test_whoever_else_has_the_port_is_named_and_not_taken_for_the_instance(node: FakeNode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        node.host.answers["ss"] = Done(0, 'LISTEN 0 5 127.0.0.1:1 0.0.0.0:* users:(("nc",pid=4711,fd=3))', "")
        wanted = Wanted(health={"tcp": ["127.0.0.1", port], "timeout": 5})
        (result,) = apply(node, wanted.step("create"))
    assert "its port is in use" in result["error"]["what"]
    assert f"nc (process 4711) listens on port {port}" in result["error"]["why"]
    assert seen(node, wanted)["running"] is None


def test_a_container_that_somebody_made_by_its_name_is_replaced_although_it_has_the_port(node: FakeNode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        wanted = Wanted(health={"tcp": ["127.0.0.1", squatter.getsockname()[1]], "timeout": 5})
        node.fake.containers["cache"] = ManagedContainer("by hand", "", IMAGE, True, {}, 0.0)
        node.host.answers["ss"] = Done(0, 'LISTEN 0 5 127.0.0.1:1 0.0.0.0:* users:(("nc",pid=4711,fd=3))', "")
        (result,) = apply(node, wanted.step("create"))
    assert result["status"] == "ok", result
    assert node.fake.containers["cache"].id != "by hand"


def test_a_masked_unit_is_unmasked_and_started(node: FakeNode) -> None:
    wanted = Wanted()
    apply(node, wanted.step("create"))
    node.systemd.stop("cache.service", 1)
    node.systemd.units["cache.service"] = replace(
        node.systemd.units["cache.service"], load="masked", file_state="masked"
    )
    (result,) = apply(node, wanted.step("update"))
    assert result["done"][-2:] == ["unmasked cache.service", "started cache.service"]
    assert settled(node, wanted)


def test_a_full_disk_is_told_with_the_file(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    wanted = Wanted()
    monkeypatch.setattr(os, "fsync", full)
    (result,) = apply(node, wanted.step("create"))
    assert result["status"] == "failed"
    assert str(node.host.root) in result["error"]["what"]
    assert "free space" in result["error"]["fix"]


def test_missing_image_is_an_error_before_anything_is_written(node: FakeNode) -> None:
    node.fake.store.clear()
    (result,) = apply(node, Wanted().step("create"))
    assert "not on the node" in result["error"]["what"]
    assert not node.host.path(CONF).exists()


def test_rejected_unit_file_says_so(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(node.systemd), "daemon_reload", lambda self: None)
    (result,) = apply(node, Wanted().step("create"))
    assert "rejected" in result["error"]["why"]
    assert result["error"]["log"] == ["unsupported key"]


def test_full_disk_is_data_and_leaves_the_old_file(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Wanted()
    apply(node, wanted.step("create"))
    newer = replace(wanted, start="s2", texts={CONF: "port = 2\n"})

    def full(path: Path, *rest: Any) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(files, "write", full)
        (result,) = apply(node, newer.step())
    assert result["status"] == "failed"
    assert "No space left" in result["error"]["why"]
    assert node.host.path(CONF).read_text() == wanted.texts[CONF]
    apply(node, newer.step())
    assert settled(node, newer)


def test_reload_is_recorded_for_this_process_only(node: FakeNode) -> None:
    wanted = Wanted()
    apply(node, wanted.step("create"))
    process = seen(node, wanted)["running"]["id"]
    newer = replace(wanted, reload="r2", texts={CONF: "port = 2\n"})
    apply(node, newer.step(restart=False, reload=True, reload_action={"signal": "HUP"}))
    assert node.fake.calls == ["HUP cache"]
    assert settled(node, newer)
    assert seen(node, newer)["running"]["id"] == process


def test_prepare_writes_files_and_starts_nothing(node: FakeNode) -> None:
    wanted = Wanted()
    apply(node, wanted.step("prepare", restart=False))
    assert not seen(node, wanted)["files"]
    assert node.systemd.verbs == []
    apply(node, wanted.step("create", only=()))
    assert settled(node, wanted)


def test_stopped_unit_is_started(node: FakeNode) -> None:
    wanted = Wanted()
    apply(node, wanted.step("create"))
    node.systemd.stop("cache.service", 1)
    assert seen(node, wanted)["running"] is None
    apply(node, wanted.step(restart=False))
    assert settled(node, wanted)


def test_remove_keeps_data_and_purge_removes_it(node: FakeNode) -> None:
    wanted = Wanted()
    apply(node, wanted.step("create"))
    node.host.path(
        wanted.data,
    ).joinpath("table").write_text("rows")
    (result,) = apply(node, wanted.step("remove"))
    assert result["status"] == "ok"
    assert node.fake.containers == {}
    assert not node.host.path("/etc/scs-deploy/cache").exists()
    assert node.host.path(wanted.data).joinpath("table").exists()
    empty = observe(looked(), node)["unexpected"]
    assert empty == {"instances": {}, "files": [], "containers": []}
    apply(node, wanted.step("remove", purge=True))
    assert not node.host.path(wanted.data).exists()


def test_host_instance_records_what_was_applied(node: FakeNode) -> None:
    wanted = Wanted(
        "net", {"/etc/sysctl.d/scs.conf": "a = 1\n"}, kind="host", unit="", apply=["sysctl", "--system"], health={}
    )
    node.host.answers["sysctl"] = Done(0, "", "")
    apply(node, wanted.step("create"))
    assert ["sysctl", "--system"] in node.host.ran
    assert settled(node, wanted)
    newer = replace(wanted, start="s2", texts={"/etc/sysctl.d/scs.conf": "a = 2\n"})
    node.host.answers["sysctl"] = Done(1, "", "no such key")
    (result,) = apply(node, newer.step())
    assert result["error"]["log"] == ["no such key"]
    assert not settled(node, newer)


def test_purge_forgets_what_the_jobs_of_the_instance_made_and_removal_does_not(node: FakeNode) -> None:
    wanted = Wanted()
    job = {"kind": "job", "digest": "d1", "timeout": 9, "needs": [],
           "container": job_container("job")}  # fmt: skip
    for name, instance in (("own", "cache"), ("other", "db")):
        apply(node, wanted.step("create"))
        apply(node, {**job, "id": f"n1/{name}", "name": name, "instance": instance})
    asked = looked(jobs={"own": "d1", "other": "d1"})
    apply(node, wanted.step("remove"))
    assert {name: one["state"] for name, one in observe(asked, node)["jobs"].items()} == {
        "own": "done",
        "other": "done",
    }
    apply(node, wanted.step("remove", purge=True))
    assert {name: one["state"] for name, one in observe(asked, node)["jobs"].items()} == {
        "own": "never",
        "other": "done",
    }


def test_job_runs_once_and_again_after_a_failure(node: FakeNode) -> None:
    job = {"id": "n1/sync", "kind": "job", "name": "sync", "instance": "", "digest": "d1", "timeout": 9, "needs": [],
           "container": job_container("job-sync")}  # fmt: skip
    node.fake.job = Ended(3, ["bad schema"])
    (result,) = apply(node, job)
    assert result["error"]["log"] == ["bad schema"]
    assert result["error"]["why"] == "exit code 3"
    assert observe(looked(jobs={"sync": "d1"}), node)["jobs"] == {"sync": {"state": "started", "digest": "d1"}}
    node.fake.job = Ended(0, [])
    apply(node, job)
    assert observe(looked(jobs={"sync": "d1"}), node)["jobs"] == {"sync": {"state": "done", "digest": "d1"}}
    assert "job job-sync pids=0" in node.fake.calls
    node.fake.leftover_ends = False
    assert "still runs" in apply(node, job)[0]["error"]["why"]


def test_jobs_run_side_by_side_and_who_needs_one_waits_for_it(node: FakeNode) -> None:
    def job(name: str, *needs: str) -> dict[str, Any]:
        container = job_container(f"job-{name}")
        return {"id": f"n1/{name}", "kind": "job", "name": name, "instance": "", "digest": "d", "timeout": 9, "needs": list(needs),
                "container": container}  # fmt: skip

    results = apply(node, job("one"), job("two"), job("three", "n1/one"))
    assert [result["done"] for result in results] == [["ran job one"], ["ran job two"], ["ran job three"]]
    assert [call for call in node.fake.calls if not call.startswith("await")] == [
        "job job-one pids=0", "job job-two pids=0", "ended job-one", "job job-three pids=0", "ended job-two", "ended job-three",
    ]  # fmt: skip
    assert {
        one["state"] for one in observe(looked(jobs=dict.fromkeys(("one", "two", "three"), "d")), node)["jobs"].values()
    } == {"done"}


def test_what_a_job_died_of_is_picked_from_its_traceback(node: FakeNode) -> None:
    job = {"id": "n1/sync", "kind": "job", "name": "sync", "instance": "", "digest": "d1", "timeout": 9, "needs": [],
           "container": job_container("job-sync")}  # fmt: skip
    log = [
        "12:00 ERROR x pymysql.err.OperationalError: (2013, 'Lost connection')",
        "12:00 ERROR x The above exception was the direct cause of the following exception:",
        "12:00 ERROR x     raise err.OperationalError(",
        "12:00 ERROR x oslo_db.exception.DBConnectionError: (2013, 'Lost connection')",
        "12:00 ERROR x [SQL: SELECT version_num]",
    ]
    node.fake.job = Ended(1, log)
    (result,) = apply(node, job)
    assert result["error"]["why"] == "exit code 1: oslo_db.exception.DBConnectionError: (2013, 'Lost connection')"
    assert result["error"]["log"] == log


class Killed(BaseException):
    """kill -9 of the module: nothing after it happens."""


def _kill_at(node: FakeNode, monkeypatch: pytest.MonkeyPatch, position: int) -> None:
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count > position:
            raise Killed

    real = Path.replace

    def counted(self: Path, target: Path) -> Path:
        tick()
        return real(self, target)

    monkeypatch.setattr(Path, "replace", counted)
    monkeypatch.setattr(node.systemd, "_note", lambda verb: tick())


@pytest.mark.parametrize("position", range(16))
@pytest.mark.parametrize("before", ["nothing", "older", "drift", "host"])
def test_killed_anywhere_then_truth_and_the_same_end(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, before: str, position: int
) -> None:
    """After a kill between any two writes or systemd calls, observe either says settled because all is done, or the same step
    again ends in the same state; a process that read half-written files is never taken for a good one."""
    wanted = Wanted(start="s2")
    if before == "host":
        wanted = replace(wanted, kind="host")
        node.systemd.units["cache.service"] = node.systemd.show(["x"])["x"]
        node.systemd.units["cache.service"] = replace(
            node.systemd.units["cache.service"], load="loaded", file_state="disabled"
        )
    if before in ("older", "host"):
        apply(node, replace(wanted, start="s1", texts={CONF: "port = 0\n"}).step("create"))
    elif before == "drift":
        apply(node, wanted.step("create"))
        node.host.path(CONF).write_text("by hand")
        node.systemd.restart("cache.service", 1)
    process = seen(node, wanted)["running"]
    with monkeypatch.context() as patched:
        _kill_at(node, patched, position)
        try:
            apply(node, wanted.step())
            finished = True
        except Killed:
            finished = False
    now = seen(node, wanted)["running"]
    restarted = now is not None and (process is None or now["id"] != process["id"])
    assert finished <= settled(node, wanted)
    if now is not None and now["start"] == "s2" and not seen(node, wanted)["files"]:
        assert restarted
    if now is not None and not restarted:
        assert now["start"] != "s2" or (before == "drift" and bool(seen(node, wanted)["files"]))
    (result,) = apply(node, rest(node, wanted))
    assert result["status"] == "ok"
    assert settled(node, wanted)
    assert observe(looked(wanted), node)["unexpected"] == {"instances": {}, "files": [], "containers": []}


@pytest.mark.parametrize("position", range(10))
def test_killed_then_dropped_from_the_region_leaves_nothing(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, position: int
) -> None:
    wanted = Wanted("tool", {"/etc/tool/a.conf": "a", "/etc/tool/b.conf": "b"}, unit="tool.service")
    with monkeypatch.context() as patched:
        _kill_at(node, patched, position)
        with contextlib.suppress(Killed):
            apply(node, wanted.step("create"))
    gone = observe(looked(), node)["unexpected"]["instances"]
    for name, entry in gone.items():
        apply(
            node,
            {"id": name, "kind": "remove", "name": name, "manifest": entry, "delete": [], "purge": False},
        )
    assert observe(looked(), node)["unexpected"] == {"instances": {}, "files": [], "containers": []}
    left = [path for path in node.host.root.rglob("*") if path.is_file() and "/state/" not in str(path)]
    assert left == []
    assert node.fake.containers == {}


def test_instances_become_healthy_side_by_side_and_who_needs_one_waits(node: FakeNode, tmp_path: Path) -> None:
    """``cache`` is healthy only once ``proxy`` runs; ``late`` needs ``cache`` and starts after it is healthy."""
    seen_by_late: list[bool] = []

    def execute(name: str, argv: Any) -> Done:
        if name == "late":
            seen_by_late.append("n1/cache" in told.read_text())
        return Done(0 if name != "cache" or "proxy" in node.engine.containers else 1, "", "")

    node.engine.execute = execute  # type: ignore[method-assign]
    health = {"command": ["true"], "timeout": 5}
    conf = "/etc/scs-deploy/{0}/etc/{0}.conf"
    cache, proxy, late = (
        Wanted(name, {conf.format(name): "x\n"}, unit=f"{name}.service", health=health)
        for name in ("cache", "proxy", "late")
    )
    told = tmp_path / "run/scs-deploy-progress/r"
    told.parent.mkdir(parents=True)
    watcher = told.open("w+")
    node.again()
    payload = wave(cache.step("create"), proxy.step("create"), late.step("create", needs=["n1/cache"]))
    answer = converge({**payload, "progress": "/run/scs-deploy-progress/r"}, node)
    assert [result["status"] for result in answer["results"]] == ["ok", "ok", "ok"]
    assert seen_by_late == [True]
    assert len(watcher.readlines()) == 3
    assert [json.loads(line)["id"] for line in told.read_text().splitlines()] == ["n1/cache", "n1/proxy", "n1/late"]


def test_a_file_of_the_node_comes_back_when_it_is_not_managed_any_more(node: FakeNode, tmp_path: Path) -> None:
    hosts = tmp_path / "etc/hosts"
    hosts.parent.mkdir(parents=True, exist_ok=True)
    hosts.write_text("127.0.0.1 localhost\n")
    hosts.chmod(0o604)
    wanted = Wanted("names", {"/etc/hosts": "ours\n"}, kind="host", unit="", apply=["true"], health={})
    apply(node, wanted.step("create"))
    wanted.texts["/etc/hosts"] = "ours, again\n"
    apply(node, wanted.step())
    assert hosts.read_text() == "ours, again\n"
    for _ in range(2):  # the second time stands for a run that was killed before it forgot the instance
        apply(node, wanted.step("remove"))
        assert hosts.read_text() == "127.0.0.1 localhost\n"
        assert hosts.stat().st_mode & 0o777 == 0o604


def test_a_file_that_its_reader_refuses_never_replaces_the_one_that_there_is(node: FakeNode) -> None:
    wanted = Wanted()
    apply(node, wanted.step("create"))
    worse = replace(wanted, texts={CONF: "prot = 1\n"}, reload="r2")
    step = worse.step(restart=False, reload=True, reload_action={"signal": "HUP"})
    step["instance"]["files"][0]["verify"] = ["reader", "--check"]
    node.host.answers["reader"] = Done(1, "", "cache.conf:1: what is prot?")
    (result,) = apply(node, step)
    assert (result["status"], result["done"]) == ("failed", [])
    assert CONF in result["error"]["what"]
    assert result["error"]["log"] == ["cache.conf:1: what is prot?"]
    assert node.host.path(CONF).read_text() == wanted.texts[CONF]
    path = Path(next(argv[-1] for argv in node.host.ran if argv[0] == "reader"))
    assert (path.name, path.exists()) == ("cache.conf", False)
    node.host.answers["reader"] = Done(0, "", "")
    (result,) = apply(node, step)
    assert result["status"] == "ok"
    assert node.host.path(CONF).read_text() == "prot = 1\n"


OWNER = """
import meeting
def apply(context, changes):
    for change in changes:
        if change["name"] == "both":
            meeting.barrier.wait(20)
        meeting.told.append((context["owner"], change["name"]))
    return []
"""


def told_to(owner: str, name: str, *needs: str) -> dict[str, Any]:
    change = {"kind": "user", "op": "create", "name": name, "attrs": {}, "secret": ""}
    return {
        "id": f"n1/{owner} {name}", "kind": "resources", "owner": owner, "needs": list(needs),
        "reconciler": f"/etc/scs-deploy/{owner}/resources", "changes": [change],
    }  # fmt: skip


def test_owners_of_resources_are_told_side_by_side_and_each_one_thing_after_the_other(
    node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setitem(sys.modules, "meeting", SimpleNamespace(barrier=threading.Barrier(2), told=told))
    for owner in ("db", "queue"):
        folder = tmp_path / f"etc/scs-deploy/{owner}/resources"
        folder.mkdir(parents=True)
        (folder / "user.py").write_text(OWNER)
        (folder / "context.json").write_text(json.dumps({"owner": owner}))
    steps = [told_to("db", "a"), told_to("db", "both"), told_to("db", "b"), told_to("queue", "both")]
    results = apply(node, *steps, told_to("queue", "last", "n1/db b"))
    assert [one["status"] for one in results] == ["ok"] * 5, results
    assert [name for owner, name in told if owner == "db"] == ["a", "both", "b"]
    assert told[-1] == ("queue", "last")
