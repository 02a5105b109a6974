"""rabbitmq on a node: TLS on every port but epmd, quorum queues, and messages that outlive a kill."""

from __future__ import annotations

import json
import time
from typing import Any

from engine import ENGINE, kill

FOLDER = "/etc/scs-deploy/rabbitmq"
TLS_PORTS = (5671, 15671, 15692, 25672)

API = """
import json, sys
sys.path.insert(0, "/etc/scs-deploy/rabbitmq/resources")
from _api import Api
method, path, *rest = sys.argv[1:]
context = json.load(open("/etc/scs-deploy/rabbitmq/resources/context.json"))
with Api(context) as api:
    print(json.dumps(api._call(method, tuple(path.split(" ")), json.loads(rest[0]) if rest else None)))
"""


def api(host: Any, method: str, path: str, body: object = None) -> Any:
    """Ask the management API on the node; the parts of the path are separated by blanks."""
    given = ["%s", json.dumps(body)] if body is not None else []
    command = " ".join(["python3 -B -c %s %s %s", *given[:1]])
    return json.loads(host.check_output(command, API, method, path, *given[1:]))


def address(host: Any, port: int) -> str:
    (line,) = host.check_output(f"ss -Hltn sport = :{port}").splitlines()
    return str(line.split()[3].rpartition(":")[0])


def wait_until_it_answers(host: Any) -> None:
    for _ in range(90):
        if host.run("ss -Hltn sport = :5671").stdout:
            return
        time.sleep(1)
    raise AssertionError("rabbitmq did not come back:\n" + host.run("journalctl -u rabbitmq -n 50 --no-pager").stdout)


def test_it_runs_as_its_own_user(host: Any) -> None:
    assert {process.uid for process in host.process.filter(comm="beam.smp")} == {42405}


def test_every_port_speaks_tls_with_a_certificate_of_our_ca(host: Any) -> None:
    for port in TLS_PORTS:
        where = address(host, port)
        assert where not in ("0.0.0.0", "*", "[::]")  # noqa: S104
        script = (
            "import socket, ssl, sys; t = ssl.create_default_context(cafile=sys.argv[3] + '/ca.pem');"
            "t.load_cert_chain(sys.argv[3] + '/bundle.pem');"  # members demand one from each other
            "print(t.wrap_socket(socket.create_connection((sys.argv[1], int(sys.argv[2])), 5), server_hostname=sys.argv[1]).version())"
        )
        version = host.check_output("python3 -c %s %s %s %s", script, where, str(port), f"{FOLDER}/etc/scs-tls")
        assert version in ("TLSv1.2", "TLSv1.3"), port


def test_no_plain_port_is_open(host: Any) -> None:
    for port in (5672, 15672):
        assert not host.run(f"ss -Hltn sport = :{port}").stdout


def test_there_is_no_guest(host: Any) -> None:
    assert "guest" not in [user["name"] for user in api(host, "GET", "users")]


def test_queues_are_quorum_queues_and_messages_survive_a_kill(host: Any) -> None:
    api(host, "PUT", "queues / probe", {"durable": True})
    try:
        (queue,) = [one for one in api(host, "GET", "queues /") if one["name"] == "probe"]
        assert queue["type"] == "quorum"
        message = {"properties": {}, "routing_key": "probe", "payload": "hello", "payload_encoding": "string"}
        time.sleep(3)  # the broker saves its list of queues only every so often: a kill may lose one that is brand-new
        api(host, "POST", "exchanges / amq.default publish", message)
        kill(host, "rabbitmq")
        time.sleep(3)
        wait_until_it_answers(host)
        for _ in range(20):
            got = host.run(
                f"{ENGINE} exec rabbitmq /usr/lib/rabbitmq/bin/rabbitmqctl -q list_queues name messages --formatter json"
            )
            if got.rc == 0 and {"name": "probe", "messages": 1} in json.loads(got.stdout):
                break
            time.sleep(1)
        else:
            raise AssertionError(got.stdout + got.stderr)
    finally:
        api(host, "DELETE", "queues / probe")


def test_the_command_line_tool_reaches_the_node(host: Any) -> None:
    assert "rabbit@" in host.check_output(f"{ENGINE} exec rabbitmq /usr/lib/rabbitmq/bin/rabbitmqctl -q cluster_status")
