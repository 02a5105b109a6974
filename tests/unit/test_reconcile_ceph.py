"""The reconcilers of roles/ceph: what they see in the monitors' answers, and which commands they send."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

RESOURCES = Path(__file__).parents[2] / "roles/ceph/resources"
CONTEXT = {"engine": "podman", "container": "ceph-mon", "size": "3", "failure_domain": "rack", "pg_num": "0"}
ROW = {
    "pool_name": "images", "size": 3, "min_size": 2, "crush_rule": 1, "pg_num": 8, "pg_num_target": 32,
    "application_metadata": {"rbd": {}},
}  # fmt: skip
RULES = [{"rule_id": 0, "rule_name": "replicated_rule"}, {"rule_id": 1, "rule_name": "scs-rack"}]


@pytest.fixture
def load(monkeypatch):
    """Import a kind as the node does: the folder is a package."""
    package = ModuleType("ceph_resources")
    package.__path__ = [str(RESOURCES)]
    for name in [name for name in sys.modules if name.startswith("ceph_resources")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ceph_resources", package)
    return lambda kind: importlib.import_module(f"ceph_resources.{kind}")


def prefixes(commands):
    return [command["prefix"] for command, _ in commands]


def told(item):
    return [f"{one['what']}: {one['is']}, wanted {one['wanted']}" for one in item.get("differences", ())]


# -- keys ------------------------------------------------------------------------------------------------------------------

CAPS = {"mon": "profile rbd", "osd": "profile rbd pool=images"}


@pytest.mark.parametrize(("key", "secret"), [("AQ==", "digest"), ("other", "differs")])
def test_a_key_is_compared_with_the_wanted_one(load, key, secret):
    wanted = [{"name": "client.glance", "attrs": {"caps": CAPS}, "secret": "AQ==", "digest": "digest"}]
    rows = [{"entity": "client.glance", "key": key, "caps": CAPS}, {"entity": "osd.0", "key": "x", "caps": {}}]
    assert load("key").items(rows, set(), wanted) == [
        {"name": "client.glance", "attrs": {"caps": CAPS}, "differences": [], "secret": secret}
    ]


def test_caps_that_nobody_asked_for_are_told(load):
    wanted = [{"name": "client.glance", "attrs": {}, "secret": "AQ==", "digest": "digest"}]
    rows = [{"entity": "client.glance", "key": "AQ==", "caps": CAPS}]
    (item,) = load("key").items(rows, set(), wanted)
    assert (item["attrs"], item["secret"]) == ({}, "digest")
    assert told(item) == ["caps: mon profile rbd, osd profile rbd pool=images, wanted none"]


def test_only_keys_of_ours_are_told_as_no_longer_wanted(load):
    rows = [{"entity": name, "key": "x", "caps": {}} for name in ("client.old", "client.theirs", "mgr.n1")]
    assert [item["name"] for item in load("key").items(rows, {"key/client.old"}, [])] == ["client.old"]


def test_a_key_is_imported_with_its_caps_and_never_an_argument(load):
    change = {"op": "update", "name": "client.glance", "attrs": {"caps": CAPS}, "secret": "AQ=="}
    (command, data), _ = load("key").commands(change)
    assert command == {"prefix": "auth import"}
    assert data == '[client.glance]\nkey = AQ==\ncaps mon = "profile rbd"\ncaps osd = "profile rbd pool=images"\n'


@pytest.mark.parametrize("name", ["mon.", "osd.3"])
def test_users_of_the_cluster_itself_are_left_alone(load, name):
    with pytest.raises(ValueError, match="cluster itself"):
        load("key").commands({"op": "delete", "name": name})


# -- pools -----------------------------------------------------------------------------------------------------------------


def test_a_pool_as_wanted_differs_in_nothing(load):
    wanted = [{"name": "images", "attrs": {"application": "rbd"}}]
    (item,) = load("pool").items(CONTEXT, [ROW], RULES, set(), wanted)
    assert item == {"name": "images", "attrs": {"application": "rbd"}, "differences": [], "secret": ""}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"size": 2, "min_size": 1}, ["size: 2, wanted 3", "min_size: 1, wanted 2"]),
        ({"crush_rule": 0}, ["rule: replicated_rule, wanted scs-rack"]),
        ({"crush_rule": 7}, ["rule: none, wanted scs-rack"]),
        ({"pg_num_target": 512}, []),
    ],
)
@pytest.mark.parametrize("attrs", [{"application": "rbd"}, {}], ids=["application", "nothing named"])
def test_a_default_that_is_not_kept_is_a_difference_too(load, attrs, change, expected):
    wanted = [{"name": "images", "attrs": attrs}]
    (item,) = load("pool").items(CONTEXT, [{**ROW, **change}], RULES, set(), wanted)
    assert (item["attrs"], told(item)) == (attrs, expected)


def test_an_application_that_is_gone_is_told_whether_it_is_named_or_not(load):
    def seen(attrs):
        row = {**ROW, "application_metadata": {}}
        (item,) = load("pool").items(CONTEXT, [row], RULES, set(), [{"name": "images", "attrs": attrs}])
        return item["attrs"], told(item)

    assert seen({"application": "rbd"}) == ({"application": ""}, [])
    assert seen({}) == ({}, ["application: none, wanted rbd"])


def test_what_is_named_is_compared_by_its_name(load):
    wanted = [{"name": "images", "attrs": {"application": "rbd", "size": 2, "pg_num": 16}}]
    (item,) = load("pool").items(CONTEXT, [ROW], RULES, set(), wanted)
    assert item["attrs"] == {"application": "rbd", "size": 3, "pg_num": 32}
    assert told(item) == ["min_size: 2, wanted 1"]


@pytest.mark.parametrize("attrs", [{"application": "rbd"}, {}], ids=["application", "nothing named"])
def test_a_pool_that_somebody_deleted_is_told_of_and_not_made_anew_silently(load, attrs):
    pool, wanted = load("pool"), [{"name": "images", "attrs": attrs}]
    assert pool.items(CONTEXT, [], RULES, set(), wanted) == [], "it was never made"
    (item,) = pool.items(CONTEXT, [], RULES, {"pool/images"}, wanted)
    assert (item["attrs"], told(item)) == (attrs, [f"pool: {pool.LOST}, wanted kept"])
    made = pool.commands(CONTEXT, {"op": "update", "name": "images", "attrs": {"application": "rbd"}}, None)
    assert "osd pool create" in prefixes(made)


def test_a_pool_is_made_with_its_rule_and_small(load):
    made = load("pool").commands(CONTEXT, {"op": "create", "name": "images", "attrs": {"application": "rbd"}}, None)
    rule, create = made[0][0], made[1][0]
    assert rule == {
        "prefix": "osd crush rule create-replicated", "name": "scs-rack", "root": "default", "type": "rack"
    }  # fmt: skip
    assert (create["pg_num"], create["autoscale_mode"], create["rule"], create["size"]) == (8, "on", "scs-rack", 3)
    assert prefixes(made)[2:] == ["osd pool application enable", "config-key set"]


def test_a_pool_is_made_with_another_min_size_than_it_would_have(load):
    attrs = {"application": "rbd", "min_size": 1}
    made = load("pool").commands(CONTEXT, {"op": "create", "name": "images", "attrs": attrs}, None)
    assert [(command["var"], command["val"]) for command, _ in made if "var" in command] == [("min_size", "1")]


def test_an_application_that_a_pool_should_not_have_is_taken_away(load):
    attrs = {"application": "rbd"}
    row = {**ROW, "application_metadata": {"rbd": {}, "rgw": {}}}
    (item,) = load("pool").items(CONTEXT, [row], RULES, set(), [{"name": "images", "attrs": attrs}])
    assert item["attrs"] == {"application": "rbd rgw"}
    made = load("pool").commands(CONTEXT, {"op": "update", "name": "images", "attrs": attrs}, ["rbd", "rgw"])
    applications = [(one["prefix"].rpartition(" ")[2], one["app"]) for one, _ in made if "app" in one]
    assert applications == [("enable", "rbd"), ("disable", "rgw")]


class Monitors:
    """What they are told, each pass of ours a list; some commands they refuse."""

    def __init__(self, monkeypatch, cluster, *pools, refused=()):
        self.passes, self.refused = [], refused
        monkeypatch.setattr(cluster, "look", lambda _: {"pools": [{"pool_name": name} for name in pools]})
        monkeypatch.setattr(cluster, "run_groups", self._run_groups)

    def _run_groups(self, _, groups):
        told = []
        self.passes.append(told)
        for commands in groups:
            for command, _ in commands:
                told.append(command["prefix"])
                if command["prefix"] in self.refused:
                    raise RuntimeError(f"{command['prefix']}: refused")
        return [[""] * len(commands) for commands in groups]


ALLOWED, FORBIDDEN = ["config set", "osd pool delete"], ["config rm"]


def test_pools_are_made_side_by_side_and_deleted_one_after_the_other(load, monkeypatch):
    pool = load("pool")
    monitors = Monitors(monkeypatch, pool._cluster, "c", "d")
    changes = [("create", "a"), ("create", "b"), ("delete", "c"), ("delete", "d")]
    pool.apply(CONTEXT, [{"op": op, "name": name, "attrs": {}} for op, name in changes])
    assert monitors.passes[:-1] == [ALLOWED, FORBIDDEN, ["config-key rm"]] * 2
    assert monitors.passes[-1].count("osd pool create") == 2


def test_one_copy_is_said_twice(load):
    commands = load("pool").commands({**CONTEXT, "size": "1"}, {"op": "update", "name": "a", "attrs": {}}, ["rbd"])
    (size,) = [command for command, _ in commands if command.get("var") == "size"]
    assert (size["val"], size["yes_i_really_mean_it"]) == ("1", True)


def delete(load, monkeypatch, *pools, refused=()):
    pool = load("pool")
    monitors = Monitors(monkeypatch, pool._cluster, *pools, refused=refused)
    try:
        pool.apply(CONTEXT, [{"op": "delete", "name": "a"}])
    except RuntimeError as error:
        return monitors.passes, str(error)
    return monitors.passes, ""


def test_deleting_is_allowed_for_this_one_pool_only(load, monkeypatch):
    assert delete(load, monkeypatch, "a") == ([ALLOWED, FORBIDDEN, ["config-key rm"]], "")
    assert delete(load, monkeypatch) == ([["config-key rm"]], ""), "a pool that is gone"


def test_a_deletion_that_fails_leaves_no_permission_behind(load, monkeypatch):
    passes, told = delete(load, monkeypatch, "a", refused=("osd pool delete",))
    assert (passes, told) == ([ALLOWED, FORBIDDEN], "osd pool delete: refused")
    passes, told = delete(load, monkeypatch, "a", refused=("config set",))
    assert (passes, told) == ([["config set"], FORBIDDEN], "config set: refused")


def test_a_permission_that_stays_is_told_with_what_came_before(load, monkeypatch):
    _, told = delete(load, monkeypatch, "a", refused=("osd pool delete", "config rm"))
    for part in (
        "`ceph config rm mon mon_allow_pool_delete`",
        "config rm: refused",
        "before that: osd pool delete: refused",
    ):
        assert part in told


# -- options ---------------------------------------------------------------------------------------------------------------


def test_options_are_known_by_who_and_name(load):
    rows = [
        {"section": "global", "mask": "", "name": "osd_pool_default_size", "value": "1"},
        {"section": "osd", "mask": "host:n1", "name": "osd_memory_target", "value": "5"},
        {"section": "mon", "mask": "", "name": "set_by_hand", "value": "x"},
    ]
    wanted = [{"name": "global osd_pool_default_size", "attrs": {"value": "3"}}]
    found = load("option").items(rows, {"option/osd/host:n1 osd_memory_target"}, wanted)
    assert {item["name"]: item["attrs"]["value"] for item in found} == {
        "global osd_pool_default_size": "1",
        "osd/host:n1 osd_memory_target": "5",
    }


def test_an_option_is_set_for_whom_it_names(load):
    (command, _), _ = load("option").commands(
        {"op": "create", "name": "mgr.n1 mgr/prometheus/server_addr", "attrs": {"value": "10.0.0.1"}}
    )
    assert command == {
        "prefix": "config set", "who": "mgr.n1", "name": "mgr/prometheus/server_addr", "value": "10.0.0.1", "force": True
    }  # fmt: skip


# -- the way to the monitors -----------------------------------------------------------------------------------------------


def answered(monkeypatch, answers, code=0, stderr=""):
    seen = []

    def run(command, **kwargs):
        seen.append((command, kwargs["input"]))
        return subprocess.CompletedProcess(command, code, json.dumps(answers), stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return seen


def test_one_exec_asks_for_all_kinds(load, monkeypatch):
    answers = [{"auth_dump": []}, ["scs-deploy/pool/old", "mgr/x"], [], [], []]
    seen = answered(monkeypatch, [[[0, json.dumps(one), ""] for one in answers]])
    for kind in ("key", "pool", "option"):
        assert load(kind).observe(CONTEXT, []) == []
    ((command, _),) = seen
    assert command == ["podman", "exec", "--interactive", "ceph-mon", "python3", "-I", "-"]


def test_a_key_goes_by_standard_input(load, monkeypatch):
    seen = answered(monkeypatch, [[[0, "", ""], [0, "", ""]]])
    change = {"op": "create", "name": "client.a", "attrs": {"caps": {}}, "secret": "S3CRET"}
    assert load("key").apply(CONTEXT, [change]) == ["key client.a: created"]
    ((command, script),) = seen
    assert "S3CRET" in script
    assert "S3CRET" not in " ".join(command)
    compile(script, "script", "exec")


def test_what_the_monitors_refuse_is_told_in_their_words(load, monkeypatch):
    answered(monkeypatch, [[[-22, "", "pool size is smaller than the crush rule min size"]]])
    with pytest.raises(RuntimeError, match="osd pool set: pool size is smaller"):
        load("_cluster").run(CONTEXT, ({"prefix": "osd pool set"}, ""), ({"prefix": "never"}, ""))


def test_no_quorum_is_told(load, monkeypatch):
    answered(monkeypatch, None, 1, "Traceback\nno quorum of monitors answers: timed out\n")
    with pytest.raises(RuntimeError, match="no quorum of monitors answers"):
        load("pool").observe(CONTEXT, [])


def test_a_library_that_aborts_is_asked_again(load, monkeypatch):
    cluster = load("_cluster")
    ends = [128 + 6, 0]

    def run(command, **_):
        return subprocess.CompletedProcess(
            command, ends.pop(0), json.dumps([[[0, "[]", ""]]]), "what():  std::get: ..."
        )

    monkeypatch.setattr(subprocess, "run", run)
    assert cluster.run(CONTEXT, ({"prefix": "auth ls"}, "")) == ["[]"]
    ends[:] = [1, 0]
    with pytest.raises(RuntimeError):
        cluster.run(CONTEXT, ({"prefix": "auth ls"}, ""))
    ends[:] = [134] * 4
    with pytest.raises(RuntimeError, match="std::get"):
        cluster.run(CONTEXT, ({"prefix": "auth ls"}, ""))
