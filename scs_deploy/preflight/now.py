"""Checks of what changes all the time: clock, free space, ports that somebody else listens on."""

from __future__ import annotations

from collections.abc import Iterator

from scs_deploy.errors import Finding
from scs_deploy.nodes import clocks
from scs_deploy.preflight.subject import Subject, WantedPort

SKEW_WARNING, SKEW_ERROR = 2.0, clocks.NOTEWORTHY
"""Seconds."""

_GIB = 1024**3
SPACE = {"/": (2, 0.5), "/var/lib/scs-deploy": (10, 1)}
ENGINE_SPACE = {"podman": "/var/lib/containers", "docker": "/var/lib/docker"}
ENGINE_SPACE_GIB = (20, 5)
"""GiB free on a file system: below the first figure a warning, below the second an error."""

_ANY = ("", "0.0.0.0", "::")  # noqa: S104 - what the node reports


def _clock(subject: Subject) -> Iterator[Finding]:
    services = subject.facts["ntp"]
    if services and "active" not in services.values():
        why = ", ".join(f"{name} is {state}" for name, state in services.items())
        yield subject.finding("warning", "nothing keeps the clock right", why, "start the time service, or apply")
    skew = subject.clock
    if abs(skew) > SKEW_WARNING:
        way = "ahead of" if skew > 0 else "behind"
        running = [name for name, state in subject.facts["ntp"].items() if state == "active"]
        why = f"time is kept by {', '.join(running)}" if running else "no time service runs on the node"
        fix = "check the ntp servers in region.yml and the clock of the controller"
        severity = "error" if abs(skew) > SKEW_ERROR else "warning"
        yield subject.finding(severity, f"the clock is {abs(skew):.0f} s {way} the controller's", why, fix)  # type: ignore[arg-type]


def _space(subject: Subject) -> Iterator[Finding]:
    free = subject.live.free_bytes
    limits = {**SPACE, ENGINE_SPACE[subject.node.engine]: ENGINE_SPACE_GIB}
    for path, (recommended, least) in limits.items():
        # A folder that is not there yet will lie on the root file system.
        has = free.get(path, free.get("/", 0)) / _GIB
        if has < recommended:
            what, why = (
                f"only {has:.1f} GiB free in {path}",
                f"{recommended} GiB are recommended, {least} GiB the least",
            )
            fix = "remove what is not needed, or put a larger file system there"
            yield subject.finding("error" if has < least else "warning", what, why, fix)


def _ports(subject: Subject) -> Iterator[Finding]:
    ours = [port for port in subject.ports if port.running]
    for protocol, address, number in subject.live.listening:
        listener = WantedPort("", protocol.removesuffix("6"), address, number, True)
        if any(_overlap(port, listener) for port in ours):
            continue
        for port in subject.ports:
            if not port.running and _overlap(port, listener):
                shown = f"[{address}]:{number}" if ":" in address else f"{address}:{number}"
                fix = f"stop it: 'ss -lnp sport = :{number}' on the node names the process"
                what = f"port {number}/{port.protocol} of {port.instance} is taken"
                yield subject.finding("error", what, f"another process listens on {shown}", fix)


def _overlap(one: WantedPort, other: WantedPort) -> bool:
    """Whether both cannot listen at the same time; a wildcard, also of the other family, covers every address."""
    same = one.address == other.address or one.address in _ANY or other.address in _ANY
    return one.protocol == other.protocol and one.port == other.port and same


CHECKS = (_clock, _space, _ports)
