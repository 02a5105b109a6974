"""docs/measurements: scripts keep what they measured as JSON, and every page is made of that: ``python -m proofs.pages``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "measurements"
PING = "ansible -m ping"
MEMORY = "memory"

ABOUT = {
    "changes": """\
# Changes

`python -m proofs.changes --write` keeps this: what `plan` lists, what `apply` reports, and what the nodes themselves tell, one change after the other on a deployed
core. Files: every file of a node, listed before and after, outside service data, logs and the engine's store. Starts, stops and reloads of units and containers: the
journal. Whatever is more, less or other than planned is a difference. What was removed keeps its data unless `--purge` is given, which is checked too.""",
    "drift": """\
# Drift

`python -m proofs.drift --write` keeps this: what somebody does to a node by hand, what `scs-deploy drift` says of it (exit code 4, changing nothing, by the node's own
word), and what its repair by `apply` takes. More on drift, and how Prometheus learns of it: [drift.md](../drift.md).""",
    "kills": """\
# Kills

`python -m proofs.kills core --write` keeps this: a change of the five base services is interrupted at a seeded moment, then the same command is run again until it is
done. The end is that of an undisturbed run when both have the same [canonical digest](../state-digest.md); the columns in the middle say in which phase the kill came.
`python -m proofs.kills cloud --write` does the same to a whole cloud. What a service that was removed had kept is lost with a node that is replaced, so that end is
compared with an undisturbed run on a fresh node, which is in its seconds.""",
    "load": """\
# APIs under load

`python -m bench.load box --write` and `python -m bench.load box --endurance 60 --write` keep this. What a client does stands in the script. A load is named by its
clients.""",
    "scale": """\
# Scale

`python -m bench.scale --write` keeps this: nothing to do on N nodes, and one changed setting on all of them, beside `ansible -m ping` and plain ssh on the same nodes in
the same run. The nodes are simulated on the machine that also runs the controller: each has a root, a network and an sshd of its own, 25 containers that a recorded
engine tells of, and its own files, which are really hashed. Wall time / CPU of the controller, and how many times ping that is.""",
}
"""Name of a page -> its opening."""

Row = Sequence[str]


def kept(page: str) -> dict[str, Any]:
    """What was measured for a page so far; empty when nothing was."""
    path = FOLDER / f"{page}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def keep(page: str, found: Mapping[str, Any]) -> None:
    """Add to what was measured, or renew it, key by key; and make the page."""
    text = json.dumps({**kept(page), **found}, indent=1, ensure_ascii=False)
    (FOLDER / f"{page}.json").write_text(text + "\n", encoding="utf-8")
    make(page)


def make(page: str) -> None:
    (FOLDER / f"{page}.md").write_text(text(page), encoding="utf-8")


def text(page: str) -> str:
    """A page as Markdown."""
    return "\n\n".join([ABOUT[page], *BODIES.get(page, tables)(kept(page))]) + "\n"


def table(head: Row, rows: Sequence[Row], note: str) -> dict[str, Any]:
    """A table as it is kept; ``note``: what holds for all of it."""
    return {"head": head, "rows": rows, "note": note}


def merged(page: str, name: str, rows: Sequence[Row], order: Sequence[tuple[str, str]]) -> list[Row]:
    """Rows that are kept already, renewed by ``rows``: a row is known by its first two cells, which give the order."""
    old: Sequence[Row] = kept(page).get(name, {}).get("rows", [])
    known = {(row[0], row[1]): row for row in [*old, *rows]}
    return [known[key] for key in order if key in known]


def markdown(head: Row, rows: Sequence[Row]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


# -- what follows the opening of a page, by what is kept for it --------------------------------------------------------


def tables(found: Mapping[str, Any]) -> list[str]:
    return [part for one in found.values() for part in (markdown(one["head"], one["rows"]), one["note"]) if part]


def scale(found: Mapping[str, Any]) -> list[str]:
    """Number of nodes -> ``where`` it was measured and ``costs`` of each command in seconds, ``wall`` and ``cpu``."""
    sizes = sorted(found, key=int)
    names = list(found[sizes[0]]["costs"]) if sizes else []
    rows = [[size, *(_cost(name, found[size]["costs"]) for name in names)] for size in sizes]
    runs: dict[str, list[str]] = {}
    for size in sizes:
        runs.setdefault(found[size]["where"], []).append(size)
    where = "\n".join(f"{', '.join(own)} nodes: {where}." for where, own in runs.items())
    return [markdown(["nodes", *(f"{name}: wall / CPU" for name in names)], rows), where]


def _cost(name: str, costs: Mapping[str, Mapping[str, float]]) -> str:
    one, ping = costs[name], costs[PING]
    cell = f"{_seconds(one['wall'])} / {_seconds(one['cpu'])} s"
    if name == PING or (one["wall"] < ping["wall"] and one["cpu"] < ping["cpu"]):
        return cell
    return f"{cell} ({one['wall'] / ping['wall']:.1f}× / {one['cpu'] / ping['cpu']:.1f}×)"


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def load(found: Mapping[str, Any]) -> list[str]:
    """Name of a load -> its figures, of each API and in all; ``memory``: container -> processes and MB."""
    loads = {name: one for name, one in found.items() if name != MEMORY}
    totals = [
        (
            name,
            str(one["calls"]),
            f"{one['seconds']:.0f}",
            f"{one['per_second']:.1f}",
            str(len(one["failed"])),
            str(len(one["down"])),
        )
        for name, one in loads.items()
    ]
    apis = sorted({api for one in loads.values() for api in one["apis"]})
    cells = [(api, *(_rate(one["apis"].get(api)) for one in loads.values())) for api in apis]
    parts = [
        markdown(("load", "calls", "seconds", "calls a second", "kinds of failure", "taken out of service"), totals),
        "Of each API: calls a second, median and 99th percentile in seconds.",
        markdown(("API", *loads), cells),
    ]
    if MEMORY in found:
        rows = [
            (name, str(own["processes"]), f"{own['worker_mb']:.0f}", f"{own['other_mb']:.0f}")
            for name, own in sorted(found[MEMORY].items())
        ]
        parts += [
            "Memory of the API processes (PSS, MB): a worker, and master and router together.",
            markdown(("container", "workers", "a worker", "the others"), rows),
        ]
    return parts


def _rate(row: Mapping[str, float] | None) -> str:
    return f"{row['per_second']:.1f} / {row['p50']:.2f} / {row['p99']:.2f}" if row else ""


BODIES: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {"load": load, "scale": scale}

if __name__ == "__main__":
    for name in ABOUT:
        make(name)
