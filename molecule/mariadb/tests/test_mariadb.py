"""mariadb on a node: TLS or nothing, administrators through the socket only, and data that outlives a restart."""

from __future__ import annotations

import json
import time
from typing import Any

from engine import ENGINE, kill

ASK = f"{ENGINE} exec mariadb mariadb --execute 'SELECT 1 FROM mysql.db LIMIT 1' || exit 1"  # noqa: S608 - no value in it
"""Exit code 1 instead of 255, which an exec gives while the container goes, and which testinfra takes for a failure of ssh."""

SOCKET = "/run/scs-deploy/mariadb/mysqld.sock"

PLAIN = """
import json, socket, sys
with socket.create_connection((sys.argv[1], 3306), 5) as link:
    greeting = link.recv(200)
    flags = int.from_bytes(greeting[greeting.index(b"\\0", 5) + 14 :][:2], "little")
    print(json.dumps({"tls_offered": bool(flags & 0x800)}))
"""


def sql(host: Any, text: str) -> str:
    return str(
        host.check_output(f"{ENGINE} exec mariadb mariadb --skip-column-names --batch --execute %s", text).strip()
    )


def address(host: Any, port: int = 3306) -> str:
    lines = host.check_output(f"ss -Hltnp sport = :{port}").splitlines()
    (line,) = [one for one in lines if "mariadbd" in one]  # the load balancer has the same port on the VIP
    return str(line.split()[3].rpartition(":")[0])


def wait_until_it_answers(host: Any) -> None:
    for _ in range(60):
        if host.run(ASK).rc == 0:
            return
        time.sleep(1)
    raise AssertionError("mariadb did not come back:\n" + host.run("journalctl -u mariadb -n 50 --no-pager").stdout)


def test_it_runs_as_its_own_user(host: Any) -> None:
    assert {process.uid for process in host.process.filter(comm="mariadbd")} == {42403}


def test_it_listens_on_one_address_only(host: Any) -> None:
    for port in (3306, 4567):
        assert address(host, port) not in ("0.0.0.0", "*", "[::]")  # noqa: S104


def test_the_server_offers_tls_and_demands_it(host: Any) -> None:
    assert json.loads(host.check_output("python3 -c %s %s", PLAIN, address(host))) == {"tls_offered": True}
    assert sql(host, "SELECT @@require_secure_transport, @@have_ssl") == "1\tYES"


def test_a_user_gets_in_with_tls_and_not_without(host: Any) -> None:
    sql(host, "CREATE OR REPLACE USER probe@'%' IDENTIFIED BY 'probe-word'")
    login = f"{ENGINE} exec -e MYSQL_PWD=probe-word mariadb mariadb --user=probe --host={address(host)} --execute"
    try:
        encrypted = host.run(
            f"{login} %s --ssl-ca=/etc/scs-tls/ca.pem --ssl-verify-server-cert", "SHOW STATUS LIKE 'Ssl_version'"
        )
        assert "TLSv1." in encrypted.stdout, encrypted.stderr
        assert host.run(f"{login} %s --skip-ssl", "SELECT 1").rc != 0
    finally:
        sql(host, "DROP USER probe@'%'")


def test_the_cluster_is_complete_and_synchronised(host: Any) -> None:
    assert sql(host, "SHOW STATUS LIKE 'wsrep_cluster_status'").endswith("Primary")
    assert sql(host, "SHOW STATUS LIKE 'wsrep_local_state_comment'").endswith("Synced")


def test_no_account_without_password_and_no_test_database(host: Any) -> None:
    assert (
        sql(
            host,
            "SELECT COUNT(*) FROM mysql.user WHERE is_role = 'N' AND (User = '' OR (plugin = '' AND authentication_string = ''))",
        )
        == "0"
    )
    assert "test" not in sql(host, "SHOW DATABASES").split()


def test_root_of_the_node_is_root_of_the_server(host: Any) -> None:
    script = "import pymysql, sys; c = pymysql.connect(unix_socket=sys.argv[1], user='root').cursor(); c.execute('SELECT CURRENT_USER()'); print(c.fetchone()[0])"
    assert host.check_output("python3 -c %s %s", script, SOCKET) == "root@localhost"


def test_data_survives_a_restart_and_a_kill(host: Any) -> None:
    sql(
        host,
        "CREATE DATABASE IF NOT EXISTS probe; CREATE OR REPLACE TABLE probe.t (i INT PRIMARY KEY); INSERT INTO probe.t VALUES (7)",
    )
    try:
        for interrupt in (lambda: host.check_output("systemctl restart mariadb"), lambda: kill(host, "mariadb")):
            interrupt()
            wait_until_it_answers(host)
            assert sql(host, "SELECT i FROM probe.t") == "7"
    finally:
        sql(host, "DROP DATABASE probe")
