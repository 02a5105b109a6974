"""``scs-deploy image``: build the container images of a region from Debian packages, and list them."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.catalogue.release import load_release
from scs_deploy.cli.common import err, out
from scs_deploy.errors import InputError
from scs_deploy.images import guest, labels, layout, read_lock, write_lock
from scs_deploy.images.recipe import recipes
from scs_deploy.images.schedule import Event, Options, build
from scs_deploy.machine.engine import find_engine
from scs_deploy.machine.paths import inventories_search, roles_search
from scs_deploy.region.load import find_region, load_region

app = typer.Typer(
    name="image",
    help="Build container images from Debian packages.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
EXAMPLES = "[bold]Examples[/bold]\n\n"

Region = Annotated[
    str | None, typer.Option("--region", "-r", envvar="SCS_DEPLOY_REGION", help="Name or folder of the region")
]


class BuildProgress:
    """One line per finished image; on a terminal also what is being done right now, elsewhere a line per step."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._running: dict[str, tuple[str, float]] = {}
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

    def __call__(self, event: Event) -> None:
        """Called from the build's threads."""
        with self._lock:
            if event.kind == "step":
                self._running[event.image] = (event.text, time.monotonic() - event.seconds)
                if not self._console.is_terminal:
                    self._console.print(f"{event.image}: {escape(_short(event.text))}")
            elif event.kind == "warning":
                self._console.print(f"[yellow]warning[/yellow]: {escape(event.text)}")
            elif event.kind == "done":
                self._running.pop(event.image, None)
                self._console.print(f"[green]{event.image}[/green] built in {event.seconds:.1f} s")
            elif event.kind == "current":
                self._running.pop(event.image, None)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        with self._lock:
            for image, (step, began) in self._running.items():
                table.add_row(f"[cyan]{image}[/cyan]", f"{time.monotonic() - began:.0f} s", escape(_short(step)))
        return table


@app.command(
    name="build",
    epilog=f"{EXAMPLES}scs-deploy image build\n\nscs-deploy image build keystone --upgrade\n\n"
    "scs-deploy image build --release 2025.1",
)
def build_command(
    names: Annotated[list[str] | None, typer.Argument(help="Images; all of the catalogue when none is named")] = None,
    region: Region = None,
    release: Annotated[
        str, typer.Option("--release", help="Build for this release, without a region and its images.lock")
    ] = "",
    mirror: Annotated[str, typer.Option("--mirror", envvar="SCS_DEPLOY_MIRROR", help="Debian mirror to use")] = "",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Build anew what is up to date")] = False,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Build anew images for which the mirror has newer packages")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=16, help="Builds at the same time")] = 2,
) -> None:
    """Build what is not up to date, and write the region's images.lock."""
    began = time.monotonic()
    catalogue = load_catalogue(roles_search())
    folder = None
    if not release:
        folder = find_region(region, inventories_search())
        loaded = load_region(folder, catalogue)
        release = loaded.release
        mirror = mirror or next((node.mirror for node in loaded.nodes), "")
    options = Options(jobs=jobs, no_cache=no_cache, upgrade=upgrade, mirror=mirror)
    with BuildProgress(err) as progress:
        results = build(names or (), catalogue, load_release(release), progress=progress, options=options)
    count = sum(result.built for result in results.values())
    summary = f"{count} built, {len(results) - count} up to date in {time.monotonic() - began:.1f} s"
    if folder:
        changed = write_lock(folder, release, {name: result.image for name, result in results.items()})
        summary += f"; images.lock {'written' if changed else 'unchanged'}"
    out.print(summary)


@app.command(
    name="guest",
    epilog=f"{EXAMPLES}scs-deploy image guest\n\nscs-deploy image guest --out guest.raw --release 2025.1",
)
def guest_command(
    region: Region = None,
    release: Annotated[str, typer.Option("--release", help="Build for this release, without a region")] = "",
    mirror: Annotated[str, typer.Option("--mirror", envvar="SCS_DEPLOY_MIRROR", help="Debian mirror to use")] = "",
    copy: Annotated[Path | None, typer.Option("--out", "-o", help="Copy it to this file")] = None,
) -> None:
    """Build the small guest that scs-deploy smoke boots, a raw disk image; smoke does it by itself when it is missing."""
    began = time.monotonic()
    if not release:
        loaded = load_region(find_region(region, inventories_search()), load_catalogue(roles_search()))
        release = loaded.release
        mirror = mirror or next((node.mirror for node in loaded.nodes), "")
    with BuildProgress(err) as progress:
        found = guest.ensure(load_release(release), progress=progress, options=Options(mirror=mirror))
    path = Path(shutil.copy(found.path, copy)) if copy else found.path
    out.print(f"{escape(str(path))}: {found.size >> 20} MiB, sha256 {found.sha256}, {time.monotonic() - began:.1f} s")


@app.command(
    name="export",
    epilog=f"{EXAMPLES}scs-deploy image export /srv/images\n\n"
    "rsync --archive --delete /srv/images/ n1:/var/lib/scs-deploy/images/",
)
def export_command(
    folder: Annotated[Path, typer.Argument(help="Made when it is not there", file_okay=False)],
    region: Region = None,
) -> None:
    """Write the region's images to a folder, an OCI layout: nodes load what they lack from /var/lib/scs-deploy/images.

    Only what is missing there is written, each layer once; what is stale is removed. A lab needs none of this.
    """
    began = time.monotonic()
    lock = read_lock(find_region(region, inventories_search()))
    wanted = [image.id for image in lock.images.values()]
    added = layout.export(folder, lock, wanted, lambda name: err.print(escape(name)))
    out.print(f"{added} written, {len(wanted) - added} were there, in {time.monotonic() - began:.1f} s")


@app.command(name="list", epilog=f"{EXAMPLES}scs-deploy image list\n\nscs-deploy image list --json")
def list_command(
    region: Region = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs")] = False,
) -> None:
    """List the images of a region: locked, and present in this machine's store."""
    catalogue = load_catalogue(roles_search())
    folder = find_region(region, inventories_search())
    release = load_release(load_region(folder, catalogue).release)
    try:
        locked = read_lock(folder).images
    except InputError:
        if (folder / "images.lock").exists():
            raise
        locked = {}
    stored = {
        image.id: image.labels.get(labels.CREATED, image.created) for image in find_engine().images(labels.RECIPE)
    }
    rows = []
    for name, recipe in recipes(catalogue, release).items():
        image = locked.get(name)
        state = "not built" if image is None else "ready" if image.id in stored else "missing"
        rows.append(
            {
                "name": name,
                "parent": recipe.parent,
                "suite": recipe.suite,
                "state": state,
                "id": image.id if image else "",
                "packages": len(image.packages) if image else 0,
                "created": stored.get(image.id, "") if image else "",
            }
        )
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("image", "parent", "suite", "state", "id", "packages", "created"):
        table.add_column(title)
    for row in rows:
        table.add_row(*(str(value)[:12] if key == "id" else str(value) for key, value in row.items()))
    out.print(table)


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."
