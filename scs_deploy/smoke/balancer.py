"""A load balancer with two servers behind one floating address."""

from __future__ import annotations

import http.client
from typing import Any

from scs_deploy.errors import DeployError
from scs_deploy.smoke import reach
from scs_deploy.smoke.bench import Bench
from scs_deploy.smoke.steps import SmokeStep

SECONDS = 180
ALGORITHMS = ("SOURCE_IP_PORT", "ROUND_ROBIN")
FIX = "see scs-deploy logs of the load balancer service"


def balancer(bench: Bench) -> str:
    api = bench.api.load_balancer
    made = api.create_load_balancer(name=bench.name("balancer"), vip_subnet_id=bench.made["subnet"])
    bench.made["balancer"] = made.id
    _settled(bench)
    listener = api.create_listener(
        name=bench.name("listener"), load_balancer_id=made.id, protocol="TCP", protocol_port=80
    )
    _settled(bench)
    pool = _pool(bench, listener.id)
    _settled(bench)
    for which in ("server", "neighbour"):
        server = bench.server(which)
        api.create_member(
            pool, name=server.name, address=server.fixed, protocol_port=80, subnet_id=bench.made["subnet"]
        )
        _settled(bench)
    outside = bench.api.network.create_ip(floating_network_id=bench.made["external"], port_id=made.vip_port_id)
    address = outside.floating_ip_address
    names: set[str] = set()
    last = ["no answer"]

    def probe() -> bool | None:
        for _ in range(10):
            try:
                page = reach.get(address, timeout=3)
            except (OSError, http.client.HTTPException) as error:
                last[0] = str(error) or type(error).__name__
                return None
            names.add(page.split()[1] if page.startswith("guest ") else page[:40])
        return True if len(names) > 1 else None

    def state() -> str:
        return f"answers came from {', '.join(sorted(names)) or 'nobody'}; {last[0]}"

    bench.wait(f"answers of both servers at {address}", probe, 90, state=state, every=0.5, fix=FIX)
    if len(names) != 2:
        raise DeployError("somebody else answers", where=address, why=", ".join(sorted(names)))
    return f"{address}: {' and '.join(sorted(names))} answer"


def _pool(bench: Bench, listener: str) -> Any:
    """Which algorithm there is depends on the provider."""
    from openstack import exceptions

    refused: Exception | None = None
    for algorithm in ALGORITHMS:
        try:
            return bench.api.load_balancer.create_pool(
                name=bench.name("pool"), listener_id=listener, protocol="TCP", lb_algorithm=algorithm
            )
        except exceptions.HttpException as error:
            if error.status_code not in (400, 501):
                raise
            refused = error
    raise refused or DeployError("no algorithm is known")


def _settled(bench: Bench) -> Any:
    api = bench.api.load_balancer
    made = bench.made["balancer"]
    return bench.until("the load balancer", lambda: _state(api.get_load_balancer(made)), "active", SECONDS, FIX)


class _state:  # noqa: N801
    """Its provisioning status as the status."""

    def __init__(self, found: Any) -> None:
        self.status, self.fault = found.provisioning_status, {"message": f"provider {found.provider}"}


STEPS = (
    SmokeStep(
        "load-balancer",
        "load balancer with two members",
        balancer,
        ("tcp", "second-server", "router"),
        ("load-balancer", "network"),
    ),
)
