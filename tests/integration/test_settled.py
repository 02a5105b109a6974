"""After apply nothing is left to do; one changed setting changes one file and one process."""

from __future__ import annotations

import re

from proofs.deployment import PENDING, Cloud


def test_after_apply_the_plan_is_empty_and_applying_again_starts_nothing(settled: Cloud) -> None:
    before = settled.state()
    settled.assert_settled()
    done = settled.apply()
    assert "nothing to do" in done.stdout
    assert settled.state() == before


def test_a_changed_setting_is_one_file_and_one_restart(settled: Cloud) -> None:
    before = settled.state()
    with settled.services(memcached={"settings": {"memory_mb": 64}}):
        shown = settled.run("plan", "--detailed-exitcode", code=PENDING).stdout
        assert "Plan: 1 to change, 1 to restart; 1 wave on 1 node." in shown
        assert re.findall(r"^ +/\S+: changed$", shown, re.M) == [
            "      /etc/containers/systemd/memcached.container: changed"
        ]
        assert re.search(r"^ +-.*--memory-limit=128", shown, re.M)
        assert re.search(r"^ +\+.*--memory-limit=64", shown, re.M)
        assert "meanwhile: Cached items are lost" in shown
        settled.apply()
        assert settled.restarted(before["starts"]) == {"memcached", "memcached.service"}
        assert "--memory-limit=64" in settled.on_node("tr '\\0' ' ' </proc/$(pidof memcached)/cmdline")
        settled.assert_settled()
    settled.apply()
    assert settled.state()["end"] == before["end"]


def test_an_override_of_a_configuration_file_reaches_the_process(settled: Cloud) -> None:
    before = settled.state()
    target = "/etc/mysql/mariadb.cnf"
    with settled.services(mariadb={"config": {target: {"append": "[mariadbd]\nmax_connections = 777\n"}}}):
        (step,) = settled.steps().values()
        assert (step["id"], step["restart"]) == ("n1/mariadb", True)
        assert [change["what"] for change in step["changes"]] == [f"/etc/scs-deploy/mariadb{target}"]
        settled.apply()
        assert settled.sql("SELECT @@max_connections") == "777"
        assert settled.restarted(before["starts"]) == {"mariadb", "mariadb.service"}
        settled.assert_settled()
    settled.apply()
    assert settled.sql("SELECT @@max_connections") == "2000"
    assert settled.state()["end"] == before["end"]


def test_what_can_be_reloaded_is_not_restarted(settled: Cloud) -> None:
    before = settled.state()
    with settled.services(haproxy={"settings": {"check_seconds": 3}}):
        (step,) = settled.steps().values()
        assert (step["id"], step["reload"], step["restart"]) == ("n1/haproxy", True, False)
        settled.apply()
        assert settled.restarted(before["starts"]) == set()
        settled.run("prove", code=0)
        settled.assert_settled()
    settled.apply()
    assert settled.state() == before
