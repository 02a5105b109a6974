"""Builds what is not up to date: parents first, two at a time, nothing twice, nothing half."""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Literal

from scs_deploy.catalogue import names
from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.catalogue.release import Release
from scs_deploy.images import labels
from scs_deploy.images.builder import Builder, packages_of, sweep
from scs_deploy.images.lock import LockedImage
from scs_deploy.images.mirror import proxies, usable_sources
from scs_deploy.images.recipe import HasServices, Recipe, layers, recipes, with_parents
from scs_deploy.machine.engine import EngineProgram, StoredImage, find_engine
from scs_deploy.machine.locks import locked
from scs_deploy.machine.paths import cache_dir, roles_search


@dataclass(frozen=True, slots=True)
class Event:
    """Something to show; ``seconds`` since the image's build began."""

    image: str
    kind: Literal["start", "step", "done", "current", "warning"]
    text: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class BuildResult:
    """One image after a build; ``built`` is False when it was up to date."""

    image: LockedImage
    built: bool
    seconds: float = 0.0


OnEvent = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Options:
    """``no_cache`` builds everything anew, ``upgrade`` what has newer packages on the mirror."""

    jobs: int = 2
    no_cache: bool = False
    upgrade: bool = False
    mirror: str = ""


def silent(event: Event) -> None:
    """The progress of a caller who wants none."""


def build(
    images: Sequence[str],
    catalogue: HasServices,
    release: Release,
    *,
    progress: OnEvent = silent,
    options: Options | None = None,
    engine: EngineProgram | None = None,
) -> dict[str, BuildResult]:
    """Bring the named images (all when none is named) and their layers up to date.

    Raises InputError for unknown names, DeployError for the first image that fails (finished ones are kept), Interrupted.
    """
    known = recipes(catalogue, release)
    return build_recipes(
        with_parents(images, known), release, progress=progress, options=options or Options(), engine=engine
    )


def build_recipe(
    recipe: Recipe,
    release: Release,
    *,
    progress: OnEvent = silent,
    options: Options | None = None,
    engine: EngineProgram | None = None,
) -> LockedImage:
    """One image outside the catalogue, such as a lab node's, on one of the shared layers (debian, base, openstack)."""
    below = with_parents([recipe.parent], _shared_layers(release)) if recipe.parent else {}
    needed = {**below, recipe.name: recipe}
    found = build_recipes(needed, release, progress=progress, options=options or Options(), engine=engine)
    return found[recipe.name].image


def build_recipes(
    wanted: Mapping[str, Recipe],
    release: Release,
    *,
    progress: OnEvent = silent,
    options: Options,
    engine: EngineProgram | None = None,
) -> dict[str, BuildResult]:
    """Bring exactly these up to date; every parent must be among them."""
    engine = engine or find_engine()
    cache = cache_dir()
    if not (options.no_cache or options.upgrade):
        current = _current(wanted, release, engine)
        if len(current) == len(wanted):
            return _all_current(current, release, engine, cache, progress)
    waiting = Event("", "warning", "another image build is running: waiting for it")
    with locked(cache / "build.lock", lambda: progress(waiting)):
        sweep(engine)
        # Somebody else may have built them while we waited.
        current = {} if options.no_cache else _current(wanted, release, engine)
        if len(current) == len(wanted) and not options.upgrade:
            return _all_current(current, release, engine, cache, progress)
        return _build_missing(wanted, current, release, engine, cache, progress, options)


