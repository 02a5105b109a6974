"""A deployed cloud under load: clients at work on all its APIs, more and more of them, and once beside programs that use the CPUs.

Usage: python -m bench.load [REGION] [--clients 1 2 4 8 16] [--seconds 60] [--beside 4] [--write]
       python -m bench.load [REGION] --endurance MINUTES [--write]

Each client goes round: a token, a list of each API, a network, a port and a security group made and deleted, a volume made and deleted; one of
them also makes and deletes servers. Nothing is asked twice. The exit code is 1 when an answer was 5xx or none, something went into ERROR, or the
load balancer took a service out. ``--beside N``: N clients once more beside two processes that do nothing but run.
``--endurance``: one client with pauses of every length up to ``LONGEST`` seconds, so that connections of every age are used.
``--write`` keeps the figures, and makes the page of all that are kept.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.clients import Call, Crowd
from proofs import pages
from scs_deploy.catalogue.release import load_release
from scs_deploy.cloud import credentials
from scs_deploy.cloud.access import Access
from scs_deploy.images import guest
from scs_deploy.nodes.fleet import Fleet
from scs_deploy.operations.reach import reach
from scs_deploy.operations.site import Site, find_site
from scs_deploy.secrets import Vault

HOGS = 2
LONGEST = 330.0
"""Seconds; connections to the database are renewed at 280."""

MEMORY = Path(__file__).parent / "nodes" / "memory.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("region", nargs="?", default="box")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 2, 4, 8, 16])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--beside", type=int, default=4)
    parser.add_argument("--endurance", type=float, default=0)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    site = find_site(chosen.region)
    found: dict[str, Any] = {}
    try:
        with reach(site.region) as fleet, crowd(site, say) as made:
            for name, result in loads(site, fleet, made, chosen):
                found[name] = result
                print(shown(name, result), flush=True)
                if chosen.write:
                    pages.keep("load", {name: result, pages.MEMORY: memory(fleet)})
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(int(any(one["failed"] or one["down"] for one in found.values())))


def loads(site: Site, fleet: Fleet, made: Crowd, chosen: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    if chosen.endurance:
        pauses = random.Random(0)  # noqa: S311 - lengths of pauses
        with watched(site, fleet) as result:
            calls = made.run(1, chosen.endurance * 60, lambda: pause(pauses))
            result.update(summary(calls))
        yield "endurance", result
        return
    for clients in chosen.clients:
        with watched(site, fleet) as result:
            result.update(summary(made.run(clients, chosen.seconds)))
        yield f"{clients}", result
    if chosen.beside:
        with hogs(chosen.seconds + 600), watched(site, fleet) as result:
            result.update(summary(made.run(chosen.beside, chosen.seconds)))
        yield f"{chosen.beside} beside {HOGS} hogs", result


def pause(chance: random.Random) -> float:
    """Seconds: mostly none, so that a circle of calls goes on, and now and then one of any length."""
    return chance.uniform(0, LONGEST) if chance.random() < 0.02 else 0.0


@contextlib.contextmanager
def crowd(site: Site, tell: Callable[[str], None]) -> Iterator[Crowd]:
    """Clients in a project of their own, as long as the context lasts."""
    login = credentials.login(site.region, site.catalogue, Vault.open(site.folder))
    with Access(site.region, login) as access:
        release = load_release(site.region.release)
        made = Crowd(site, access, lambda: guest.ensure(release).path, tell)
        with made.project():
            yield made


@contextlib.contextmanager
def hogs(seconds: float) -> Iterator[None]:
    """Two processes that keep a CPU busy each; they end by themselves if nobody ends them."""
    program = f"import time; end = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"
    started = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(HOGS)]
    try:
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()


@contextlib.contextmanager
def watched(site: Site, fleet: Fleet) -> Iterator[dict[str, Any]]:
    """What load balancers took out of service meanwhile: ``down`` of the result."""
    result: dict[str, Any] = {}
    began = time.time()
    yield result
    result["down"] = [
        line for line in balancer_log(site, fleet, began) if " is DOWN" in line and "[WARNING]" not in line
    ]


def balancer_log(site: Site, fleet: Fleet, since: float) -> list[str]:
    lines: list[str] = []
    for placed in site.placement.placed:
        if placed.component == "haproxy":
            argv = ["journalctl", "-u", "haproxy.service", "--output=cat", f"--since=@{int(since)}"]
            lines += fleet.connections[placed.node].output(argv).splitlines()
    return lines


def summary(calls: Sequence[Call]) -> dict[str, Any]:
    """Figures of one load, by API; ``failed``: what was answered with 5xx, not at all, or with something else than success."""
    rows: dict[str, Any] = {}
    by_api: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_api[call.api].append(call)
    span = max(call.began + call.seconds for call in calls) - min(call.began for call in calls)
    for api, own in sorted(by_api.items()):
        took = sorted(call.seconds for call in own)
        rows[api] = {
            "calls": len(own),
            "per_second": round(len(own) / span, 2),
            "p50": round(statistics.median(took), 3),
            "p99": round(took[min(len(took) - 1, int(len(took) * 0.99))], 3),
        }
    bad = Counter(f"{call.api} {call.name}: {call.status} {call.words}" for call in calls if not call.good)
    return {
        "calls": len(calls),
        "seconds": round(span, 1),
        "per_second": round(len(calls) / span, 2),
        "apis": rows,
        "failed": [f"{count} × {what}" for what, count in bad.most_common(20)],
    }


def memory(fleet: Fleet) -> dict[str, Any]:
    """Processes of each API and their memory in MB (PSS), summed over the first node that has it."""
    found: dict[str, Any] = {}
    for connection in fleet.connections.values():
        answer = json.loads(connection.output(["python3", "-c", MEMORY.read_text(encoding="utf-8")]))
        found = {**answer, **found}
    return found


def shown(name: str, result: dict[str, Any]) -> str:
    rows = [
        (api, str(row["calls"]), f"{row['per_second']:.2f}", f"{row['p50']:.2f}", f"{row['p99']:.2f}")
        for api, row in result["apis"].items()
    ]
    lines = [f"{name}: {result['calls']} calls in {result['seconds']} s, {result['per_second']} a second"]
    lines += [f"  {api:16} {calls:>6} {rate:>8} {half:>8} {most:>8}" for api, calls, rate, half, most in rows]
    return "\n".join([*lines, *(f"  failed: {text}" for text in result["failed"]), *result["down"]])


def say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
