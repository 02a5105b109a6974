"""Saved plans are carried out exactly or refused; two runs never change a region at the same time."""

from __future__ import annotations

from pathlib import Path

from proofs.deployment import Cloud, until
from scs_deploy.machine.locks import holder

CHANGED = {"memcached": {"settings": {"memory_mb": 96}}}


def test_a_saved_plan_is_carried_out_once_and_stale_afterwards(settled: Cloud, tmp_path: Path) -> None:
    before = settled.state()
    plan = str(tmp_path / "saved.plan")
    with settled.services(**CHANGED):
        settled.run("plan", "--out", plan, code=0)
        done = settled.run("apply", plan, code=0)
        assert "1 done, 0 failed" in done.stdout
        assert settled.restarted(before["starts"]) == {"memcached", "memcached.service"}
        settled.assert_settled()
        after = settled.state()
        assert "stale" in settled.run("apply", plan, code=6).stderr
        assert settled.state() == after
    settled.apply()


def test_a_plan_is_stale_when_the_region_or_a_node_has_changed(settled: Cloud, tmp_path: Path) -> None:
    plan = str(tmp_path / "saved.plan")
    with settled.services(**CHANGED):
        settled.run("plan", "--out", plan, code=0)
    before = settled.state()
    with settled.services(memcached={"settings": {"memory_mb": 80}}):
        assert "stale" in settled.run("apply", plan, code=6).stderr
    settled.on_node("echo '# mine' >> /etc/scs-deploy/mariadb/etc/mysql/mariadb.cnf")
    drifted = settled.state()
    with settled.services(**CHANGED):
        assert "stale" in settled.run("apply", plan, code=6).stderr
    assert settled.state() == drifted
    settled.apply()
    assert settled.state() == before


def test_what_is_not_a_plan_is_invalid_input(settled: Cloud, tmp_path: Path) -> None:
    path = tmp_path / "x.plan"
    path.write_text("{}")
    assert "not a saved plan" in settled.run("apply", str(path), code=3).stderr
    assert "cannot be read" in settled.run("apply", str(tmp_path / "none"), code=3).stderr


def test_two_applies_at_once_the_second_is_refused_with_the_holder(settled: Cloud) -> None:
    state = settled.store.state
    with settled.services(**CHANGED):
        first = settled.start("apply", "--yes")
        until(lambda: (found := holder(state)) and found.pid == first.pid, "the first apply holds the region")
        second = settled.run("apply", "--yes", code=5)
        assert f"process {first.pid}" in second.stderr
        out, err = first.communicate(timeout=120)
        assert first.returncode == 0, out + err
        settled.assert_settled()
    settled.apply()


def test_apply_asks_and_without_a_terminal_wants_yes(settled: Cloud) -> None:
    before = settled.state()
    with settled.services(**CHANGED):
        assert "--yes" in settled.run("apply", code=2).stderr
    assert settled.state() == before


def test_limit_and_service_plan_a_part(settled: Cloud) -> None:
    both = {**CHANGED, "haproxy": {"settings": {"check_seconds": 4}}}
    with settled.services(**both):
        assert set(settled.steps("--service", "haproxy")) == {"n1/haproxy"}
        settled.apply("--service", "haproxy")
        assert set(settled.steps()) == {"n1/memcached"}
        assert "known nodes: n1" in settled.run("plan", "--limit", "n9", code=2).stderr
    settled.apply()
