"""What the cluster must be like before and after its daemons get another version: the gates, run as they are rendered."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.plan.dependencies import component, job, order_of
from scs_deploy.region.load import parse_region
from scs_deploy.region.placement import place
from scs_deploy.render import Given
from scs_deploy.render.context import Topology
from scs_deploy.render.templates import TemplateSet

ROOT = Path(__file__).parents[2]
NEW = "ceph version 20.2.4 (9b1a) tentacle (stable)"
OLD = "ceph version 18.2.7 (6b0e) reef (stable)"
CLEAN = {"state_name": "active+clean", "count": 9}


KEYS = tuple(
    f"AUTH_INSECURE_{one}" for one in ("CLIENT_KEY_TYPE", "SERVICE_KEY_TYPE", "KEYS_ALLOWED", "KEYS_CREATABLE")
)


def status(
    groups: list[dict] | None = None, quorum: int = 3, up: int = 3, full: str = "HEALTH_WARN", muted=KEYS
) -> dict:
    """Whole, unless something else is said; ``full`` is how bad a full pool is."""
    messages = {"AUTH_INSECURE_SERVICE_KEY_TYPE": ("HEALTH_ERR", "old keys"), "POOL_FULL": (full, "a pool is full")}
    return {
        "monmap": {"num_mons": 3},
        "quorum_names": ["a", "b", "c"][:quorum],
        "osdmap": {"num_osds": 3, "num_up_osds": up, "num_in_osds": 3},
        "pgmap": {"pgs_by_state": [CLEAN] if groups is None else groups, "num_pgs": 9},
        "health": {
            "status": "HEALTH_ERR",
            "checks": {
                code: {"severity": severity, "summary": {"message": text}}
                for code, (severity, text) in messages.items()
            },
            "mutes": [{"code": code} for code in muted],
        },
    }


class Cluster:
    """Answers as monitors do; the last status is given again and again."""

    def __init__(self, *states: dict, **answers: Any) -> None:
        self.states = list(states) or [status()]
        self.osds, self.required = answers.pop("osds", 3), answers.pop("required", "reef")
        self.cipher, self.last = answers.pop("cipher", "aes256k"), answers.pop("last", dict.fromkeys(range(3), NEW))
        self.versions = {kind: dict.fromkeys(texts, 1) for kind, texts in answers.items()}
        self.done: list[tuple[str, dict]] = []

    def ask(self, prefix: str, **arguments: Any) -> Any:
        known = {
            "versions": self.versions,
            "osd dump": {"osds": list(range(self.osds)), "require_osd_release": self.required},
            "osd metadata": [
                {"id": number, "hostname": f"n{number}", "ceph_version": text} for number, text in self.last.items()
            ],
            "mon dump": {"auth_service_cipher": self.cipher} if self.cipher else {},
        }
        if prefix == "status":
            return self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if prefix not in known:
            self.done.append((prefix, arguments))
        return known.get(prefix, {})


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    folder = ROOT / "inventories/box"
    catalogue = load_catalogue([ROOT / "roles"])
    region = parse_region((folder / "region.yml").read_text(), folder, catalogue)
    placement = place(region, catalogue, {})
    given = Given(Topology(region, catalogue, placement), TemplateSet.load(catalogue), {}, {}, {})
    scope = given.scope(placement.of("ceph-mon")[0])
    text, settings = scope.text("gate.py"), json.loads(scope.text("gate.json.j2"))
    monkeypatch.setitem(sys.modules, "rados", SimpleNamespace())
    space = {"__name__": "gate"}
    exec(compile(text, "gate.py", "exec"), space)  # noqa: S102 - the script itself
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    space["time"] = SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep)
    space["own"] = lambda: NEW
    space["setting"] = settings.__getitem__
    return SimpleNamespace(**{name: lambda *given, name=name: space["GATES"][name](*given) for name in space["GATES"]})


def why(call, *given) -> str:
    with pytest.raises(SystemExit) as ended:
        call(*given)
    return str(ended.value)


def test_a_monitor_has_settled_when_all_are_in_quorum(gate):
    gate.quorum(Cluster(status(up=1)))
    assert why(gate.quorum, Cluster(status(quorum=2))) == "1 of 3 monitors are not in quorum"


def test_an_osd_has_settled_when_all_copies_are_whole(gate):
    scrubbing = {"state_name": "active+clean+scrubbing+deep", "count": 1}
    gate.whole(Cluster(status([{**CLEAN, "count": 8}, scrubbing])))
    told = why(
        gate.whole,
        Cluster(status([{**CLEAN, "count": 5}, {"state_name": "active+undersized+degraded", "count": 3}], up=2)),
    )
    assert (
        told
        == "1 of 3 OSDs are down, 3 placement groups are active+undersized+degraded, 1 placement groups are unknown"
    )


def test_osds_come_after_monitors_and_managers(gate):
    before = vars(gate)["before-osds"]
    before(Cluster(mon=[NEW], mgr=[NEW]))
    before(Cluster(mon=[NEW], mgr=[NEW.replace("9b1a", "another build")]))
    assert "a mgr still runs ceph version 18.2.7" in why(before, Cluster(mon=[NEW], mgr=[NEW, OLD]))
    assert "a mon still runs ceph version 18.2.7" in why(before, Cluster(mon=[OLD], mgr=[NEW]))


def test_osds_wait_for_whole_copies_and_stay_when_they_do_not_become_so(gate, capsys):
    before, busy = vars(gate)["before-osds"], status([{"state_name": "peering", "count": 9}])
    before(Cluster(status(), busy, busy, status(), mon=[NEW], mgr=[NEW]))
    assert "POOL_FULL: a pool is full" in capsys.readouterr().out
    assert "still: 9 placement groups are peering" in why(before, Cluster(busy, mon=[NEW], mgr=[NEW]))
    assert why(before, Cluster(status(full="HEALTH_ERR"), mon=[NEW], mgr=[NEW])) == "a pool is full"


def test_a_cluster_without_osds_is_not_waited_for(gate):
    empty = status([])
    empty["osdmap"] = {"num_osds": 0, "num_up_osds": 0, "num_in_osds": 0}
    vars(gate)["before-osds"](Cluster(empty, mon=[OLD]))
    gate.release(Cluster(empty, osds=0))


def test_the_release_is_required_once_every_osd_has_run_it(gate):
    done = Cluster()
    gate.release(done)
    assert done.done == [("osd require-osd-release", {"release": "tentacle"})]
    again = Cluster(required="tentacle")
    gate.release(again)
    assert not again.done


def test_tickets_become_of_the_new_kind_and_old_keys_are_no_alarm(gate):
    cluster = Cluster(status(muted=()), required="tentacle", cipher="aes")
    gate.release(cluster)
    first, *others = cluster.done
    assert first == ("mon set", {"name": "auth_service_cipher", "value": "aes256k"})
    assert others == [("health mute", {"code": code, "sticky": True}) for code in KEYS]


def test_an_osd_that_is_away_with_the_old_version_keeps_the_cluster_where_it_is(gate):
    cluster = Cluster(last={0: NEW, 1: OLD, 2: NEW})
    told = why(gate.release, cluster)
    assert (
        "osd.1 on n1 last ran ceph version 18.2.7: the cluster stays at reef until it has run ceph version 20.2.4"
        in told
    )
    assert not cluster.done


def test_the_order_is_monitors_managers_osds_the_release_and_gateways_after_osds():
    catalogue = load_catalogue([ROOT / "roles"])
    folder = ROOT / "inventories/box"
    region = parse_region((folder / "region.yml").read_text(), folder, catalogue)
    level = order_of(catalogue, place(region, catalogue, {})).level
    steps = [component("ceph-mon"), component("ceph-mgr"), job("ceph-before-osds"), component("ceph-osd")]
    assert [level[one] for one in steps] == sorted({level[one] for one in steps})
    assert level[component("ceph-osd")] < level[job("ceph-release")]
    assert level[component("ceph-osd")] < level[component("ceph-rgw")]
