"""The schedule of builds: parents first, in parallel, cached, with a fake store."""

import threading
from pathlib import Path

import pytest

from scs_deploy.catalogue.release import load_release
from scs_deploy.errors import DeployError
from scs_deploy.images import labels
from scs_deploy.images import schedule as module
from scs_deploy.images.builder import Builder, process_mark
from scs_deploy.images.lock import LockedImage
from scs_deploy.images.recipe import Recipe
from scs_deploy.images.schedule import BuildResult, Options, build_recipes
from scs_deploy.machine.engine import EngineProgram, StoredImage

RELEASE = load_release("2025.1")
CHAIN = {
    "debian": Recipe("debian", ""),
    "base": Recipe("base", "debian", ("ca-certificates",)),
    "a": Recipe("a", "base", ("a",)),
    "b": Recipe("b", "base", ("b",)),
    "c": Recipe("c", "a", ("c",)),
}


class Store(EngineProgram):
    """An engine whose store is a dict; Builder.make of the test puts images into it."""

    stored: dict[str, StoredImage]
    tags: list[tuple[str, str]]

    def images(self, label: str = "") -> tuple[StoredImage, ...]:
        return tuple(self.stored.values())

    def run(self, args, **options):  # type: ignore[no-untyped-def,override]
        if args[0] == "tag":
            self.tags.append((args[1], args[2]))


class World:
    def __init__(self) -> None:
        self.engine = Store("podman", "/bin/false")
        object.__setattr__(self.engine, "stored", {})
        object.__setattr__(self.engine, "tags", [])
        self.made: list[str] = []
        self.broken: set[str] = set()
        self.lock = threading.Lock()

    def make(self, builder: Builder, recipe: Recipe, parent_id: str, digest: str, slot: int, on_step) -> LockedImage:  # type: ignore[no-untyped-def]
        if recipe.name in self.broken:
            raise DeployError(f"image {recipe.name} failed")
        with self.lock:
            self.made.append(recipe.name)
            image_id = f"{recipe.name}-{len(self.made)}"
            reference = f"localhost/scs-deploy/{recipe.name}:2025.1"
            put = {labels.IMAGE: recipe.name, labels.RECIPE: digest, labels.CREATED: f"{len(self.made):03}"}
            self.engine.stored[image_id] = StoredImage(image_id, (reference,), put, "")
        return LockedImage.of(image_id, reference, {})

    def build(self, recipes: dict[str, Recipe] | None = None, **options: object) -> dict[str, BuildResult]:
        self.made.clear()
        return build_recipes(recipes or CHAIN, RELEASE, options=Options(**options), engine=self.engine)  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setenv("SCS_DEPLOY_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(module, "sweep", lambda engine: None)
    monkeypatch.setattr(module, "usable_sources", lambda *args, **kwargs: ())
    monkeypatch.setattr(module, "packages_of", lambda *args: {})
    monkeypatch.setattr(Builder, "make", lambda builder, *args: made.make(builder, *args))
    monkeypatch.setattr(Builder, "stop", lambda builder: None)
    return made


def test_everything_is_built_once_parents_first_and_then_nothing(world: World) -> None:
    first = world.build()
    assert sorted(world.made) == sorted(CHAIN)
    assert world.made.index("base") < world.made.index("a") < world.made.index("c")
    assert all(result.built for result in first.values())
    again = world.build()
    assert world.made == []
    assert {name: result.image.id for name, result in again.items()} == {
        name: result.image.id for name, result in first.items()
    }


def test_a_changed_recipe_builds_it_and_what_stands_on_it(world: World) -> None:
    world.build()
    world.build({**CHAIN, "a": Recipe("a", "base", ("a", "more"))})
    assert world.made == ["a", "c"]


def test_an_older_recipe_finds_its_image_again_and_gets_the_tag(world: World) -> None:
    old = world.build()["b"].image.id
    world.build({**CHAIN, "b": Recipe("b", "base", ("new",))})
    object.__setattr__(world.engine.stored[old], "references", ())
    assert world.build()["b"].image.id == old
    assert world.made == []
    assert world.engine.tags == [(old, "localhost/scs-deploy/b:2025.1")]


def test_no_cache_builds_all_of_them_anew(world: World) -> None:
    world.build()
    world.build(no_cache=True)
    assert sorted(world.made) == sorted(CHAIN)


def test_upgrade_builds_what_has_newer_packages_and_what_stands_on_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.build()
    monkeypatch.setattr(Builder, "outdated", lambda builder, recipe, *args: recipe.name == "a")
    world.build(upgrade=True)
    assert world.made == ["a", "c"]


def test_a_failure_is_raised_finished_images_stay_and_dependants_never_start(world: World) -> None:
    world.broken = {"a"}
    with pytest.raises(DeployError, match="image a failed"):
        world.build(jobs=1)
    assert "c" not in world.made
    world.broken = set()
    kept = {"debian", "base"}
    world.build()
    assert not kept & set(world.made)


def test_a_process_is_named_beyond_the_reuse_of_its_number() -> None:
    import os

    mark = process_mark(os.getpid())
    assert mark.startswith(f"{os.getpid()}-")
    assert mark == process_mark(os.getpid())
    assert process_mark(2**22 + 1) == ""
