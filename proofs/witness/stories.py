"""The scripted changes: stories, each of which begins and ends with the region as it was first deployed."""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from proofs.deployment import Cloud
from proofs.witness.change import ChangeRow, DeployedSite, ScriptedChange, carry_out, put_back
from scs_deploy.machine.paths import roles_search
from scs_deploy.secrets import Vault
from scs_deploy.secrets.encrypted import EncryptedFile

Data = dict[str, Any]
ECHO_DATA = "/var/lib/scs-deploy/data/echo/store"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVJ0wbWWV0Zq2XuaM2Jc7yUcAlkSm5nZbrTxk3K8P1b"
"""A public key of nobody."""

PASSWORD = secrets.token_hex(16)


@dataclass(frozen=True)
class Story:
    """Changes one after the other; ``roles``: the made-up service of the tests is in the search path meanwhile."""

    name: str
    changes: tuple[ScriptedChange, ...]
    roles: bool = False


def play(site: DeployedSite, story: Story) -> Iterator[ChangeRow]:
    """Carry out a story; after a failure the region is put back and the rest of the story is left out."""
    with searched(site, story.roles):
        for change in story.changes:
            row = carry_out(site, change)
            yield row
            if row.wrong:
                break
    if row.wrong:
        put_back(site)
        site.sights = {}
    site.restore()  # what is no longer in the search path must not be named either


@contextmanager
def searched(site: DeployedSite, wanted: bool) -> Iterator[None]:
    """Let the program find the site's own roles too."""
    before = os.environ.get("SCS_DEPLOY_ROLES")
    if wanted:
        os.environ["SCS_DEPLOY_ROLES"] = str(site.roles)
    try:
        yield
    finally:
        os.environ.pop("SCS_DEPLOY_ROLES", None)
        if before is not None:
            os.environ["SCS_DEPLOY_ROLES"] = before


# -- how things are changed --------------------------------------------------------------------------------------------


def said(*changes: Callable[[Data], object]) -> Callable[[DeployedSite], None]:
    """Say something in region.yml."""

    def make(site: DeployedSite) -> None:
        for change in changes:
            site.edit(change)  # type: ignore[arg-type]

    return make


def settings(service: str, **values: Any) -> Callable[[Data], None]:
    return lambda data: _service(data, service).setdefault("settings", {}).update(values)


def enabled(service: str, yes: bool) -> Callable[[Data], None]:
    return lambda data: _service(data, service).update(enabled=yes)


def override(service: str, file: str, how: Mapping[str, Any], where: str = "region") -> Callable[[Data], None]:
    """``where``: region, rack or node."""

    def change(data: Data) -> None:
        rack = data["racks"][0]
        place = {"region": data, "rack": rack, "node": rack["nodes"][0]}[where]
        _service(place, service).setdefault("config", {})[file] = dict(how)

    return change


def of_region(**values: Any) -> Callable[[Data], None]:
    return lambda data: data.update(values)


def of_second(**values: Any) -> Callable[[Data], None]:
    """Say something of the second node."""
    return lambda data: data["racks"][0]["nodes"][1].update(values)


def _service(place: Data, name: str) -> Data:
    found: Data = place.setdefault("services", {}).setdefault(name, {})
    return found


def back(site: DeployedSite) -> None:
    site.restore()


def noted_and_sorted(site: DeployedSite) -> None:
    """A comment more and another order of keys."""
    data = yaml.safe_load(site.base)
    site.cloud.file.write_text("# Somebody was here.\n" + yaml.safe_dump(data, sort_keys=True))


def by_hand(name: str, command: str) -> Callable[[DeployedSite], None]:
    """``secrets edit``, with sed for an editor."""

    def make(site: DeployedSite) -> None:
        os.environ["EDITOR"] = shlex.join(["sed", "-i", command])
        try:
            site.cloud.run("secrets", "edit", code=0)
        finally:
            del os.environ["EDITOR"]

    return make


def without_certificates(*instances: str) -> Callable[[DeployedSite], None]:
    """Lose certificates of the first node; all of them when none is named."""

    def make(site: DeployedSite) -> None:
        vault = Vault.open(site.cloud.folder)
        file = EncryptedFile(site.cloud.folder / "certs" / f"{site.cloud.node}.yml", vault._password)
        left = {name: value for name, value in file.read().items() if instances and name not in instances}
        file.write(left)

    return make


def image(**values: Any) -> Callable[[DeployedSite], None]:
    """Change the recipe of the made-up service's image and build it."""

    def make(site: DeployedSite) -> None:
        site.role("echo", lambda data: data["images"]["echo"].update(values))
        site.cloud.run("image", "build", "echo", code=0, timeout=1800)

    return make


