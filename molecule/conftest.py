"""What every scenario's tests start from: the node, what the service declares, what really is, and logs when a test fails."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra
from cloud import Cloud

from scs_deploy.catalogue.service import Component
from scs_deploy.operations.session import Session
from scs_deploy.render.desired import Instance

BASE = Path(__file__).parent / "base"
LOG_LINES = 30


@dataclass(frozen=True, slots=True)
class Case:
    """An instance of the scenario's service: as declared, as rendered, and as it is (see base/look.py)."""

    component: Component
    wanted: Instance
    real: dict[str, Any]


@pytest.fixture(scope="session")
def service() -> str:
    return os.environ["MOLECULE_SCENARIO_NAME"]


@pytest.fixture(scope="session")
def session() -> Session:
    return Session.open(os.environ["SCS_DEPLOY_REGION"])


@pytest.fixture(scope="session")
def cloud(session: Session) -> Cloud:
    """The cloud's public APIs, as its administrator uses them."""
    assert session.connections, "entering the lab's network"
    topology, networks = session.topology, session.region.networks
    hosts = {topology.vip_name(name): topology.vip(name) for name in networks if topology.vip(name)}
    password = str(session.vault.get("keystone-admin"))
    return Cloud(hosts, session.vault.authority().cert_pem, password)


@pytest.fixture(scope="session")
def member(cloud: Cloud) -> Iterator[Cloud]:
    """The same APIs as a plain member uses them."""
    with cloud.person("member") as person:
        yield person


@pytest.fixture(scope="session")
def node(session: Session, service: str) -> str:
    """The first node that carries the service."""
    return next(one.node for one in session.placement.placed if one.service == service)


@pytest.fixture(scope="session")
def host(session: Session, node: str) -> Any:
    """Testinfra's host, over the connection that scs-deploy itself uses."""
    data = session.connections[node].ansible_vars()
    return testinfra.get_host(
        f"ssh://{data['ansible_user']}@{data['ansible_host']}:{data['ansible_port']}",
        ssh_extra_args=data["ansible_ssh_common_args"],
    )


@pytest.fixture(scope="session")
def cases(session: Session, service: str, node: str, host: Any) -> dict[str, Case]:
    """All instances of the service on the node, looked at once."""
    wanted = {one.name: one for one in session.render().desired.on(node) if one.service == service}
    engine = session.nodes[node].engine
    script = (BASE / "look.py").read_text(encoding="utf-8")
    answer = json.loads(host.check_output(f"python3 -c %s {engine} {' '.join(wanted)}", script))
    components = session.catalogue.services[service].components
    return {name: Case(components[one.component], one, answer[name]) for name, one in wanted.items()}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A failing test shows what the service logged last."""
    report: Any = yield
    values: dict[str, Any] = getattr(item, "funcargs", {})
    if report.failed and "host" in values:
        session, service = item._request.getfixturevalue("session"), os.environ["MOLECULE_SCENARIO_NAME"]  # type: ignore[attr-defined]
        for component in session.catalogue.services[service].components:
            text = values["host"].run(f"journalctl --no-pager -n {LOG_LINES} -u '{component}*'").stdout
            if "No entries" not in text:
                report.sections.append((f"log of {component}", text))
    return report
