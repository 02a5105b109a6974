"""Results of a run as lines, as a page's table and as a plot."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.nodes.meter import Cost
from proofs import pages

Results = Mapping[int, Mapping[str, Cost]]

PING = "ansible -m ping"
SCRIPT = "bench/scale.py"
PLOT, KEPT = "scale.svg", "scale.json"
COLOURS = ("#7a7a7a", "#1f6fb4", "#d9481c", "#2a8a4a")


def lines(nodes: int, costs: Mapping[str, Cost]) -> str:
    """For the one who waits."""
    rows = [f"{nodes} nodes: seconds {'wall':>22} {'controller CPU':>16} {'CPU of the nodes':>18}"]
    rows += [f"  {name:26} {one.wall:8.2f} {one.cpu:16.2f} {one.node:18.2f}" for name, one in costs.items()]
    return "\n".join(rows)


def table(results: Results) -> str:
    """Markdown: per size wall and controller CPU seconds of each command, and how many times ping that is."""
    names = list(next(iter(results.values())))
    head = ["nodes", *(f"{name}: wall / CPU" for name in names)]
    rows = [head, ["---:"] * len(head)]
    for nodes, costs in results.items():
        rows.append([f"{nodes}", *(_cell(name, costs) for name in names)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(name: str, costs: Mapping[str, Cost]) -> str:
    one, ping = costs[name], costs[PING]
    text = f"{_seconds(one.wall)} / {_seconds(one.cpu)} s"
    if name == PING or (one.wall < ping.wall and one.cpu < ping.cpu):
        return text
    return f"{text} ({one.wall / ping.wall:.1f}× / {one.cpu / ping.cpu:.1f}×)"


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


# -- plot ------------------------------------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _PANEL, _LEFT, _TOP = 860, 360, 340, 60, 40


def plot(results: Results) -> str:
    """SVG with two panels, wall time and controller CPU over the number of nodes, both axes logarithmic."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
    ]
    for number, (key, title) in enumerate({"wall": "wall time", "cpu": "CPU of the controller"}.items()):
        parts += _panel(results, key, f"{title} in seconds, by number of nodes", _LEFT + number * (_PANEL + _LEFT + 10))
    return "\n".join([*parts, "</svg>", ""])


def _panel(results: Results, key: str, title: str, left: float) -> Iterator[str]:
    sizes, names = list(results), list(next(iter(results.values())))
    values = {name: [max(0.01, getattr(results[size][name], key)) for size in sizes] for name in names}
    across = _scale(sizes, left, left + _PANEL)
    every = [value for row in values.values() for value in row]
    floor = _TOP + 240.0
    up = _scale([10 ** math.floor(math.log10(min(every))), 10 ** math.ceil(math.log10(max(every)))], floor, _TOP)
    yield f'<text x="{left}" y="{_TOP - 16}" font-weight="bold">{title}</text>'
    for size in sizes:
        yield f'<text x="{across(size):.0f}" y="{floor + 18:.0f}" text-anchor="middle">{size}</text>'
    for power in range(math.floor(math.log10(min(every))), math.ceil(math.log10(max(every))) + 1):
        level = up(10**power)
        yield f'<path d="M{left} {level:.1f}h{_PANEL}" stroke="#ddd"/>'
        yield f'<text x="{left - 6}" y="{level + 4:.1f}" text-anchor="end">{10**power:g}</text>'
    for number, (name, row) in enumerate(values.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = [(across(size), up(value)) for size, value in zip(sizes, row, strict=True)]
        yield f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)
        yield f'<text x="{left + (number % 2) * 150}" y="{floor + 42 + number // 2 * 18:.0f}" fill="{colour}">● {name}</text>'


def _scale(values: Sequence[float], begin: float, end: float) -> _Logarithmic:
    return _Logarithmic(math.log(min(values)), math.log(max(values)), begin, end)


class _Logarithmic:
    """Maps values to places on an axis; a single value sits at its begin."""

    def __init__(self, least: float, most: float, begin: float, end: float) -> None:
        self._least, self._span, self._begin, self._end = least, most - least or 1.0, begin, end

    def __call__(self, value: float) -> float:
        return self._begin + (self._end - self._begin) * (math.log(value) - self._least) / self._span


# -- page ------------------------------------------------------------------------------------------------------------------


def replaced(text: str, results: Results, where: str) -> str:
    """The page with table and plot between their marks; raises ``ValueError`` when it has no marks."""
    return pages.replaced(text, SCRIPT, f"{table(results)}\n\n{where}\n\n![The same as a plot]({PLOT})")


def write(results: Results, where: str) -> None:
    """Put these sizes into the page's table and plot; other sizes stay as they were measured last."""
    kept_in, page = pages.FOLDER / KEPT, pages.page(SCRIPT)
    kept = json.loads(kept_in.read_text()) if kept_in.exists() else {}
    for nodes, costs in results.items():
        kept[str(nodes)] = {"where": where, "costs": {name: asdict(one) for name, one in costs.items()}}
    kept = dict(sorted(kept.items(), key=lambda pair: int(pair[0])))
    every = {int(nodes): {name: Cost(**one) for name, one in row["costs"].items()} for nodes, row in kept.items()}
    page.write_text(replaced(page.read_text(), every, told(kept)))
    (pages.FOLDER / PLOT).write_text(plot(every))
    kept_in.write_text(json.dumps(kept, indent=1) + "\n")


def told(kept: Mapping[str, Mapping[str, Any]]) -> str:
    """Where each size was measured; sizes of one run stand together."""
    runs: dict[str, list[str]] = {}
    for nodes, row in kept.items():
        runs.setdefault(row["where"], []).append(nodes)
    return "\n".join(f"{', '.join(sizes)} nodes: {where}." for where, sizes in runs.items())
