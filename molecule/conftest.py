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
from scs_deploy.nodes.fleet import Fleet
from scs_deploy.operations.plan import desired
from scs_deploy.operations.reach import reach
from scs_deploy.operations.site import Site, find_site
from scs_deploy.operations.store import Store
from scs_deploy.render.desired import Instance
from scs_deploy.secrets import Preview, Vault

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
def site() -> Site:
    return find_site(os.environ["SCS_DEPLOY_REGION"])


@pytest.fixture(scope="session")
def vault(site: Site) -> Vault:
    return Vault.open(site.folder)


@pytest.fixture(scope="session", autouse=True)
def fleet(site: Site) -> Iterator[Fleet]:
    """The nodes; tests run where the lab's networks are."""
    with reach(site.region) as found:
        yield found


@pytest.fixture(scope="session")
def cloud(site: Site, vault: Vault, fleet: Fleet) -> Cloud:
    """The cloud's public APIs, as its administrator uses them."""
    topology, networks = site.topology, site.region.networks
    hosts = {topology.vip_name(name): topology.vip(name) for name in networks if topology.vip(name)}
    password = str(vault.get("keystone-admin"))
    return Cloud(hosts, vault.ca_pem, password)


@pytest.fixture(scope="session")
def member(cloud: Cloud) -> Iterator[Cloud]:
    """The same APIs as a plain member uses them."""
    with cloud.person("member") as person:
        yield person


@pytest.fixture(scope="session")
def node(site: Site, service: str) -> str:
    """The first node that carries the service."""
    return next(one.node for one in site.placement.placed if one.service == service)


@pytest.fixture(scope="session")
def host(fleet: Fleet, node: str) -> Any:
    """Testinfra's host, over the connection that scs-deploy itself uses."""
    data = fleet.connections[node].ansible_vars()
    return testinfra.get_host(
        f"ssh://{data['ansible_user']}@{data['ansible_host']}:{data['ansible_port']}",
        ssh_extra_args=data["ansible_ssh_common_args"],
    )


@pytest.fixture(scope="session")
def cases(site: Site, vault: Vault, service: str, node: str, host: Any) -> dict[str, Case]:
    """All instances of the service on the node, looked at once."""
    rendered = desired(site, Store.of(site.region), Preview(vault, site.secrets))
    wanted = {one.name: one for one in rendered.on(node) if one.service == service}
    engine = site.nodes[node].engine
    script = (BASE / "look.py").read_text(encoding="utf-8")
    answer = json.loads(host.check_output(f"python3 -c %s {engine} {' '.join(wanted)}", script))
    components = site.catalogue.services[service].components
    return {name: Case(components[one.component], one, answer[name]) for name, one in wanted.items()}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A failing test shows what the service logged last."""
    report: Any = yield
    values: dict[str, Any] = getattr(item, "funcargs", {})
    if report.failed and "host" in values:
        site, service = item._request.getfixturevalue("site"), os.environ["MOLECULE_SCENARIO_NAME"]  # type: ignore[attr-defined]
        for component in site.catalogue.services[service].components:
            text = values["host"].run(f"journalctl --no-pager -n {LOG_LINES} -u '{component}*'").stdout
            if "No entries" not in text:
                report.sections.append((f"log of {component}", text))
    return report
