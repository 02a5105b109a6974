"""Results of a run as lines, as the README's table and as a plot."""

from __future__ import annotations

from collections.abc import Mapping

from nodes.meter import Cost

Results = Mapping[int, Mapping[str, Cost]]


def lines(nodes: int, costs: Mapping[str, Cost]) -> str:
    head = f"{nodes} nodes" + " " * 24 + "wall     CPU   CPU of the nodes"
    rows = [f"  {name:28} {one.wall:7.2f} {one.cpu:7.2f} {one.node:7.2f}" for name, one in costs.items()]
    return "\n".join([head, *rows])


def table(results: Results) -> str:
    return ""
