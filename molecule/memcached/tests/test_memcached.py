"""memcached on a node: who runs it, what it listens on, and that it stores and answers over TLS."""

from __future__ import annotations

import json
from typing import Any

PORT = 11211
TLS = "/etc/scs-deploy/memcached/etc/scs-tls"

CLIENT = """
import json, socket, ssl, sys
address, folder, *key = sys.argv[1:]
trust = ssl.create_default_context(cafile=folder + "/ca.pem")
if key:
    trust.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
with socket.create_connection((address, 11211), 5) as plain, trust.wrap_socket(plain, server_hostname=address) as link:
    link.sendall(b"set probe 0 30 5\\r\\nhello\\r\\nget probe\\r\\n")
    text = b""
    while b"END" not in text:
        text += link.recv(1000) or sys.exit("the server closed the connection")
    print(json.dumps({"version": link.version(), "answer": text.decode()}))
"""


def listeners(host: Any) -> set[str]:
    lines = host.check_output(f"ss -Hltn sport = :{PORT}").splitlines()
    return {line.split()[3].rpartition(":")[0] for line in lines}


def test_it_runs_as_its_own_user(host: Any) -> None:
    (process,) = host.process.filter(comm="memcached")
    assert process.uid == 42404


def test_it_listens_on_one_address_and_not_on_udp(host: Any) -> None:
    assert len(listeners(host)) == 1
    assert not listeners(host) & {"0.0.0.0", "*", "[::]"}  # noqa: S104
    assert not host.check_output(f"ss -Hlun sport = :{PORT}")


def test_it_stores_over_tls(host: Any) -> None:
    (address,) = listeners(host)
    answer = json.loads(host.check_output("python3 -c %s %s %s key", CLIENT, address, TLS))
    assert answer["version"] in ("TLSv1.2", "TLSv1.3")
    assert "VALUE probe" in answer["answer"]


def test_it_turns_away_clients_without_a_certificate(host: Any) -> None:
    (address,) = listeners(host)
    refused = host.run("timeout 10 python3 -c %s %s %s", CLIENT, address, TLS)
    assert refused.rc == 1
    assert "VALUE" not in refused.stdout


def test_it_does_not_speak_plain_text(host: Any) -> None:
    (address,) = listeners(host)
    script = f"exec 3<>/dev/tcp/{address}/{PORT}; printf 'version\\r\\n' >&3; timeout 2 head -c 7 <&3 || true"
    assert "VERSION" not in host.run("bash -c %s", script).stdout
