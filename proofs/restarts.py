"""What a restart costs the users of a server: each container of a node in turn, while they ping it, talk to it and write to its disk.

Usage: python -m proofs.restarts REGION [INSTANCE...]
       python -m proofs.restarts REGION --during COMMAND...

The region must be deployed, with a server that ``scs-deploy smoke --keep`` left. Prints a line per container: seconds until the node
says that it is healthy again, longest time between two answers to ping, two echoes on one TCP connection and two writes that reached
the storage (each asked up to 10 times a second), and whether that connection broke. With ``--during`` one line: for all the time that
a command runs; the exit code is that of the command.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scs_deploy.catalogue import names
from scs_deploy.machine.waiting import wait_for
from scs_deploy.nodes.fleet import Fleet
from scs_deploy.operations.plan import Scope, make_plan
from scs_deploy.operations.reach import reach as reach_nodes
from scs_deploy.operations.site import Site, find_site
from scs_deploy.operations.store import Store
from scs_deploy.secrets import Preview, Vault
from scs_deploy.smoke import reach
from scs_deploy.smoke.run import kept

INTERVAL = 0.1
ECHO_PORT = 7
AFTER = 2.0
"""Seconds that are watched after a container is healthy again: what it broke may show late."""

HEALTHY_SECONDS, WRITE_SECONDS = 180.0, 300.0


@dataclass(frozen=True, slots=True)
class RestartRow:
    """``broken``: connections lost; the other figures in seconds."""

    instance: str
    healthy: float
    ping_gap: float
    tcp_gap: float
    disk_gap: float
    broken: int


@dataclass(slots=True)
class Prober:
    """Asks ten times a second and remembers when answers came."""

    ask: Callable[[], bool]
    answers: list[float] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._ended.wait(INTERVAL):
            if self.ask():
                self.answers.append(time.monotonic())

    def gap(self, begin: float, end: float) -> float:
        """Longest time without an answer in between, less the interval of asking."""
        times = [begin, *(one for one in self.answers if begin < one < end), end]
        return max(0.0, max(after - before for before, after in itertools.pairwise(times)) - INTERVAL)


@dataclass(slots=True)
class Echo:
    """One TCP connection that is kept; a new one only when it broke."""

    address: str
    broken: int = 0
    _link: socket.socket | None = None

    def __call__(self) -> bool:
        try:
            if self._link is None:
                self._link = socket.create_connection((self.address, ECHO_PORT), timeout=2)
                self._link.settimeout(30)
            self._link.sendall(b"scs\n")
            if self._link.recv(64):
                return True
        except OSError:
            pass
        if self._link is not None:
            self._link.close()
            self.broken += 1
        self._link = None
        return False


def written(address: str) -> bool:
    """Have the guest write to its root disk, however long that takes."""
    try:
        with urllib.request.urlopen(f"http://{address}/cgi-bin/disk", timeout=WRITE_SECONDS) as answer:
            return bool(answer.read().strip() == b"written")
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class ServerWatch:
    """All that is asked of a server at ``address`` while something happens to what carries it."""

    address: str
    echo: Echo
    pings: Prober
    echoes: Prober
    writes: Prober

    def row(self, what: str, broken: int, begin: float, end: float, until: float) -> RestartRow:
        gaps = [prober.gap(begin, until) for prober in (self.pings, self.echoes, self.writes)]
        return RestartRow(what, end - begin, *gaps, self.echo.broken - broken)


@contextlib.contextmanager
def watching(address: str) -> Iterator[ServerWatch]:
    """Ask until the context ends. Raises ``TimeoutError`` where the server answers nothing from the start."""
    echo = Echo(address)
    pings, echoes = Prober(lambda: reach.ping(address) is not None), Prober(echo)
    writes = Prober(lambda: written(address))
    with probing(pings, echoes, writes):
        wait(lambda: bool(pings.answers and echoes.answers), f"{address} does not answer ping and echo", 30)
        wait(lambda: bool(writes.answers), f"{address} does not write to its disk", 30)
        yield ServerWatch(address, echo, pings, echoes, writes)


@contextlib.contextmanager
def probing(*probers: Prober) -> Iterator[None]:
    threads = [threading.Thread(target=prober.run, daemon=True) for prober in probers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for prober in probers:
            prober._ended.set()
        for thread in threads:
            thread.join(timeout=5)


def measure(site: Site, fleet: Fleet, address: str, chosen: tuple[str, ...] = ()) -> Iterator[RestartRow]:
    """Restart every container of the first node in turn. Raises ``TimeoutError`` when one does not become healthy."""
    node, connection = next(iter(fleet.connections.items()))
    containers = [
        one.name
        for one in site.placement.on(node)
        if site.catalogue.component(one.component)[1].kind == "container" and (not chosen or one.name in chosen)
    ]
    store = Store.of(site.region)
    scope = Scope((node,), resources=False)
    sealed = make_plan(site, store, Preview(Vault.open(site.folder), site.secrets), fleet, scope).sealed
    facts = store.facts(site.nodes)

    def healthy(name: str) -> bool:
        seen = fleet.look([node], sealed, facts, resources=False).observed[node].instances.get(name)
        return bool(seen and seen.healthy)

    with watching(address) as watch:
        for name in containers:
            broken, begin = watch.echo.broken, time.monotonic()
            connection.output(["systemctl", "restart", names.unit_name(name)])
            wait(lambda name=name: healthy(name), f"{name} does not become healthy", HEALTHY_SECONDS)  # type: ignore[misc]
            end = time.monotonic()
            time.sleep(AFTER)
            yield watch.row(name, broken, begin, end, time.monotonic())


def during(address: str, command: Sequence[str]) -> tuple[RestartRow, int]:
    """Run a command to its end; return what the users of a server noticed, and its exit code."""
    with watching(address) as watch:
        broken, begin = watch.echo.broken, time.monotonic()
        code = subprocess.run(command, check=False).returncode
        end = time.monotonic()
        time.sleep(AFTER)
        return watch.row(Path(command[0]).name, broken, begin, end, time.monotonic()), code


def wait(condition: Callable[[], bool], what: str, seconds: float) -> None:
    if not wait_for(condition, seconds, INTERVAL):
        raise TimeoutError(f"after {seconds:g} s: {what}")


def show(row: RestartRow) -> str:
    return f"{row.instance:28} {row.healthy:8.1f} {row.ping_gap:8.1f} {row.tcp_gap:8.1f} {row.disk_gap:8.1f} {row.broken:7}"


HEADER = f"{'container':28} {'healthy':>8} {'ping':>8} {'TCP':>8} {'disk':>8} {'broken':>7}"


def main() -> None:
    site = find_site(sys.argv[1])
    address = kept(Store.of(site.region).state).get("address", "")
    if not address:
        sys.exit("no server to look at: run scs-deploy smoke --keep")
    if sys.argv[2:3] == ["--during"]:
        with reach_nodes(site.region):
            row, code = during(address, sys.argv[3:])
        print(f"{HEADER.replace('healthy', 'lasted ')}\n{show(row)}", flush=True)
        sys.exit(code)
    print(f"Seconds after a restart of each container, seen by {address}\n{HEADER}")
    with reach_nodes(site.region) as fleet:
        for row in measure(site, fleet, address, tuple(sys.argv[2:])):
            print(show(row), flush=True)


if __name__ == "__main__":
    main()
