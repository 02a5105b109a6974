"""A failure is told with node, instance, what differed, the last log lines, what is blocked and what to do; the rest is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from proofs.deployment import Cloud, Done, until

MEMCACHED = {"settings": {"memory_mb": 48}}
BROKEN_CNF = {"config": {"/etc/mysql/mariadb.cnf": {"replace": "oops = 1\n"}}}
BROKEN_UWSGI = {"config": {"/etc/keystone/uwsgi.ini": {"replace": "[uwsgi]\nstrict = true\nno-such-option = 1\n"}}}


def impatient(data: dict[str, object]) -> None:
    data["patience"] = 0.2


@contextmanager
def table_locked(cloud: Cloud, table: str, mode: str) -> Iterator[None]:
    """Whoever needs the table waits, so that what happens meanwhile happens in the middle of its work."""
    cloud.on_node(
        "systemd-run --collect --unit=holder podman exec mariadb "
        f"mariadb --execute 'LOCK TABLES {table} {mode}; SELECT SLEEP(900)'"
    )
    until(lambda: "SLEEP(900)" in cloud.sql("SHOW PROCESSLIST"), f"{table} is locked")
    try:
        yield
    finally:
        asked = "SELECT CONCAT('KILL ', id) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'"
        client = "podman exec -i mariadb mariadb --skip-column-names"  # fails where the database is down: then nobody holds it
        cloud.try_on_node(f'{client} --execute "{asked}" | {client}')


def waits_for_lock(cloud: Cloud, query: str) -> bool:
    rows = cloud.sql("SELECT info FROM information_schema.processlist WHERE state LIKE 'Waiting for table%'")
    return query in rows.lower()


def applied_while(cloud: Cloud, query: str, meanwhile: str) -> Done:
    """Apply, and when its work has come to a query that waits, do something on the node."""
    process = cloud.start("apply", "--yes")
    until(lambda: waits_for_lock(cloud, query) or process.poll() is not None, f"{query} waits", 120)
    assert process.poll() is None, process.communicate()
    cloud.on_node(meanwhile)
    out, err = process.communicate(timeout=400)
    assert process.returncode == 1, out + err
    return Done(["apply"], process.returncode, out, err)


def test_a_database_that_does_not_start_blocks_what_needs_it_and_nothing_else(settled: Cloud) -> None:
    before = settled.state()
    settled.on_node("rm /var/lib/scs-deploy/state/jobs/keystone-db-sync.json")
    keystone = {"settings": {"token_minutes": 30}}
    with settled.edited(impatient), settled.services(mariadb=BROKEN_CNF, keystone=keystone, memcached=MEMCACHED):
        done = settled.apply(code=1)
        for told in (
            "failed: update n1/mariadb",
            "differed: /etc/scs-deploy/mariadb/etc/mysql/mariadb.cnf: changed",
            "without preceding group",
            "blocks: ",
            "run job keystone-db-sync on n1",
            "fix: ",
        ):
            assert told in done.stderr, f"{told!r} is not in:\n{done.stdout}\n{done.stderr}"
        assert "update n1/keystone" in done.stderr.partition("blocks: ")[2].partition("\n")[0]
        assert {"memcached", "memcached.service"} <= settled.restarted(before["starts"])
        assert "keystone" not in settled.restarted(before["starts"])
        status = settled.run("status", "--json", code=1)
        assert '"state": "unhealthy' in status.stdout or '"state": "absent"' in status.stdout
    settled.apply()
    assert settled.state()["end"] == before["end"]


def test_a_job_that_fails_is_told_with_its_output_and_runs_again(settled: Cloud) -> None:
    before = settled.state()["end"]
    settled.sql("RENAME TABLE keystone.alembic_version TO keystone.elsewhere")
    settled.on_node("rm /var/lib/scs-deploy/state/jobs/keystone-db-sync.json")
    try:
        done = settled.apply(code=1)
        assert "failed: run job keystone-db-sync on n1" in done.stderr
        assert "already exists" in done.stderr
        assert "it was started and not finished" in str(settled.steps())
    finally:
        settled.sql(
            "DROP TABLE IF EXISTS keystone.alembic_version; RENAME TABLE keystone.elsewhere TO keystone.alembic_version"
        )
    settled.apply()
    assert settled.state()["end"] == before


def test_a_database_that_stops_while_a_job_works_on_it(settled: Cloud) -> None:
    before = settled.state()["end"]
    settled.on_node("rm /var/lib/scs-deploy/state/jobs/keystone-db-sync.json")
    with table_locked(settled, "keystone.alembic_version", "WRITE"):
        done = applied_while(settled, "alembic_version", "systemctl stop mariadb")
    assert "failed: run job keystone-db-sync on n1" in done.stderr
    assert "why: exit code 1: oslo_db.exception.DBConnectionError" in done.stderr
    assert "Lost connection" in done.stderr
    assert "scs-deploy apply again" in done.stderr
    steps = {step["id"]: step for wave in settled.plan(code=None)["waves"] for step in wave["steps"]}
    assert "it was started and not finished" in str(steps["n1/keystone-db-sync"]["reasons"])
    assert "n1/mariadb" in steps
    settled.apply()
    assert settled.state()["end"] == before


def test_an_api_that_stops_while_its_resources_are_set(settled: Cloud) -> None:
    before = settled.state()["end"]
    settled.sql("DELETE FROM keystone.endpoint WHERE interface = 'admin'")
    with table_locked(settled, "keystone.endpoint", "READ"):
        done = applied_while(settled, "insert into endpoint", "podman kill keystone; systemctl stop keystone")
    assert "failed: set 1 keystone resources of keystone, from n1" in done.stderr
    assert "keystone did not take endpoint identity admin" in done.stderr
    assert "does not answer" in done.stderr
    assert "scs-deploy apply again" in done.stderr
    assert "n1/keystone" in {step["id"] for wave in settled.plan(code=None)["waves"] for step in wave["steps"]}
    settled.apply()
    settled.assert_settled()
    assert settled.state()["end"] == before
    settled.run("prove", code=0)


def test_an_api_that_is_down_leaves_its_resources_unknown_and_not_done(settled: Cloud) -> None:
    before = settled.state()["end"]
    settled.sql("DELETE FROM keystone.endpoint WHERE interface = 'admin'")
    with settled.edited(impatient), settled.services(keystone=BROKEN_UWSGI):
        done = settled.apply(code=1)
        assert "failed: update n1/keystone" in done.stderr
        assert "no-such-option" in done.stderr
        assert "admin" not in str(settled.state()["end"]["apis"]["keystone"]["endpoints"])
    settled.apply()
    settled.assert_settled()
    assert settled.state()["end"] == before
    settled.run("prove", code=0)


def test_a_port_that_somebody_else_has_taken(settled: Cloud) -> None:
    before = settled.state()["end"]
    address = settled.lab.address("n1")
    settled.on_node("systemctl stop memcached")
    squatter = f"import socket, time; s = socket.create_server(('{address}', 11211)); time.sleep(600)"
    settled.on_node(f'systemd-run --unit=squatter python3 -c "{squatter}"')
    until(lambda: settled.on_node("ss -Hltn sport = :11211"), "the port is taken")
    try:
        with settled.edited(impatient):
            done = settled.apply(code=1)
        assert "failed: restart n1/memcached" in done.stderr
        assert "its port is in use" in done.stderr
        assert "python3 (process" in done.stderr
    finally:
        settled.on_node("systemctl stop squatter")
    settled.apply()
    assert settled.state()["end"] == before


def test_a_full_disk_is_a_clear_failure_that_heals(settled: Cloud) -> None:
    """A small full filesystem lies over the folder that is written to."""
    end = settled.state()["end"]
    for folder, files in (("/etc/scs-deploy/rabbitmq", "rabbitmq.conf"), ("/var/lib/scs-deploy/state", "")):
        starts = settled.starts()
        settled.on_node(
            f"cp -a {folder} /run/copy; mount -t tmpfs -o size=4m,mode=755 tmpfs {folder}; cp -a /run/copy/. {folder}; "
            f"rm -r /run/copy; dd if=/dev/zero of={folder}/fill bs=4k 2>/dev/null; true"
        )
        try:
            with settled.services(rabbitmq={"settings": {"log_level": "warning"}}):
                done = settled.apply(code=1)
            assert "failed: update n1/rabbitmq" in done.stderr
            assert "No space left on device" in done.stderr
            assert files in done.stderr
            assert "Traceback" not in done.stdout + done.stderr
        finally:
            settled.on_node(f"umount {folder}")
        assert settled.restarted(starts) == set()
        settled.apply()
        assert settled.state()["end"] == end
