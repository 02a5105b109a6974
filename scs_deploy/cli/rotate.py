"""``secrets rotate``: new passwords in three phases, each of which is a plan that is shown and applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Annotated

import typer
from rich.markup import escape

from scs_deploy.catalogue.service import Secret
from scs_deploy.cli import common
from scs_deploy.cli.change import ServiceOption, YesOption, carry_out, confirm
from scs_deploy.cli.change import look as look_at
from scs_deploy.cli.common import RegionOption, VaultOption
from scs_deploy.cli.plan_text import print_plan
from scs_deploy.errors import CHANGES_PENDING
from scs_deploy.nodes.fleet import Fleet
from scs_deploy.operations import rotate as rotate_
from scs_deploy.operations.apply import nothing_to_do
from scs_deploy.operations.plan import Planned
from scs_deploy.operations.reach import reach
from scs_deploy.operations.site import Site
from scs_deploy.operations.store import Store
from scs_deploy.secrets import Preview, Vault, account_names


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
    site = common.site(region)
    store, vault = Store.of(site.region), Vault.open(site.folder, vault_password, new=True)
    with store.lock("secrets rotate"), reach(site.region) as fleet:
        rotation = _Rotation(site, store, vault, fleet, look=look, yes=yes)
        going = account_names.under_way(vault.standings)
        if not going and (signing := rotate_.keys(site, vault, names or [])):
            rotation.keys(signing)
            names = [name for name in names or [] if name not in signing]
            if not names:
                return
        if going:
            chosen = rotate_.going_on(site, tuple(going), names or [], service or [])
            common.out.print(f"Going on with {', '.join(chosen)}.")
        else:
            chosen = rotation.begin(names or [], service or [])
        asked = not going or yes
        while going := account_names.under_way(vault.standings):
            phase = min(going.values(), key=account_names.PHASES.index)
            rotation.phase(phase, tuple(name for name in going if going[name] == phase), asked=asked)
            asked = True
    common.out.print(f"[bold]Rotated: {', '.join(chosen)}.[/bold] The previous values are accepted nowhere any more.")


@dataclass(frozen=True, slots=True)
class _Rotation:
    """``look``: only show; ``yes``: do not ask."""

    site: Site
    store: Store
    vault: Vault
    fleet: Fleet
    _: KW_ONLY
    look: bool
    yes: bool

    def begin(self, names: list[str], services: list[str]) -> tuple[str, ...]:
        """Show what the whole rotation takes, and write the new values into the vault once that is agreed to."""
        planned = self._known()
        chosen = rotate_.choose(self.site, planned.sealed.desired, names, services)
        _require_settled(planned)
        rotation = rotate_.prepare(self.site, self.store, self.vault, planned, chosen)
        if self.look or not self.yes:
            for name, users in rotation.users.items():
                common.out.print(f"{escape(name)}: {escape(', '.join(users))}")
            common.out.print("\nWhat it takes, until the old accounts are removed in the end:")
            print_plan(common.out, replace(self._plan(rotation.preview).plan, notes=()))
        if self.look:
            raise typer.Exit(CHANGES_PENDING)
        confirm(self.yes, f"Rotate {len(chosen)} secret{'' if len(chosen) == 1 else 's'}?")
        rotate_.begin(self.vault, rotation)
        return chosen

    def keys(self, signing: Mapping[str, Secret]) -> None:
        """Rotate keys: one plan, since every member has the key that becomes the primary one already."""
        planned = self._known()
        _require_settled(planned)
        preview = rotate_.prepare_keys(self.site, self.vault, planned, signing)
        common.out.print(
            f"\n[bold]Keys[/bold] ({', '.join(signing)}): the staged one becomes the primary one, the oldest goes"
        )
        print_plan(common.out, self._plan(preview).plan, diffs=False)
        if self.look:
            raise typer.Exit(CHANGES_PENDING)
        confirm(self.yes, "Rotate these keys?")
        rotate_.replace_keys(self.vault, signing)
        carry_out(self.site, self.store, self.vault, self.fleet, self._known())
        common.out.print(f"[bold]Rotated: {', '.join(signing)}.[/bold] What the key before signed stays valid.")

    def phase(self, phase: account_names.Phase, secrets: tuple[str, ...], *, asked: bool) -> None:
        """Apply a phase, make sure that all hold what it says, and go on to the next one in the vault."""
        common.out.print(f"\n[bold]{account_names.title(phase).capitalize()}[/bold] ({', '.join(secrets)})")
        planned = self._known()
        print_plan(common.out, replace(planned.plan, notes=()), diffs=False)
        if self.look:
            raise typer.Exit(CHANGES_PENDING)
        confirm(asked, "Go on with this?")
        if planned.plan.empty:
            nothing_to_do(self.site, self.store, self.vault, planned)
        else:
            carry_out(self.site, self.store, self.vault, self.fleet, planned)
            planned = self._known()
        rotate_.advance(self.vault, planned, phase, secrets)

    def _plan(self, preview: Preview) -> Planned:
        return look_at(self.site, self.store, preview, self.fleet)

    def _known(self) -> Planned:
        planned = self._plan(Preview(self.vault, self.site.secrets))
        rotate_.require_known(planned.plan)
        return planned


def _require_settled(planned: Planned) -> None:
    if not planned.plan.empty:
        print_plan(common.out, planned.plan, diffs=False)
    rotate_.require_settled(planned.plan)
