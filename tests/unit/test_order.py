"""The order of a region: hosts, images, files, what is needed, resources, jobs, what waits for them; circles are named."""

from __future__ import annotations

import pytest
from world import ROLES, World

from scs_deploy import order
from scs_deploy.errors import InputError
from scs_deploy.order import Order


@pytest.fixture(scope="module")
def made() -> Order:
    return World().order


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (order.component("ground-engine"), order.IMAGES),
        (order.IMAGES, order.prepare("app")),
        (order.prepare("app"), order.component("app")),
        (order.component("store"), order.component("app")),
        (order.component("front"), order.component("app")),
        (order.component("store"), order.resources("app", "store")),
        (order.component("store"), order.resources("store", "store")),  # deletions, though it declares none itself
        (order.resources("app", "store"), order.job("app-sync")),
        (order.prepare("app"), order.job("app-sync")),
        (order.job("app-sync"), order.job("app-bootstrap")),
        (order.job("app-bootstrap"), order.component("app")),
        (order.component("app"), order.component("app-worker")),
    ],
)
def test_order_of_the_world(made: Order, before: str, after: str):
    assert before in made.predecessors(after)
    assert made.level[before] < made.level[after]


def test_what_another_node_needs_for_itself_is_its_own_business(made: Order):
    local, everywhere = made.needed(order.component("app"))
    assert {order.component("front"), order.component("ground-clock"), order.IMAGES, order.prepare("app")} <= local
    assert {order.component("store"), order.job("app-sync"), order.resources("app", "store")} <= everywhere
    assert order.component("ground-clock") not in everywhere
    _, further = made.needed(order.component("app-worker"))
    assert {order.component("app"), order.component("store")} <= further
    assert order.component("front") not in further, "each app needs the one beside it"


def test_resources_of_an_owner_do_not_wait_for_themselves(made: Order):
    assert order.resources("app", "store") not in made.predecessors(order.component("store"))


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
    assert order.resources("zebra", "zebra") in made.predecessors(order.resources("aardvark", "zebra"))