def _build_missing(
    wanted: Mapping[str, Recipe],
    current: Mapping[str, str],
    release: Release,
    engine: EngineProgram,
    cache: Path,
    progress: OnEvent,
    options: Options,
) -> dict[str, BuildResult]:
    sources = {
        suite: usable_sources(
            options.mirror or release.mirror,
            suite,
            security=release.security,
            warn=lambda text: progress(Event("", "warning", text)),
        )
        for suite in {recipe.suite for name, recipe in wanted.items() if options.upgrade or name not in current}
    }
    builder = Builder(engine, release, cache, sources, proxies())
    slots: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(options.jobs):
        slots.put(number)
    results: dict[str, BuildResult] = {}

    def work(recipe: Recipe) -> BuildResult:
        parent_id = results[recipe.parent].image.id if recipe.parent else ""
        existing = current.get(recipe.name, "")
        # A parent that was built anew makes the image stale too.
        stale = bool(recipe.parent) and results[recipe.parent].built
        slot = slots.get()
        try:
            began = time.monotonic()

            def on_step(text: str) -> None:
                progress(Event(recipe.name, "step", text, time.monotonic() - began))

            if existing and not stale and not (options.upgrade and builder.outdated(recipe, existing, slot, on_step)):
                progress(Event(recipe.name, "current"))
                return _result(recipe.name, existing, release, engine, cache)
            progress(Event(recipe.name, "start"))
            image = builder.make(recipe, parent_id, recipe.digest(parent_id), slot, on_step)
            seconds = time.monotonic() - began
            progress(Event(recipe.name, "done", seconds=seconds))
            return BuildResult(image, True, seconds)
        finally:
            slots.put(slot)

    pool = ThreadPoolExecutor(options.jobs, thread_name_prefix="image")
    try:
        _parents_first(wanted, pool, work, results)
    except BaseException:  # Ctrl-C too: whatever ends the build ends its containers
        builder.stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return results


def _parents_first(
    wanted: Mapping[str, Recipe],
    pool: ThreadPoolExecutor,
    work: Callable[[Recipe], BuildResult],
    results: dict[str, BuildResult],
) -> None:
    """Start whatever has its parent; after a failure nothing new, and the failure is raised once the others ended."""
    order = TopologicalSorter({name: {recipe.parent} if recipe.parent else set() for name, recipe in wanted.items()})
    order.prepare()
    above = Counter(recipe.parent for recipe in wanted.values())
    running: dict[Future[BuildResult], str] = {}
    failed: Future[BuildResult] | None = None
    while order.is_active() and (running or not failed):
        if not failed:
            running |= {
                pool.submit(work, wanted[name]): name
                for name in sorted(order.get_ready(), key=lambda name: above[name], reverse=True)
            }
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            name = running.pop(future)
            if future.exception():
                failed = failed or future
                for waiting in running:
                    waiting.cancel()
                running = {waiting: name for waiting, name in running.items() if not waiting.cancelled()}
            else:
                results[name] = future.result()
                order.done(name)
    if failed:
        failed.result()


def _current(wanted: Mapping[str, Recipe], release: Release, engine: EngineProgram) -> dict[str, str]:
    """Image IDs of the recipes whose image is in the store, by digest, so that two checkouts do not fight over a tag."""
    stored: dict[tuple[str, str], StoredImage] = {}
    for image in sorted(engine.images(labels.RECIPE), key=lambda image: image.labels.get(labels.CREATED, "")):
        stored[(image.labels.get(labels.IMAGE, ""), image.labels[labels.RECIPE])] = image
    found: dict[str, str] = {}
    for name, recipe in wanted.items():
        if recipe.parent and recipe.parent not in found:
            continue
        match = stored.get((name, recipe.digest(found.get(recipe.parent, ""))))
        if match is None:
            continue
        reference = names.image_reference(name, release.name)
        if reference not in match.references:
            engine.run(["tag", match.id, reference])
        found[name] = match.id
    return found


def _all_current(
    current: Mapping[str, str], release: Release, engine: EngineProgram, cache: Path, progress: OnEvent
) -> dict[str, BuildResult]:
    for name in current:
        progress(Event(name, "current"))
    return {name: _result(name, image_id, release, engine, cache) for name, image_id in current.items()}


def _result(name: str, image_id: str, release: Release, engine: EngineProgram, cache: Path) -> BuildResult:
    packages = packages_of(engine, cache, image_id)
    reference = names.image_reference(name, release.name)
    return BuildResult(LockedImage.of(image_id, reference, packages), built=False)


def _shared_layers(release: Release) -> dict[str, Recipe]:
    users = load_catalogue(roles_search()).users
    return {layer.name: layer for layer in layers("openstack", release.suite, release, users)}
