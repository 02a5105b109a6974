"""Recipes of images: what a service's packages become, and what a cache key depends on."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from scs_deploy.catalogue.release import Release, load_release
from scs_deploy.catalogue.service import ContainerComponent, Image, Service
from scs_deploy.catalogue.users import UserTable, system_users
from scs_deploy.errors import InputError
from scs_deploy.images.mirror import usable_sources
from scs_deploy.images.recipe import Recipe, account_lines, base_files, recipes, with_parents
from scs_deploy.images.script import PACKAGES, STEP, build_script, sources

RELEASE = load_release("2025.1")


@dataclass(frozen=True)
class FixtureCatalogue:
    services: Mapping[str, Service]
    users: UserTable = field(default_factory=lambda: system_users())


def catalogue(*services: tuple[str, dict[str, Image]]) -> FixtureCatalogue:
    return FixtureCatalogue(
        {
            name: Service(
                format=1,
                name=name,
                summary="x",
                images=images,
                components={name: ContainerComponent(group="all", image="x")},
            )
            for name, images in services
        }
    )


NOVA = catalogue(
    ("nova", {"nova-compute": Image(parent="nova", packages=("b", "a")), "nova": Image(parent="openstack")}),
    ("memcached", {"memcached": Image(packages=("memcached",))}),
)


def with_suites(**suites: str) -> Release:
    return RELEASE.model_copy(update={"suites": {name.replace("_", "-"): suite for name, suite in suites.items()}})


def test_parents_come_first_and_layers_are_made_once() -> None:
    found = recipes(NOVA, RELEASE)
    assert set(found) == {"debian", "base", "openstack", "nova", "nova-compute", "memcached"}
    seen: set[str] = {""}
    for name, recipe in found.items():
        assert recipe.parent in seen
        seen.add(name)
    assert found["nova-compute"].packages == ("a", "b")


def test_an_image_of_another_suite_gets_layers_of_that_suite() -> None:
    found = recipes(NOVA, with_suites(memcached="sid"))
    assert found["memcached"].parent == "base-sid"
    assert (found["base-sid"].parent, found["base-sid"].suite) == ("debian-sid", "sid")
    assert found["nova"].suite == found["base"].suite == "trixie"


def test_a_child_follows_the_suite_of_its_parent_and_may_not_leave_it() -> None:
    found = recipes(NOVA, with_suites(nova="sid"))
    assert (found["nova"].parent, found["nova-compute"].suite) == ("openstack-sid", "sid")
    with pytest.raises(InputError, match="nova-compute of nova is from trixie, its parent nova from sid"):
        recipes(NOVA, with_suites(nova="sid", nova_compute="trixie"))


def test_all_mistakes_of_the_catalogue_are_told_at_once() -> None:
    wrong = catalogue(("a", {"x": Image(parent="opnstack"), "base": Image()}), ("b", {"x": Image()}))
    with pytest.raises(InputError) as caught:
        recipes(wrong, RELEASE)
    text = str(caught.value)
    assert "unknown parent opnstack" in text
    assert "did you mean openstack?" in text
    assert "the shared layers already have an image base" in text
    assert "images of a already have an image x" in text


def test_a_circle_of_parents_is_an_error() -> None:
    with pytest.raises(InputError, match="each other's parents"):
        recipes(catalogue(("a", {"x": Image(parent="y"), "y": Image(parent="x")})), RELEASE)


def test_named_images_bring_their_parents_only() -> None:
    known = recipes(NOVA, RELEASE)
    assert list(with_parents(["memcached"], known)) == ["debian", "base", "memcached"]
    assert with_parents([], known) == known
    with pytest.raises(InputError, match="did you mean memcached"):
        with_parents(["memcache"], known)


@pytest.mark.parametrize(
    "change",
    [
        {"packages": ("b",)},
        {"commands": ("true",)},
        {"files": {"/a": ""}},
        {"suite": "sid"},
        {"users": {"/etc/passwd": "x"}},
    ],
)
def test_whatever_goes_into_an_image_changes_its_digest(change: dict[str, object]) -> None:
    recipe = Recipe("x", "base", ("a",))
    assert replace(recipe, **change).digest("p1") != recipe.digest("p1")  # type: ignore[arg-type]


def test_the_digest_depends_on_the_parents_id_and_nothing_else() -> None:
    recipe = Recipe("x", "base", ("a",))
    assert recipe.digest("p1") == Recipe("x", "base", ("a",)).digest("p1")
    assert recipe.digest("p1") != recipe.digest("p2")


def test_account_lines_carry_the_table_and_leave_debians_own_out() -> None:
    table = UserTable.model_validate(
        {
            "format": 1,
            "users": {"root": {"uid": 0, "builtin": True}, "nova": {"uid": 7, "home": "/n", "groups": ["kvm"]}},
            "groups": {"kvm": 9},
        }
    )
    assert account_lines(table) == {
        "/etc/passwd": "nova:x:7:7::/n:/usr/sbin/nologin\n",
        "/etc/shadow": "nova:!:20000::::::\n",
        "/etc/group": "nova:x:7:\nkvm:x:9:nova\n",
        "/etc/gshadow": "nova:!::\nkvm:!::nova\n",
    }


def test_no_daemon_starts_in_a_build() -> None:
    assert base_files()["/usr/sbin/policy-rc.d"].endswith("exit 101\n")


def test_the_script_does_users_files_packages_commands_in_this_order() -> None:
    recipe = Recipe("x", "base", ("p1",), ("c1", "c2\nc3"), {"/f": "text"}, users={"/etc/passwd": "u\n"})
    text = build_script(recipe, ["deb http://m/debian trixie main"], {"http_proxy": "http://u:p@proxy"})
    marks = [
        "export http_proxy=http://u:p@proxy",
        ">> /etc/passwd",
        "> /f;",
        "install p1",
        "\nc1\n",
        "c2\nc3",
        PACKAGES,
    ]
    assert [text.index(mark) for mark in marks] == sorted(text.index(mark) for mark in marks)
    assert "secret" not in text
    assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0


def test_a_failing_command_stops_the_script_after_its_step_was_named() -> None:
    recipe = Recipe("x", "base", commands=("echo one", "false", "echo never"))
    # Only the commands: the cleaning that follows must never run outside a container.
    commands, cleaning, _ = build_script(recipe, [], {}).partition(f"echo '{STEP}cleaning up'")
    assert cleaning
    done = subprocess.run(["sh", "-eu"], input=commands, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout.splitlines() == [f"{STEP}command: echo one", "one", f"{STEP}command: false"]


def test_the_security_archive_lies_beside_the_mirror() -> None:
    assert sources("http://m/debian/", "trixie", security=True) == (
        "deb http://m/debian trixie main",
        "deb http://m/debian trixie-updates main",
        "deb http://m/debian-security trixie-security main",
    )


@pytest.mark.parametrize(
    "mirror", ["http://mirror.example", "http://mirror.example//", "ftp://m/debian", "file:///srv", ""]
)
def test_a_mirror_whose_security_archive_would_be_another_host_is_refused(mirror):
    with pytest.raises(InputError, match="not an http or https address with a path"):
        usable_sources(mirror, "trixie", security=True, warn=print)
