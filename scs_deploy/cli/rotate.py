"""``secrets rotate``: new passwords in three phases, each of which is a plan that is shown and applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import typer
from rich.markup import escape

from scs_deploy.catalogue.service import Secret
from scs_deploy.cli import common
from scs_deploy.cli.change import ServiceOption, YesOption, carry_out, confirm, make, refused_error
from scs_deploy.cli.common import RegionOption, VaultOption
from scs_deploy.cli.plan_text import print_plan
from scs_deploy.errors import CHANGES_PENDING, DeployError
from scs_deploy.machine.locks import RegionLock
from scs_deploy.operations import rotate as rotation
from scs_deploy.operations.session import Observation, Session, unreachable_error
from scs_deploy.plan.plan import Plan
from scs_deploy.secrets import account_names, keys


def rotate(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Secrets; default: every password that can be rotated.", show_default=False),
    ] = None,
    region: RegionOption = None,
    service: ServiceOption = None,
    look: Annotated[
        bool,
        typer.Option("--plan", help=f"Only show what it takes; exits with {CHANGES_PENDING} when there is something."),
    ] = False,
    yes: YesOption = False,
    vault_password: VaultOption = None,
) -> None:
    """Give database, queue and identity users new passwords, without an outage.

    In three phases, each a plan that is shown and applied: the backend accepts new accounts beside the old ones; consumers take
    them, rolling; the old accounts go. Run again after an interruption, it goes on where it stopped. Keys that sign tokens are
    rotated when they are named: the staged one becomes the primary one, and tokens stay valid.

    Examples:  scs-deploy secrets rotate    scs-deploy secrets rotate nova-database    scs-deploy secrets rotate --service nova --plan
    """
    session = common.session(region, vault_password)
    with RegionLock(session.state, "secrets rotate"):
        going = account_names.under_way(session.vault.standings)
        if not going and (signing := rotation.keys(session, names or [])):
            _keys(session, signing, look=look, yes=yes)
            names = [name for name in names or [] if name not in signing]
            if not names:
                return
        if not going:
            chosen = _begin(session, names or [], service or [], look=look, yes=yes)
        else:
            chosen = _continued(session, names or [], service or [], tuple(going))
        asked = not going or yes
        while going := account_names.under_way(session.vault.standings):
            phase = min(going.values(), key=account_names.PHASES.index)
            _phase(session, phase, tuple(name for name in going if going[name] == phase), look=look, yes=asked)
            asked = True
    common.out.print(f"[bold]Rotated: {', '.join(chosen)}.[/bold] The previous values are accepted nowhere any more.")


def _begin(session: Session, names: list[str], services: list[str], *, look: bool, yes: bool) -> tuple[str, ...]:
    """Show what the whole rotation takes, and write the new values into the vault once that is agreed to."""
    plan, observation = _known(session)
    chosen = rotation.choose(session, observation.sealed.desired, names, services)
    _require_settled(plan)
    _require_current(session, observation, chosen, "nothing was rotated")
    fresh = rotation.begun(session, chosen)
    session.vault.change(lambda values: account_names.advance(account_names.begin(values, fresh), chosen), keep=False)
    rotation.require_names(session.desired(), chosen)
    if look or not yes:
        users = rotation.rotatable(observation.sealed.desired, session)
        for name in chosen:
            common.out.print(f"{escape(name)}: {escape(', '.join(users[name]))}")
        common.out.print("\nWhat it takes, until the old accounts are removed in the end:")
        preview, _ = make(session, [], purge=False)
        print_plan(common.out, replace(preview, notes=()))
    if look:
        raise typer.Exit(CHANGES_PENDING)
    confirm(yes, f"Rotate {len(chosen)} secret{'' if len(chosen) == 1 else 's'}?")
    session.vault.change(lambda values: account_names.begin(values, fresh))
    return chosen


def _keys(session: Session, signing: Mapping[str, Secret], *, look: bool, yes: bool) -> None:
    """Rotate keys: one plan, since every member has the key that becomes the primary one already."""
    plan, observation = _known(session)
    _require_settled(plan)
    _require_current(session, observation, tuple(signing), "nothing was rotated")
    session.vault.change(lambda values: keys.rotate(values, signing, session.vault.clock()), keep=False)
    common.out.print(
        f"\n[bold]Keys[/bold] ({', '.join(signing)}): the staged one becomes the primary one, the oldest goes"
    )
    print_plan(common.out, make(session, [], purge=False)[0], diffs=False)
    if look:
        raise typer.Exit(CHANGES_PENDING)
    confirm(yes, "Rotate these keys?")
    session.vault.change(lambda values: keys.rotate(values, signing, session.vault.clock()))
    plan, observation = _known(session)
    carry_out(session, plan, observation)
    common.out.print(f"[bold]Rotated: {', '.join(signing)}.[/bold] What the key before signed stays valid.")


def _require_settled(plan: Plan) -> None:
    if not plan.empty:
        print_plan(common.out, plan, diffs=False)
        raise DeployError(
            "other changes are pending; nothing was rotated",
            why="a rotation carries out only what belongs to it",
            fix="run scs-deploy apply first, then again",
        )


def _continued(session: Session, names: list[str], services: list[str], going: tuple[str, ...]) -> tuple[str, ...]:
    """Return the secrets whose rotation goes on; raises ``DeployError`` when others were asked for."""
    own = [
        name
        for one in services
        if one in session.catalogue.services
        for name in session.catalogue.services[one].secrets
    ]
    others = [name for name in names if name not in going]
    if others or (services and not set(own) & set(going)):
        raise DeployError(
            f"a rotation of {', '.join(going)} is under way",
            why="one is finished before the next begins",
            fix="run scs-deploy secrets rotate without names, then again with them",
        )
    common.out.print(f"Going on with {', '.join(going)}.")
    return going


def _phase(session: Session, phase: account_names.Phase, secrets: tuple[str, ...], *, look: bool, yes: bool) -> None:
    """Apply a phase, make sure that all hold what it says, and go on to the next one in the vault."""
    common.out.print(f"\n[bold]{account_names.title(phase).capitalize()}[/bold] ({', '.join(secrets)})")
    plan, observation = _known(session)
    print_plan(common.out, replace(plan, notes=()), diffs=False)
    if look:
        raise typer.Exit(CHANGES_PENDING)
    confirm(yes, "Go on with this?")
    if plan.empty:
        session.keep()
        session.remember(plan, observation.sealed, set())
    else:
        carry_out(session, plan, observation)
        _, observation = _known(session)
    _require_current(
        session, observation, secrets, f"the rotation stays in {account_names.title(phase).partition(':')[0]}"
    )
    session.vault.change(lambda values: account_names.advance(values, secrets))


def _known(session: Session) -> tuple[Plan, Observation]:
    """Plan, where all nodes can be looked at; raises ``DeployError`` else, and for what a node refuses."""
    plan, observation = make(session, [], purge=False)
    session.generated = []
    if plan.unknown:
        raise unreachable_error(plan.unknown)
    if plan.refused:
        raise refused_error(plan)
    return plan, observation


def _require_current(session: Session, observation: Observation, secrets: tuple[str, ...], stays: str) -> None:
    found = rotation.lagging(observation.sealed.desired, observation, secrets)
    if found:
        raise DeployError(
            f"not everybody has the values that the vault has; {stays}",
            why="; ".join(found[:10]) + (f"; and {len(found) - 10} more" if len(found) > 10 else ""),
            fix="repair that, apply, then run scs-deploy secrets rotate again: it goes on where it stopped",
        )
