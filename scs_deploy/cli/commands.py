"""Every command's name, module and one line of help; a module is imported only when a command of it is called.

So ``--version``, ``--help`` and the shell's completion of names do not wait for what only some commands need. A unit test compares
these lines with what the commands say of themselves.
"""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

COMMANDS = {
    "region": {
        "validate": "Check region.yml, the services and the placement; nothing is touched.",
        "show": "Show racks, networks, and which component runs where and why.",
        "schema": "Print the JSON Schema of region.yml, service settings included.",
    },
    "change": {
        "plan": "Show what apply would do: every file, restart, job and resource, with reasons. Changes no node.",
        "apply": "Carry out the difference between the region and its nodes, wave by wave.",
        "destroy": "Stop and remove everything that was deployed on the nodes; data stays unless --purge.",
    },
    "day2": {
        "status": "Show every instance: whether it is healthy, since when it runs, and what a plan would do to it.",
        "drift": "Look whether somebody changed what was applied: files, units, containers, users, endpoints. Changes nothing.",
        "logs": "Show the log of an instance, from its node's journal.",
        "exec": "Run a command inside the container of an instance.",
    },
    "preflight": {
        "preflight": "Look at the nodes and tell what would hinder a deployment: each finding with its cause and what to do.",
    },
    "credentials": {
        "credentials": "Write clouds.yaml and the CA's certificate for the openstack client; the file holds the administrator's password.",
        "prove": "Get a token over TLS as users do: from outside the nodes, at the public address, the certificate verified.",
    },
    "smoke": {
        "smoke": "Use the cloud as a plain user does, from outside the nodes: servers, networks, volumes, objects, load balancers.",
    },
}
"""Module of ``scs_deploy.cli``, which registers them -> command -> first paragraph of its help; in the order of ``--help``."""

GROUPS = {
    "secrets": "Generate, edit, show and rotate the secrets of a region.",
    "certs": "Show and renew the certificates of a region.",
    "image": "Build container images.",
    "lab": "A region on this one machine.",
    "cloud": "What a deployed cloud holds.",
}
"""Group of commands, and module whose ``app`` it is -> its help."""


class Commands(TyperGroup):
    """The program's commands: name and help from the tables above, the rest from its module once one is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for names in (*COMMANDS.values(), GROUPS):
            for name, text in names.items():
                self.add_command(_Named(name, help=text))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find what is to run, or whose options are to be completed: the one place where a listed command does not do."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, loaded(name) if name and isinstance(command, _Named) else command, rest


class _Named(TyperCommand):
    """Stands in a list for a command that is not loaded."""


def loaded(name: str) -> Any:
    """Return the command or group of this name, with its module imported."""
    app = typer.Typer(rich_markup_mode="rich")
    if name in GROUPS:
        app.add_typer(_module(name).app, name=name, help=GROUPS[name])
    else:
        _module(next(module for module, names in COMMANDS.items() if name in names)).register(app)
    return get_group(app).commands[name]


def _module(name: str) -> Any:
    return importlib.import_module(f"scs_deploy.cli.{name}")
