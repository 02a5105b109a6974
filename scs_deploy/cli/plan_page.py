"""A plan as one self-contained HTML page, to be reviewed in a change meeting: no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import datetime
from pathlib import Path

import jinja2

from scs_deploy.cli.common import printable
from scs_deploy.cli.plan_text import title
from scs_deploy.plan.plan import Plan, Step

_COLOURS = {"create": "create", "remove": "remove"}


def page(plan: Plan, made: datetime.datetime) -> str:
    """Return the page; what users notice comes first, then wave by wave each step with its diffs."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: printable(value) if isinstance(value, str) else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pauses = [(wave, step) for wave in plan.waves for step in wave.steps if step.interrupts]
    return environment.get_template("plan_page.html.j2").render(
        plan=plan, made=made.strftime("%Y-%m-%d %H:%M %Z"), pauses=pauses, title=title, colour=_colour
    )


def _colour(step: Step) -> str:
    return _COLOURS.get(step.action, "change")
