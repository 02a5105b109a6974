"""What a load balancer is told of a database member: the judgement, and that an answer never waits for a member that hangs."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.plan.dependencies import component, order_of
from scs_deploy.region.load import load_region
from scs_deploy.region.placement import place
from scs_deploy.render import Given
from scs_deploy.render.context import Topology
from scs_deploy.render.templates import TemplateSet
from scs_deploy.secrets.pki import Authority, CertificateRequest

ROOT = Path(__file__).parents[2]
FACTS = {"memory_mib": 4096, "cpu": {"count": 2}, "interfaces": []}
GOOD = {
    "wsrep_cluster_status": "Primary",
    "wsrep_local_state": "4",
    "wsrep_ready": "ON",
    "wsrep_reject_queries": "NONE",
    "read_only": "OFF",
    "answers": "yes",
}


@cache
def text(component: str, template: str) -> str:
    """A template of a component of the region core, as its node gets it."""
    catalogue = load_catalogue([ROOT / "roles"])
    region = load_region(ROOT / "inventories/core", catalogue)
    placement = place(region, catalogue, {})
    topology = Topology(region, catalogue, placement)
    given = Given(topology, TemplateSet.load(catalogue), {}, {}, {"n1": FACTS})
    (placed,) = placement.of(component)
    return given.scope(placed).text(template)


@pytest.fixture
def check() -> ModuleType:
    module = ModuleType("check")
    exec(compile(text("mariadb-check", "check.py"), "check.py", "exec"), module.__dict__)  # noqa: S102
    return module


@pytest.mark.parametrize("state", ["2", "4"])
def test_a_member_that_takes_queries_is_used(check: ModuleType, state: str):
    """A donor gives its copy as a backup does, without locking out anybody."""
    assert check.judge({**GOOD, "wsrep_local_state": state}) == ""


@pytest.mark.parametrize(
    ("differs", "says"),
    [
        ({"wsrep_cluster_status": "non-Primary"}, "not in a cluster with a majority"),
        ({"wsrep_local_state": "1"}, "joining"),
        ({"wsrep_local_state": "3"}, "not synced"),
        ({"wsrep_ready": "OFF"}, "not ready"),
        ({"wsrep_reject_queries": "ALL"}, "rejects queries"),
        ({"wsrep_reject_queries": "ALL_KILL"}, "rejects queries"),
        ({"read_only": "ON"}, "read-only"),
        ({"answers": "no"}, "does not answer"),
    ],
)
def test_every_reason_not_to_use_it_is_named(check: ModuleType, differs: dict, says: str):
    assert says in check.judge({**GOOD, **differs})


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_what_is_not_said_is_no_yes(check: ModuleType, missing: str):
    assert check.judge({key: value for key, value in GOOD.items() if key != missing})


def test_a_good_word_becomes_too_old(check: ModuleType):
    check.PERIOD = 0.0
    verdict = check.Verdict(0.0)
    assert verdict.why() == "nothing is known yet"
    verdict.tell("")
    assert "no word of the member" in verdict.why()
    lasting = check.Verdict(60.0)
    lasting.tell("")
    assert lasting.why() == ""


@contextlib.contextmanager
def hung_member():
    """Accepts connections, as the kernel does for a stopped process, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def served(tmp_path: Path):
    """The script beside a member that hangs; gives its port and its CA."""
    authority = Authority.create("box", datetime.now(UTC))
    made = authority.issue(CertificateRequest("check", ("localhost",), ("127.0.0.1",)), datetime.now(UTC))
    for name, pem in (("ca", made.ca_pem), ("cert", made.cert_pem), ("key", made.key_pem)):
        (tmp_path / f"{name}.pem").write_text(pem)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with hung_member() as member:
        settings = {
            "listen": ["127.0.0.1", port],
            **{name: str(tmp_path / f"{name}.pem") for name in ("ca", "cert", "key")},
            "limit_seconds": 1,
            "member": {"host": "127.0.0.1", "port": member, "user": "check"},
        }
        (tmp_path / "check.json").write_text(json.dumps(settings))
        (tmp_path / "password").write_text("word")
        script = tmp_path / "check.py"
        script.write_text(text("mariadb-check", "check.py"))
        process = subprocess.Popen([sys.executable, str(script), str(tmp_path)], stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
        yield port, tmp_path, process
        process.terminate()
        assert process.wait(20) == 0, "SIGTERM is a clean end"


def ask(port: int, folder: Path) -> tuple[int, str]:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_a_member_that_hangs_is_no_member_and_many_may_ask(served):
    port, folder, _ = served
    assert {ask(port, folder)[0] for _ in range(20)} == {503}
    with contextlib.ExitStack() as silent:  # clients that connect and say nothing do not keep others out
        for _ in range(100):
            silent.enter_context(socket.create_connection(("127.0.0.1", port), 5))
        assert ask(port, folder)[0] == 503


def test_a_new_certificate_is_served_by_the_same_process(served):
    port, folder, process = served
    before = ssl.get_server_certificate(("127.0.0.1", port))
    made = Authority.create("box", datetime.now(UTC)).issue(CertificateRequest("new"), datetime.now(UTC))
    (folder / "cert.pem").write_text(made.cert_pem)
    (folder / "key.pem").write_text(made.key_pem)
    os.kill(process.pid, signal.SIGHUP)
    deadline = time.monotonic() + 20
    while ssl.get_server_certificate(("127.0.0.1", port)) == before:
        assert time.monotonic() < deadline
    assert process.poll() is None


def test_the_balancer_learns_of_the_check_when_it_answers():
    """Told before, it would take away all members of a region that did without until now."""
    catalogue = load_catalogue([ROOT / "roles"])
    placement = place(load_region(ROOT / "inventories/half-rack", catalogue), catalogue, {})
    order = order_of(catalogue, placement)
    balancer, check = component("haproxy"), component("mariadb-check")
    assert order.level[balancer] > order.level[check]
    assert check in order.needed(balancer)[1]
    assert component("mariadb") not in order.needed(balancer)[1], (
        "a database that fails keeps no balancer from its change"
    )


def test_the_balancer_asks_that_process_over_tls_and_not_the_members_socket():
    lines = [line.strip() for line in text("haproxy", "haproxy.cfg.j2").splitlines()]
    own = lines[lines.index("backend mariadb") :]
    (server,) = [line for line in own[: own.index("", 1) if "" in own else None] if line.startswith("server ")]
    assert server.startswith(
        "server n1 10.79.1.11:3306 check port 3307 check-ssl verify required ca-file ca.pem verifyhost n1 "
    )
    assert "option httpchk" in own
    assert "ssl-default-bind-curves X25519:P-256:P-384" in lines
