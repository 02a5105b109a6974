"""Real builds with the controller's engine and mirror: minutes when cold, seconds when the cache is warm."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scs_deploy.catalogue import names
from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.catalogue.release import load_release
from scs_deploy.catalogue.service import ContainerComponent, Image, Service
from scs_deploy.catalogue.users import UserTable
from scs_deploy.errors import DeployError
from scs_deploy.images import labels
from scs_deploy.images.recipe import Recipe
from scs_deploy.images.schedule import Event, Options, build, build_recipe
from scs_deploy.images.script import PACKAGES_FILE
from scs_deploy.machine.engine import find_engine

RELEASE = load_release("2025.1")


@dataclass(frozen=True)
class FixtureCatalogue:
    services: Mapping[str, Service]
    users: UserTable = field(default_factory=lambda: load_catalogue([Path(__file__).parents[2] / "roles"]).users)


def catalogue(**images: Image) -> FixtureCatalogue:
    def service(name: str, image: Image) -> Service:
        return Service(
            format=1,
            name=name,
            summary="fixture",
            images={name: image},
            components={name: ContainerComponent(group="all", image=name)},
        )

    return FixtureCatalogue({name: service(name, image) for name, image in images.items()})


CATALOGUE = catalogue(
    memcached=Image(packages=("memcached",)),
    mariadb=Image(packages=("mariadb-server", "mariadb-client", "mariadb-backup", "galera-4", "rsync", "socat")),
    rabbitmq=Image(packages=("rabbitmq-server",)),
    haproxy=Image(packages=("haproxy",)),
    keepalived=Image(packages=("keepalived",)),
    keystone=Image(parent="openstack", packages=("keystone",)),
)

ACCOUNTS = {
    "memcached": {"memcache": "/nonexistent"},
    "mariadb": {"mysql": "/nonexistent"},
    "rabbitmq": {"rabbitmq": "/var/lib/rabbitmq"},
    "haproxy": {"haproxy": "/var/lib/haproxy"},
    "keystone": {"keystone": "/var/lib/keystone"},
}


def show(event: Event) -> None:
    print(f"{event.seconds:6.1f} {event.image:12} {event.kind:8} {event.text}", flush=True)


def inside(image: str, script: str) -> str:
    return find_engine().run(["run", "--rm", "--network", "none", image, "sh", "-euc", script]).stdout


@pytest.fixture(scope="module")
def built() -> dict[str, str]:
    results = build([], CATALOGUE, RELEASE, progress=show)
    return {name: result.image.id for name, result in results.items()}


@pytest.mark.parametrize("image", ACCOUNTS)
def test_packages_keep_the_accounts_of_the_table(built: dict[str, str], image: str) -> None:
    users = CATALOGUE.users
    passwd = {line.split(":")[0]: line.split(":") for line in inside(built[image], "cat /etc/passwd").splitlines()}
    for name, home in ACCOUNTS[image].items():
        assert passwd[name][2:4] == [str(users.uid(name)), str(users.gid(name))]
        assert passwd[name][5] == home
    strangers = {name for name, line in passwd.items() if name not in users.accounts and 100 <= int(line[2]) < 65534}
    assert not strangers, "accounts with a dynamic number: declare them in the service.yml they belong to"


@pytest.mark.parametrize("image", CATALOGUE.services)
def test_nothing_of_a_machine_or_a_build_is_left(built: dict[str, str], image: str) -> None:
    left = inside(
        built[image],
        """find /etc/ssh/ssh_host* /var/lib/dbus/machine-id /etc/apt/sources.list /var/lib/mysql/* /var/lib/keystone/*.db \
           /var/lib/rabbitmq/.erlang.cookie /etc/ssl/private/*.key 2>/dev/null || true
           find /var/lib/apt/lists /var/cache/apt /var/log /tmp /var/tmp -type f ! -name lock
           find /etc/machine-id -size +0 2>/dev/null || true
           find /etc -name '*.pem' -path '*private*'
           find /usr/share/doc -type f ! -name copyright | head -3""",
    )
    assert left == ""


def test_labels_and_packages_file_agree(built: dict[str, str]) -> None:
    (image,) = [image for image in find_engine().images(labels.RECIPE) if image.id == built["memcached"]]
    result = build(["memcached"], CATALOGUE, RELEASE)["memcached"]
    assert not result.built
    assert json.loads(inside(image.id, f"cat {PACKAGES_FILE}")) == result.image.packages
    assert result.image.packages["memcached"].startswith("1.6.")
    assert image.labels[labels.PACKAGES] == result.image.packages_digest
    assert image.labels[labels.RELEASE] == "2025.1"
    assert names.image_reference("memcached", "2025.1") in image.references


def test_building_again_builds_nothing(built: dict[str, str]) -> None:
    again = build([], CATALOGUE, RELEASE)
    assert {name: result.image.id for name, result in again.items()} == built
    assert not any(result.built for result in again.values())


def test_a_changed_command_builds_that_image_alone(built: dict[str, str]) -> None:
    changed = catalogue(memcached=Image(packages=("memcached",), commands=("echo changed > /changed",)))
    results = build([], changed, RELEASE)
    assert {name for name, result in results.items() if result.built} <= {"memcached"}
    assert results["memcached"].image.id != built["memcached"]
    assert inside(results["memcached"].image.id, "cat /changed") == "changed\n"
    # Both are in the store: whoever asks for the first recipe gets the first image, without a build.
    assert not build(["memcached"], CATALOGUE, RELEASE)["memcached"].built


def test_a_failed_command_names_image_step_and_output_and_leaves_nothing(built: dict[str, str]) -> None:
    broken = catalogue(broken=Image(commands=("echo about to fail; false",)))
    with pytest.raises(DeployError) as caught:
        build(["broken"], broken, RELEASE)
    assert "image broken failed at step `command: echo about to fail; false`" in str(caught.value)
    assert "about to fail" in caught.value.why
    engine = find_engine()
    assert engine.image_id(names.image_reference("broken", RELEASE.name)) == ""
    assert "-broken" not in build_containers()


SLOW_BUILD = """
import tests.labs.test_images as t
t.build(["slow"], t.catalogue(slow=t.Image(commands=("echo begun; sleep 300",))), t.RELEASE, progress=t.show)
"""


def start_slow_build() -> subprocess.Popen[str]:
    forget_image("slow")
    process = subprocess.Popen([sys.executable, "-c", SLOW_BUILD], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "sleep 300" in line:
            return process
    raise AssertionError("the build never reached its command")


def forget_image(name: str) -> None:
    """A test run that was killed may have left its build to finish."""
    engine, reference = find_engine(), names.image_reference(name, RELEASE.name)
    if engine.image_id(reference):
        engine.run(["rmi", "--force", reference])


def build_containers() -> str:
    return find_engine().run(["ps", "--all", "--filter", "name=scs-build-", "--format", "{{.Names}}"]).stdout


def test_ctrl_c_ends_everything_within_seconds(built: dict[str, str]) -> None:
    process = start_slow_build()
    assert f"scs-build-{process.pid}-" in build_containers()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert f"scs-build-{process.pid}-" not in build_containers()
    assert find_engine().image_id(names.image_reference("slow", RELEASE.name)) == ""


def test_what_a_killed_build_left_is_swept_by_the_next(built: dict[str, str]) -> None:
    process = start_slow_build()
    process.kill()
    process.wait()
    assert f"scs-build-{process.pid}-" in build_containers()
    fresh = catalogue(memcached=Image(packages=("memcached",), commands=(f"echo {process.pid}",)))
    build([], fresh, RELEASE)
    assert f"scs-build-{process.pid}-" not in build_containers()


def test_no_network_is_one_clear_error(built: dict[str, str]) -> None:
    fresh = catalogue(fresh=Image(packages=("hello",)))
    with pytest.raises(DeployError, match=r"(?s)mirror does not give the suite trixie.*fix: check the network"):
        build(["fresh"], fresh, RELEASE, options=Options(mirror="http://127.0.0.1:9/debian"))


def test_a_recipe_outside_the_catalogue_gets_its_files_before_its_packages(built: dict[str, str]) -> None:
    recipe = Recipe(
        "fixture-extra", "base", commands=("/usr/bin/hi > /said",), files={"/usr/bin/hi": "#!/bin/sh\necho hi\n"}
    )
    image = build_recipe(recipe, RELEASE)
    assert inside(image.id, "cat /said") == "hi\n"
