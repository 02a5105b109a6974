"""Network, router, security group, floating address; and reaching a server from outside."""

from __future__ import annotations

import http.client
from collections.abc import Callable

from scs_deploy.errors import DeployError
from scs_deploy.smoke import reach
from scs_deploy.smoke.bench import Bench, SmokeServer
from scs_deploy.smoke.steps import SmokeStep

CIDR = "10.213.45.0/24"
"""Only where the cloud has no default subnet pool."""

OPEN_PORTS = (80, 7)


def network(bench: Bench) -> str:
    api = bench.api.network
    made = api.create_network(name=bench.name("net"))
    bench.made["network"] = made.id
    pool = next((one for one in api.subnet_pools() if one.is_default and one.ip_version == 4), None)
    source = {"subnet_pool_id": pool.id} if pool else {"cidr": CIDR}
    subnet = api.create_subnet(name=bench.name("subnet"), network_id=made.id, ip_version=4, **source)
    bench.made["subnet"] = subnet.id
    return f"{subnet.cidr}, MTU {made.mtu}" + (f", from pool {pool.name}" if pool else "")


def router(bench: Bench) -> str:
    api = bench.api.network
    outside = list(api.networks(is_router_external=True))
    if not outside:
        raise DeployError(
            "there is no external network",
            where=bench.region.name,
            fix="give region.yml a network external, then scs-deploy apply and scs-deploy cloud setup",
        )
    chosen = next((one for one in outside if one.is_default), outside[0])
    bench.made["external"] = chosen.id
    made = api.create_router(name=bench.name("router"), external_gateway_info={"network_id": chosen.id})
    api.add_interface_to_router(made, subnet_id=bench.made["subnet"])
    bench.made["router"] = made.id
    address = str((made.external_gateway_info["external_fixed_ips"] or [{}])[0].get("ip_address", ""))
    seconds = _ping(bench, address, 60, lambda: "")
    return f"{address} on {chosen.name}, {seconds * 1000:.1f} ms from here"


def group(bench: Bench) -> str:
    api = bench.api.network
    made = api.create_security_group(name=bench.name("group"))
    bench.made["group"] = made.id
    strange = [rule for rule in made.security_group_rules if rule["direction"] == "ingress"]
    if strange:
        why = "; ".join(f"{rule['ethertype']} {rule['protocol'] or 'any'}" for rule in strange)
        raise DeployError(
            "a new security group lets others in",
            where=made.name,
            why=f"rules: {why}; the standard scs-0115 forbids it",
            fix="openstack default security group rule list",
        )
    api.create_security_group_rule(security_group_id=made.id, direction="ingress", ether_type="IPv4", protocol="icmp")
    for port in OPEN_PORTS:
        api.create_security_group_rule(
            security_group_id=made.id,
            direction="ingress",
            ether_type="IPv4",
            protocol="tcp",
            port_range_min=port,
            port_range_max=port,
        )
    return f"ping and TCP {', '.join(map(str, OPEN_PORTS))}; new groups are closed"


def floating(bench: Bench) -> str:
    server = bench.server()
    made = bench.api.network.create_ip(floating_network_id=bench.made["external"], port_id=server.port)
    server.floating = made.floating_ip_address
    bench.made["floating"] = made.id
    return f"{server.floating} to {server.fixed}"


def pinged(bench: Bench) -> str:
    server = bench.server()
    seconds = _ping(bench, server.floating, 60, lambda: bench.last_words(server))
    return f"{seconds * 1000:.1f} ms"


def answered(bench: Bench) -> str:
    server = bench.server()
    page = page_of(bench, server.floating, server, "guest ")
    if not reach.echo(server.floating, b"x" * 20000):
        raise DeployError("the echo of TCP port 7 differs from what was sent", where=server.floating, fix=FIX)
    return page


FIX = (
    "see scs-deploy status; on the node the provider bridge must carry the external network, and this machine must have an "
    "address or a route there"
)


def _ping(bench: Bench, address: str, seconds: float, state: Callable[[], str]) -> float:
    """Wait for an answer, then take the best of some."""
    tried = iter(range(1, 100000))
    try:
        what = f"an answer to ping from {address}"
        first = bench.wait(what, lambda: reach.ping(address, next(tried)), seconds, state=state, every=0.2, fix=FIX)
    except PermissionError as error:
        raise DeployError("this user may not ping", where="controller", why=str(error), fix="run it as root") from error
    return min([first, *(found for _ in range(5) if (found := reach.ping(address, next(tried))) is not None)])


def page_of(bench: Bench, address: str, server: SmokeServer, begins: str, seconds: float = 60) -> str:
    """The page that a server shows on port 80."""
    last = ["no answer"]

    def probe() -> str | None:
        try:
            page = reach.get(address)
        except (OSError, http.client.HTTPException) as error:
            last[0] = str(error) or type(error).__name__
            return None
        last[0] = page[:200]
        return page if page.startswith(begins) else None

    def state() -> str:
        return f"{last[0]}\n{bench.last_words(server)}"

    return bench.wait(f"an answer on TCP port 80 of {address}", probe, seconds, state=state, every=0.5, fix=FIX)


STEPS = (
    SmokeStep("network", "network and subnet", network, ("login",), ("network",)),
    SmokeStep("router", "router to the external network", router, ("network",), ("network",)),
    SmokeStep("security-group", "security group", group, ("login",), ("network",)),
)
REACH = (
    SmokeStep("floating-ip", "floating address", floating, ("server", "router"), ("network",)),
    SmokeStep("ping", "ping from outside", pinged, ("floating-ip", "console")),
    SmokeStep("tcp", "TCP from outside", answered, ("floating-ip", "console")),
)
