"""Live progress of an apply: a table that updates on a terminal, one plain line per event elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from scs_deploy.cli.common import duration
from scs_deploy.cli.plan_text import title
from scs_deploy.plan.plan import Plan

_STYLES = {"ok": "green", "failed": "red", "unreachable": "red", "blocked": "yellow", "running": "cyan"}


class ApplyProgress:
    """Listens to the event log; a context manager so that the terminal is always restored."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self._console, self._plan = console, plan
        self._titles = {step.id: title(step) for step in plan.steps}
        self._started = time.monotonic()
        self._wave_started = self._started
        self._wave = ""
        self._told: set[str] = set()
        self._nodes: dict[str, str] = {}
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        name = event["event"]
        if name == "wave":
            self._wave_started = time.monotonic()
            first, last, total = event["number"], event["last"], len(self._plan.waves)
            self._wave = f"wave {first}/{total}" if first == last else f"waves {first}-{last}/{total}"
            self._nodes = dict.fromkeys(event["nodes"], "running")
            count = len(event["steps"])
            self._say(
                f"[bold]{self._wave}[/bold]: {count} step{'s' if count != 1 else ''} on {', '.join(event['nodes'])}"
            )
        elif name == "export":
            self._say(f"image {escape(event['image'])} for nodes that do not see this machine's store")
        elif name == "node":
            self._nodes[event["node"]] = event["state"]
        elif name == "told" or (name == "step" and event["id"] not in self._told):
            self._step(event)

    def _step(self, event: dict[str, Any]) -> None:
        self._told.add(event["id"])
        status = event["status"]
        style = _STYLES.get(status, "white")
        text = self._titles.get(event["id"], event["id"])
        seconds = f" {duration(event['seconds'])}" if event.get("seconds") else ""
        by = f" (by {', '.join(event['by'])})" if event.get("by") else ""
        self._say(f"  [{style}]{escape(status):8}[/{style}] {escape(text)}{seconds}{escape(by)}")

    def _say(self, text: str) -> None:
        elapsed = duration(time.monotonic() - self._started)
        self._console.print(f"[dim]{elapsed:>9}[/dim]  {text}")

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        table.add_row(
            f"[bold]{self._wave or 'starting'}[/bold]",
            duration(now - self._wave_started),
            f"in all {duration(now - self._started)}",
        )
        for node, state in list(self._nodes.items())[:20]:
            style = _STYLES.get(state, "white")
            table.add_row(f"  {node}", f"[{style}]{state}[/{style}]", "")
        return table
