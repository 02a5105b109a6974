"""What a node tells is compared with what a plan promised: everything that is more, less or other is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proofs.witness.look import Sight, between
from proofs.witness.promise import against_node, against_report, data_kept, promise
from proofs.witness.stories import STORIES, sample
from scs_deploy.catalogue.load import load_catalogue

ROOT = Path(__file__).parents[2]

CONF = "/etc/scs-deploy/memcached/etc/memcached.conf"
FILE, FOLDER = 0o100000, 0o040000
CATALOGUE = load_catalogue([ROOT / "roles"])


def file(inode: int, mode: int = 0o644) -> list[int]:
    return [FILE, mode, 0, 0, inode, 10, inode, inode]


def sight(*told: tuple[str, str], active: bool = True, **files: list[int]) -> Sight:
    listed = {CONF: file(1), "/etc/hosts": file(2), **{f"/etc/{name}": one for name, one in files.items()}}
    units = {"memcached.service": "life 1"} if active else {}
    return Sight(listed, {}, "", told, frozenset({"logrotate.service"}), units)


BEFORE = sight()
RESTART = (
    ("stop", "memcached.service"),
    ("start", "memcached.service"),
    ("container died", "memcached"),
    ("container start", "memcached"),
)


def step(**values: Any) -> dict[str, Any]:
    """A step that writes one file and restarts."""
    found = {"id": "n1/memcached", "kind": "instance", "node": "n1", "subject": "memcached", "action": "update"}
    found |= {"restart": True, "reload": False, "write": [CONF], "delete": [], "changes": [], "reasons": []}
    return {**found, **values}


def wrong(after: Sight, *steps: dict[str, Any], before: Sight = BEFORE) -> list[str]:
    return against_node(promise(steps, "n1", before, CATALOGUE), between(before, after))


def changed(*told: tuple[str, str], **files: list[int]) -> Sight:
    found = sight(*told, **files)
    return Sight({**found.files, CONF: file(9)}, found.data, "", found.told, found.timers, found.active)


def test_what_was_promised_and_happened_is_right():
    assert wrong(changed(*RESTART), step()) == []
    assert wrong(sight()) == []


def test_what_the_node_does_by_itself_is_not_held_against_anybody():
    told = (("start", "session-4.scope"), ("start", "logrotate.service"), ("start", "podman.service"))
    assert wrong(sight(*told, ("container exec", "mariadb"))) == []


@pytest.mark.parametrize(
    ("after", "what"),
    [
        (sight(extra=file(7)), "written, not planned: /etc/extra"),
        (sight(hosts=file(7)), "written, not planned: /etc/hosts"),
        (sight(hosts=file(2, 0o600)), "written, not planned: /etc/hosts"),
        (sight(extra=[FOLDER, 0o755, 0, 0]), "folder changed, not planned: /etc/extra"),
        (sight(("start", "ssh.service")), "start of unit ssh.service: planned 0, seen 1"),
        (sight(("failure", "x.service")), "failure of unit x.service: planned 0, seen 1"),
        (sight(("container start", "stray")), "start of container stray: planned 0, seen 1"),
        (sight(("container kill", "haproxy")), "kill of container haproxy: planned 0, seen 1"),
    ],
)
def test_what_nobody_promised_is_named(after: Sight, what: str):
    assert wrong(after) == [what]


def test_a_folder_above_a_written_file_may_appear_but_not_change():
    new = sight(new=[FOLDER, 0o755, 0, 0], **{"new/x": file(3)})
    assert wrong(new, step(restart=False, write=["/etc/new/x"])) == []
    before = Sight({**BEFORE.files, "/etc": [FOLDER, 0o755, 0, 0]}, {}, "")
    after = Sight({**BEFORE.files, "/etc": [FOLDER, 0o777, 0, 0], "/etc/x": file(3)}, {}, "")
    planned = step(restart=False, write=["/etc/x"])
    assert wrong(after, {**planned, "kind": "instance", "subject": "node-dns"}, before=before) == [
        "folder changed, not planned: /etc"
    ]


def test_a_restart_that_the_journal_does_not_tell_is_seen():
    after = Sight(BEFORE.files, {}, "", active={"memcached.service": "life 2"})
    assert wrong(after) == [
        "start of unit memcached.service: planned 0, seen 1",
        "stop of unit memcached.service: planned 0, seen 1",
    ]
    assert wrong(sight(active=False)) == ["stop of unit memcached.service: planned 0, seen 1"]


def test_a_deleted_file_is_named():
    after = Sight({CONF: file(1)}, {}, "", active=BEFORE.active)
    assert wrong(after) == ["deleted, not planned: /etc/hosts"]


def test_what_was_promised_and_did_not_happen_is_named():
    assert wrong(sight(*RESTART), step()) == [f"planned, not written: {CONF}"]
    assert "start of unit memcached.service: planned 1, seen 0" in wrong(changed(), step())
    assert "start of unit memcached.service: planned 1, seen 2" in wrong(changed(*RESTART, *RESTART), step())
    assert wrong(sight(), step(restart=False, write=[], delete=["/etc/hosts"])) == ["planned, not deleted: /etc/hosts"]
    reload = step(restart=False, write=[], reload=True, subject="rabbitmq")
    assert "planned, not reloaded: rabbitmq" in wrong(sight(), reload)


def test_what_did_not_run_is_started_without_a_stop():
    stopped = sight(active=False)
    assert wrong(changed(*RESTART[1:]), step(), before=stopped) == []


def result(**values: Any) -> dict[str, Any]:
    found = {"id": "n1/memcached", "kind": "instance", "action": "update", "node": "n1", "status": "ok"}
    return {**found, "done": [f"wrote {CONF}", "restarted memcached.service"], **values}


def test_report_and_plan_are_equal_step_by_step():
    assert against_report([step()], [result()]) == []
    assert "apply reports []" in against_report([step()], [])[0]
    assert "failed" in against_report([step()], [result(status="failed")])[0]
    assert "action is update in the plan" in against_report([step()], [result(action="create")])[0]
    assert "wrote [], planned are" in against_report([step()], [result(done=["restarted memcached.service"])])[0]
    assert "no start was reported" in against_report([step()], [result(done=[f"wrote {CONF}"])])[0]
    assert "reload" in against_report([step()], [result(done=[*result()["done"], "reloaded"])])[0]


def test_data_of_what_was_removed_stays_unless_purged():
    folder = "/var/lib/scs-deploy/data/echo/store"
    kept = Sight({folder: [FOLDER, 0o755, 0, 0]}, {f"{folder}/x": [1, 1]}, "")
    lost, gone = Sight(kept.files, {}, ""), Sight({}, {}, "")
    leaves = step(action="remove", removed={"data": [folder]}, reasons=["its data is kept"])
    purged = step(action="remove", removed={"data": [folder]}, reasons=["its data is deleted too"])
    assert data_kept(leaves, kept, kept) == data_kept(purged, kept, gone) == []
    assert data_kept(leaves, kept, lost)
    assert data_kept(leaves, kept, gone)
    assert data_kept(purged, kept, kept)


def test_folders_of_purged_data_are_promised():
    data = {
        "/var/lib/scs-deploy/data/echo": [FOLDER, 0o755, 0, 0],
        "/var/lib/scs-deploy/data/echo/store": [FOLDER, 0o755, 0, 0],
    }
    before, after = Sight({**BEFORE.files, **data}, {}, ""), Sight({**BEFORE.files, CONF: file(9)}, {}, "")
    leaves = step(action="remove", removed={"data": ["/var/lib/scs-deploy/data/echo/store"]})
    assert wrong(after, {**leaves, "reasons": ["its data is deleted too"]}, before=before) == []
    assert "folder changed, not planned" in wrong(after, {**leaves, "reasons": ["its data is kept"]}, before=before)[0]


def test_what_a_prune_finds_is_free_but_nothing_else_is():
    operations = [{"op": "create", "name": "nova"}, {"op": "prune", "name": ""}]
    planned = step(kind="resources", action="apply", operations=operations)
    for done, right in (([], False), (["created"], True), (["created", "deleted", "deleted"], True)):
        assert (against_report([planned], [result(kind="resources", action="apply", done=done)]) == []) is right
    planned["operations"] = operations[:1]
    assert against_report([planned], [result(kind="resources", action="apply", done=["created", "deleted"])])


def test_there_are_thirty_changes_of_all_kinds_and_a_sample_of_them():
    changes = [change for story in STORIES for change in story.changes]
    assert len(changes) >= 30
    names = [f"{change.kind} {change.name}" for change in changes]
    assert len(set(names)) == len(names)
    kinds = {change.kind for change in sample().changes}
    assert len(kinds) == len(sample().changes) <= 10
