"""The order of a region: hosts, images, files, what is needed, resources, jobs, what waits for them; circles are named."""

from __future__ import annotations

import pytest

from proofs.world import ROLES, World
from scs_deploy.errors import InputError
from scs_deploy.plan import dependencies
from scs_deploy.plan.dependencies import Order


@pytest.fixture(scope="module")
def made() -> Order:
    return World().order


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (dependencies.component("ground-engine"), dependencies.IMAGES),
        (dependencies.IMAGES, dependencies.prepare("app")),
        (dependencies.prepare("app"), dependencies.component("app")),
        (dependencies.component("store"), dependencies.component("app")),
        (dependencies.component("front"), dependencies.component("app")),
        (dependencies.component("store"), dependencies.resources("app", "store")),
        (
            dependencies.component("store"),
            dependencies.resources("store", "store"),
        ),  # deletions, though it declares none itself
        (dependencies.resources("app", "store"), dependencies.job("app-sync")),
        (dependencies.prepare("app"), dependencies.job("app-sync")),
        (dependencies.job("app-sync"), dependencies.job("app-bootstrap")),
        (dependencies.job("app-bootstrap"), dependencies.component("app")),
        (dependencies.component("app"), dependencies.component("app-worker")),
    ],
)
def test_order_of_the_world(made: Order, before: str, after: str):
    assert before in made.predecessors(after)
    assert made.level[before] < made.level[after]


def test_what_another_node_needs_for_itself_is_its_own_business(made: Order):
    local, everywhere = made.needed(dependencies.component("app"))
    assert {
        dependencies.component("front"),
        dependencies.component("ground-clock"),
        dependencies.IMAGES,
        dependencies.prepare("app"),
    } <= local
    assert {
        dependencies.component("store"),
        dependencies.job("app-sync"),
        dependencies.resources("app", "store"),
    } <= everywhere
    assert dependencies.component("ground-clock") not in everywhere
    _, further = made.needed(dependencies.component("app-worker"))
    assert {dependencies.component("app"), dependencies.component("store")} <= further
    assert dependencies.component("front") not in further, "each app needs the one beside it"


def test_resources_of_an_owner_do_not_wait_for_themselves(made: Order):
    assert dependencies.resources("app", "store") not in made.predecessors(dependencies.component("store"))


def test_a_circle_is_named(tmp_path):
    for name, other in (("yin", "yang"), ("yang", "yin")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "service.yml").write_text(
            f"format: 1\nname: {name}\nsummary: x\ncomponents:\n"
            f"  {name}: {{kind: host, group: all, needs: [{{component: {other}}}]}}\n"
        )
    with pytest.raises(InputError, match=r"in a circle(.|\n)*yin(.|\n)*yang|in a circle(.|\n)*yang(.|\n)*yin"):
        _ = World(roles=(ROLES, tmp_path)).order


def test_what_an_owner_declares_itself_comes_before_what_others_want_of_it(tmp_path):
    for name, needs in (("aardvark", "needs: [{component: zebra}]"), ("zebra", "health: {}")):
        folder = tmp_path / name
        (folder / "resources").mkdir(parents=True)
        (folder / "resources/stripe.py").write_text("")
        owns = "owns: {component: zebra, kinds: [stripe]}\n" if name == "zebra" else ""
        (folder / "service.yml").write_text(
            f"format: 1\nname: {name}\nsummary: x\ncomponents:\n  {name}: {{kind: host, group: all, {needs}}}\n{owns}"
            f"resources: [{{kind: zebra.stripe, name: {name}}}]\n"
        )
    made = World(roles=(ROLES, tmp_path)).order
    assert dependencies.resources("zebra", "zebra") in made.predecessors(dependencies.resources("aardvark", "zebra"))