def appears(site: DeployedSite) -> None:
    """The made-up service is found in the search path, with an image of its own."""
    site.edit(enabled("echo", True))
    site.cloud.run("image", "build", "echo", code=0, timeout=1800)


def goes(site: DeployedSite) -> None:
    site.edit(enabled("echo", False))


def comes(site: DeployedSite) -> None:
    site.edit(enabled("echo", True))


def second_node(data: Data) -> None:
    first = data["racks"][0]["nodes"][0]
    addresses = {network: address.rpartition(".")[0] + ".12" for network, address in first["addresses"].items()}
    data["racks"][0]["nodes"].append({"name": "n2", "groups": ["compute"], "addresses": addresses})


def racked(site: DeployedSite) -> None:
    site.edit(second_node)
    site.cloud.run("lab", "up", code=0)


def taken_away(site: DeployedSite) -> None:
    """Delete the second node from the file, and its machine."""
    site.restore()
    site.cloud.run("lab", "up", code=0)
    site.sights.pop("n2", None)


# -- what must be true afterwards --------------------------------------------------------------------------------------


def says(command: str, wanted: str) -> Callable[[DeployedSite], None]:
    """A command on the first node prints something."""

    def check(site: DeployedSite) -> None:
        got = site.cloud.on_node(command)
        assert wanted in got, f"{command}: {wanted!r} is not in {got!r}"

    return check


def fails(command: str) -> Callable[[DeployedSite], None]:
    def check(site: DeployedSite) -> None:
        done = site.cloud.try_on_node(command)
        assert done.returncode != 0, f"{command}: {done.stdout}"

    return check


CNF = "/etc/mysql/mariadb.cnf"

