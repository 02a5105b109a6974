"""A plan as text for people: waves, steps with their reasons, masked diffs, one summary line."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from scs_deploy.plan.plan import Change, Plan, Step

_SIGNS = {
    "create": ("+", "green"),
    "remove": ("-", "red"),
    "run": (">", "cyan"),
    "apply": ("=", "cyan"),
    "fetch": ("v", "cyan"),
}
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def print_plan(console: Console, plan: Plan, diffs: bool = True, summary: bool = True) -> None:
    """Print all waves, then what is unknown, then the summary."""
    refused = {step.id for step in plan.steps if step.refused}
    for wave in plan.waves:
        console.print(f"\n[bold]Wave {wave.number}[/bold] on {', '.join(wave.nodes)}")
        for step in wave.steps:
            _print_step(console, step, diffs, [need for need in step.needs if need in refused])
    for name, why in sorted(plan.unknown.items()):
        first = why.strip().splitlines()[0] if why.strip() else "no answer"
        console.print(f"\n[yellow]? {escape(name)}: unknown: {escape(first)}[/yellow]")
    for note in plan.notes:
        console.print(f"[dim]{escape(note)}[/dim]")
    if plan.waves:
        console.print()
    if summary:
        console.print(f"[bold]{escape(plan.summary())}[/bold]")


def title(step: Step) -> str:
    """``update n1/keystone``, ``run job keystone-db-sync on n1``."""
    if step.kind == "job":
        return f"run job {step.subject} on {step.node}"
    if step.kind == "resources":
        return f"set {len(step.operations)} {step.id.name}, from {step.node}"
    if step.kind == "image":
        return f"fetch image {step.subject} to {step.node}"
    verb = "write files of" if step.action == "prepare" else step.action
    return f"{verb} {step.node}/{step.subject}"


def _print_step(console: Console, step: Step, diffs: bool, waits: list[str]) -> None:
    sign, style = ("x", "red") if step.refused or waits else _SIGNS.get(step.action, ("~", "yellow"))
    effect = (
        " (restart)"
        if step.restart and step.action not in {"create", "restart"}
        else " (reload)"
        if step.reload
        else ""
    )
    console.print(f"  [{style}]{sign} {escape(title(step))}{effect}[/{style}]")
    for reason in step.reasons:
        console.print(f"      because: {escape(reason)}")
    if step.pause:
        console.print(f"      meanwhile: {escape(step.pause)}")
    if waits and not step.refused:
        console.print(f"      [red]waits for what is refused: {escape(', '.join(waits))}[/red]")
    for finding in step.refused:
        console.print(f"      [red]refused: {escape(finding.what)}[/red]")
        console.print(f"        why: {escape(finding.why)}\n        fix: {escape(finding.fix)}")
    for change in step.changes:
        _print_change(console, change, diffs and step.action not in {"create", "prepare"})


def _print_change(console: Console, change: Change, diffs: bool) -> None:
    console.print(f"      {escape(change.what)}: {escape(change.how)}")
    if diffs and change.diff:
        for line in change.diff.splitlines():
            style = _DIFF_STYLES.get(line[:1], "dim")
            console.print(f"        [{style}]{escape(line)}[/{style}]")