STORIES = (
    Story(
        "settings",
        (
            ScriptedChange("setting", "memcached: less memory", said(settings("memcached", memory_mb=96)), steps=1),
            ScriptedChange(
                "setting, reload", "haproxy: checks less often", said(settings("haproxy", check_seconds=3)), steps=1
            ),
            ScriptedChange(
                "several services",
                "memcached, keepalived, keystone at once",
                said(
                    settings("memcached", threads=3),
                    settings("keepalived", check_seconds=4),
                    settings("keystone", token_minutes=90),
                ),
                steps=3,
            ),
            ScriptedChange("reversal", "all four services back", back, steps=4),
            ScriptedChange("nothing", "a comment and another order of keys in region.yml", noted_and_sorted, steps=0),
        ),
    ),
    Story(
        "overrides",
        (
            ScriptedChange(
                "override, region",
                "mariadb.cnf: lines appended",
                said(override("mariadb", CNF, {"append": "[mariadbd]\nmax_connections = 777\n"})),
                steps=1,
                check=says("podman exec mariadb mariadb -Ne 'SELECT @@max_connections'", "777"),
            ),
            ScriptedChange(
                "override, rack",
                "haproxy.cfg by its template's name",
                said(override("haproxy", "haproxy.cfg.j2", {"append": "# rack r1\n"}, "rack")),
                steps=1,
            ),
            ScriptedChange(
                "override, node",
                "keystone.conf: one option set",
                said(override("keystone", "/etc/keystone/keystone.conf", {"options": {"token": {"x": 1}}}, "node")),
                steps=1,
            ),
            ScriptedChange("reversal", "all three overrides out", back, steps=3),
        ),
    ),
    Story(
        "node",
        (
            ScriptedChange(
                "node", "time zone", said(of_region(timezone="Europe/Berlin")), check=says("date +%Z", "CE")
            ),
            ScriptedChange("node", "time servers", said(of_region(ntp=["192.0.2.1", "192.0.2.2"])), steps=1),
            ScriptedChange("node", "resolvers, so far the node's own", said(of_region(dns=["192.0.2.53"])), steps=1),
            ScriptedChange(
                "node",
                "a kernel setting and shorter logs",
                said(settings("node", sysctl={"net.ipv4.tcp_fin_timeout": 31}, journal_days=7)),
                steps=2,
                check=says("cat /proc/sys/net/ipv4/tcp_fin_timeout", "31"),
            ),
            ScriptedChange(
                "node",
                "an account with a key",
                said(settings("node", users=[{"name": "ada", "keys": [KEY]}])),
                check=says("id ada", "ada"),
            ),
            ScriptedChange(
                "node", "firewall: one rule more", said(settings("node", firewall_rules=["tcp dport 9100 accept"]))
            ),
            ScriptedChange("node", "web proxy for packages", said(of_region(proxy={"http": "http://192.0.2.8:3128"}))),
            ScriptedChange(
                "reversal",
                "time, resolvers, accounts and the rest back",
                back,
                check=says("cat /etc/resolv.conf; date +%Z", "UTC"),
            ),
        ),
    ),
    Story(
        "secrets and certificates",
        (
            ScriptedChange(
                "secret",
                "keystone's database password, by hand",
                by_hand("keystone-database", f"s/^keystone-database:.*/keystone-database: {PASSWORD}/"),
                check=lambda site: site.cloud.run("prove", code=0),
            ),
            ScriptedChange(
                "secret",
                "token keys made anew",
                by_hand("keystone-fernet", "/^keystone-fernet:/,/^[^ ]/{/^keystone-fernet:/d;/^ /d}"),
                check=lambda site: site.cloud.run("prove", code=0),
            ),
            ScriptedChange("certificate", "that of memcached is lost", without_certificates("memcached"), steps=1),
            ScriptedChange(
                "certificate",
                "all of the node are made anew",
                without_certificates(),
                check=lambda site: site.cloud.run("prove", code=0),
            ),
        ),
    ),
    Story(
        "services",
        (
            ScriptedChange(
                "resource", "keystone sends events: a queue user more", said(settings("keystone", notifications=True))
            ),
            ScriptedChange("resource", "and no more: the queue user goes", back),
            ScriptedChange("service off", "rabbitmq: data kept", said(enabled("rabbitmq", False))),
            ScriptedChange("service on", "rabbitmq, with the data that was kept", back),
        ),
    ),
    Story(
        "a made-up service",
        (
            ScriptedChange(
                "new service", "echo, from a search path", appears, check=says(f"cat {ECHO_DATA}/started", "once")
            ),
            ScriptedChange("setting", "echo: another greeting", said(settings("echo", greeting="bye")), steps=1),
            ScriptedChange("image", "echo: same packages, other content", image(commands=["touch /etc/rebuilt"])),
            ScriptedChange(
                "image",
                "echo: a package more, so its job runs again",
                image(packages=["python3", "python3-pymysql", "less"]),
            ),
            ScriptedChange(
                "service removed",
                "echo: data kept",
                goes,
                check=says("podman exec mariadb mariadb -Ne 'SELECT * FROM echo.said'", "42"),
            ),
            ScriptedChange(
                "service on",
                "echo, with the data that was kept",
                comes,
                check=says(f"test $(wc -l <{ECHO_DATA}/started) -gt 2 && echo kept", "kept"),
            ),
            ScriptedChange("service purged", "echo: data deleted", goes, ("--purge",), check=fails(f"ls {ECHO_DATA}")),
        ),
        roles=True,
    ),
    Story(
        "in parts",
        (
            ScriptedChange(
                "only one service",
                "of two changed services",
                said(settings("memcached", memory_mb=80), settings("haproxy", check_seconds=4)),
                ("--service", "memcached"),
                steps=1,
            ),
            ScriptedChange("the rest", "of the two", lambda site: None, steps=1),
            ScriptedChange("reversal", "both back", back, steps=2),
        ),
    ),
    Story(
        "a second node",
        (
            ScriptedChange("new node", "n2, with the baseline only", racked),
            ScriptedChange(
                "only one node",
                "a setting of all nodes, on n2 alone",
                said(of_region(timezone="Europe/Berlin")),
                ("--limit", "n2"),
                steps=1,
            ),
            ScriptedChange("the rest", "on n1", lambda site: None, steps=1),
            ScriptedChange("node leaves", "n2 is absent: all of it goes", said(of_second(state="absent"))),
            ScriptedChange("node gone", "n2 is deleted from the file", taken_away, steps=1),
        ),
    ),
)


SAMPLED = (
    "a comment and another order of keys in region.yml",
    "memcached: less memory",
    "haproxy: checks less often",
    "keystone.conf: one option set",
    "a kernel setting and shorter logs",
    "that of memcached is lost",
    "keystone sends events: a queue user more",
    "of two changed services",
)


def sample() -> Story:
    """What a test of two minutes plays: changes of different kinds that need nothing of each other."""
    known = {change.name: change for story in STORIES for change in story.changes}
    return Story("sample", (*(known[name] for name in SAMPLED), ScriptedChange("reversal", "everything back", back)))


def prepare(cloud: Cloud) -> DeployedSite:
    """A site on a deployment; the search path must hold nothing else."""
    assert len(roles_search()) == 1, "SCS_DEPLOY_ROLES is set"
    return DeployedSite(cloud, cloud.folder.parent / f"{cloud.folder.name}-roles")
