"""What somebody does to a deployed node by hand: how it is done, how drift is to tell of it, and what its repair may take."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from proofs.deployment import PENDING, Cloud, until

MARIADB = "/etc/scs-deploy/mariadb"
RABBITMQ = "/etc/scs-deploy/rabbitmq"
KEYSTONE = "/etc/scs-deploy/keystone"
DATA = "/var/lib/scs-deploy/data"
STATE = "/var/lib/scs-deploy/state"
QUADLET = "/etc/containers/systemd"

Repair = Literal["files", "restart", "start", "reload", "api", "removal"]


@dataclass(frozen=True)
class Damage:
    """``command`` does it, on the node; drift lists ``step`` and says ``says`` of it; apply repairs it by ``repair``.

    ``undo``: what the damage needed and would leave behind.
    """

    kind: str
    what: str
    command: str
    step: str
    says: str
    repair: Repair = "files"
    undo: str = ""


def sql(statement: str) -> str:
    """As the server's root: the account of its service may not grant."""
    return f'podman exec --user root mariadb mariadb --user root --execute "{statement}"'


def rabbitmqctl(*arguments: str) -> str:
    return f"podman exec rabbitmq /usr/lib/rabbitmq/bin/rabbitmqctl --quiet {' '.join(arguments)}"


def stopped(instance: str, then: str) -> str:
    """Stop an instance's unit, so that its name is free, and do something else."""
    return f"systemctl stop {instance}; {then}"


def by_hand(instance: str, options: str, command: str) -> str:
    """Run a container of an instance's name and image by hand."""
    image = f"$(sed -n 's/^Image=//p' {QUADLET}/{instance}.container)"
    common = f"--name {instance} --network host --pids-limit 0"
    return stopped(instance, f"podman run --detach {common} {options} {image} {command}")


FILES = (
    Damage("file edited", "mariadb.cnf", f"echo '# mine' >> {MARIADB}/etc/mysql/mariadb.cnf", "n1/mariadb", "-# mine"),
    Damage(
        "file edited", "a private key", f"echo x >> {MARIADB}/etc/scs-tls/key.pem", "n1/mariadb", "content is secret"
    ),
    Damage("file edited", "/etc/hosts", "echo '10.9.9.9 rogue' >> /etc/hosts", "n1/node-hosts", "-10.9.9.9 rogue"),
    Damage(
        "file edited",
        "a unit, without a restart",
        f"echo '# mine' >> {QUADLET}/haproxy.container",
        "n1/haproxy",
        "haproxy.container', 'how': 'changed",
    ),
    Damage(
        "file missing",
        "rabbitmq.conf",
        f"rm {RABBITMQ}/etc/rabbitmq/rabbitmq.conf",
        "n1/rabbitmq",
        "rabbitmq.conf', 'how': 'created",
    ),
    Damage(
        "file missing",
        "a unit",
        f"rm {QUADLET}/memcached.container; systemctl daemon-reload",
        "n1/memcached",
        "memcached.container', 'how': 'created",
    ),
    Damage(
        "file replaced",
        "enabled_plugins by a link",
        f"cd {RABBITMQ}/etc/rabbitmq; mv enabled_plugins /root/moved; ln -s /root/moved enabled_plugins",
        "n1/rabbitmq",
        "enabled_plugins', 'how': 'changed",
        undo="rm /root/moved",
    ),
    Damage(
        "file extra",
        "in an instance's folder",
        f"echo 1 > {MARIADB}/etc/mysql/mine.cnf",
        "n1/mariadb",
        "mine.cnf', 'how': 'delete",
    ),
    Damage(
        "file extra",
        "in a folder of nobody",
        "mkdir /etc/scs-deploy/nobody; echo 1 > /etc/scs-deploy/nobody/x",
        "n1/nobody",
        "nobody/x",
        "removal",
    ),
    Damage(
        "wrong mode",
        "keystone.conf for all",
        f"chmod 0666 {KEYSTONE}/etc/keystone/keystone.conf",
        "n1/keystone",
        "0666",
    ),
    Damage(
        "wrong mode", "a data folder", f"chmod 0777 {DATA}/rabbitmq/rabbitmq", "n1/rabbitmq", "mode and owner corrected"
    ),
    Damage(
        "wrong owner", "uwsgi.ini", f"chown 12:13 {KEYSTONE}/etc/keystone/uwsgi.ini", "n1/keystone", "12:13 becomes"
    ),
    Damage("unit disabled", "chrony", "systemctl disable chrony", "n1/node-time", "disabled"),
    Damage(
        "container extra",
        "with our label",
        "podman run -d --name stray --label scs-deploy.instance=stray --network host --pids-limit 0 "
        "$(podman images --format '{{.ID}}' | head -1) sleep 600",
        "n1/stray",
        "nothing declares",
        "removal",
    ),
)
"""Their repair restarts nothing: what runs is right."""

PROCESSES = (
    Damage("unit stopped", "memcached", "systemctl stop memcached", "n1/memcached", "it does not run", "restart"),
    Damage("unit stopped", "chrony", "systemctl stop chrony", "n1/node-time", "it does not run", "restart"),
    Damage(
        "container removed",
        "keepalived",
        "podman rm -f -t 2 keepalived; systemctl stop keepalived; systemctl reset-failed keepalived || true",
        "n1/keepalived",
        "it does not run",
        "restart",
    ),
    Damage(
        "unit masked",
        "rabbitmq, stopped",
        "systemctl stop rabbitmq; systemctl mask --quiet rabbitmq",
        "n1/rabbitmq",
        "masked",
        "restart",
    ),
)

LOADED = (
    Damage(
        "firewall flushed", "everything", "nft flush ruleset", "n1/node-firewall", "its table is not loaded", "reload"
    ),
    Damage(
        "kernel setting",
        "by hand",
        "sysctl -q net.ipv4.tcp_syn_retries=5",
        "n1/node-sysctl",
        "net.ipv4.tcp_syn_retries is 5, not 2",
        "restart",
    ),
    Damage(
        "link changed",
        "time zone",
        "ln -sfn /usr/share/zoneinfo/Pacific/Apia /etc/localtime",
        "n1/node-timezone",
        "/etc/localtime is /usr/share/zoneinfo/Pacific/Apia",
        "restart",
    ),
)
"""Files and units are right, what is in force is not."""

REPLACED = (
    Damage(
        "container replaced",
        "memcached, by one with its labels",
        by_hand("memcached", f"--label-file {STATE}/labels/memcached", "sleep 600"),
        "n1/memcached",
        "its unit is inactive",
        "start",
    ),
    Damage(
        "container replaced",
        "memcached, by one without labels that listens in its place",
        by_hand("memcached", "", "memcached -u memcache -l 0.0.0.0 -p 11211"),
        "n1/memcached",
        "it does not run",
        "restart",
    ),
)
"""Not to be done together."""

IMAGE = (
    Damage(
        "wrong image",
        "memcached; its unit says again what it should",
        "podman commit --quiet memcached localhost/other:1 >/dev/null; "
        f"cd {QUADLET}; cp -p memcached.container /root/kept; "
        "sed -i 's/^Image=.*/Image=localhost\\/other:1/' memcached.container; "
        "systemctl daemon-reload; systemctl restart memcached; mv /root/kept memcached.container; systemctl daemon-reload",
        "n1/memcached",
        "it runs the image",
        "restart",
        undo="podman rmi --force localhost/other:1",
    ),
)

EDITED = (
    Damage(
        "process of an edited file",
        "mariadb, restarted by hand",
        f"printf '[mariadbd]\\nmax_connections = 99\\n' >> {MARIADB}/etc/mysql/mariadb.cnf; systemctl restart mariadb",
        "n1/mariadb",
        "edited by hand",
        "restart",
    ),
    Damage(
        "folder deleted",
        "haproxy's, while it is mounted",
        "rm -r /etc/scs-deploy/haproxy/etc/haproxy",
        "n1/haproxy",
        "deleted folder",
        "restart",
    ),
)

DATABASE = (
    Damage(
        "grant revoked",
        "keystone may not INSERT",
        sql("REVOKE INSERT ON keystone.* FROM keystone"),
        "n1/mariadb resources of keystone",
        "privileges on keystone: ",
        "api",
    ),
    Damage(
        "grant added",
        "keystone may read everything",
        sql("GRANT SELECT ON *.* TO keystone"),
        "n1/mariadb resources of keystone",
        "privileges everywhere: SELECT, wanted none",
        "api",
    ),
    Damage(
        "user without TLS",
        "keystone in MariaDB",
        sql("ALTER USER keystone REQUIRE NONE"),
        "n1/mariadb resources of keystone",
        "TLS: not required, wanted required",
        "api",
    ),
)

CATALOGUE = (
    Damage(
        "endpoint changed",
        "identity, public",
        sql("UPDATE keystone.endpoint SET url = 'https://rogue.test/v3' WHERE interface = 'public'"),
        "n1/keystone resources of keystone",
        "rogue.test",
        "api",
    ),
    Damage(
        "endpoint deleted",
        "identity, admin",
        sql("DELETE FROM keystone.endpoint WHERE interface = 'admin'"),
        "n1/keystone resources of keystone",
        "endpoint identity admin', 'how': 'create",
        "api",
    ),
    Damage(
        "service disabled",
        "identity",
        sql("UPDATE keystone.service SET enabled = 0 WHERE type = 'identity'"),
        "n1/keystone resources of keystone",
        "enabled: no, wanted yes",
        "api",
    ),
)

QUEUE = (
    Damage(
        "queue user's tags",
        "keystone is an administrator",
        rabbitmqctl("set_user_tags", "keystone", "scs-deploy", "administrator"),
        "n1/rabbitmq resources of keystone",
        "tags: administrator, wanted none",
        "api",
    ),
    Damage(
        "queue user's rights",
        "keystone may write nothing",
        rabbitmqctl("set_permissions", "keystone", "'.*'", "'^$'", "'.*'"),
        "n1/rabbitmq resources of keystone",
        "write: ^$, wanted .*",
        "api",
    ),
    Damage(
        "queue user deleted",
        "keystone",
        rabbitmqctl("delete_user", "keystone"),
        "n1/rabbitmq resources of keystone",
        "user keystone', 'how': 'create",
        "api",
    ),
)
"""With ``services.keystone.settings.notifications``."""


def found(cloud: Cloud, folder: Path, damages: Iterable[Damage]) -> dict[str, Any]:
    """Do the damage; drift must tell of each, of nothing else, in JSON and to Prometheus, and change nothing. Return its steps by id."""
    damages = tuple(damages)
    for damage in damages:
        cloud.on_node(damage.command)
    before = steady(cloud)
    steps = drift(cloud, folder)
    assert cloud.state() == before, "drift changed something"
    for damage in damages:
        assert damage.step in steps, f"not found: {damage.command}: {sorted(steps)}"
        assert damage.says in str(steps[damage.step]), f"{damage.command}: {steps[damage.step]}"
    down = {name for name, step in steps.items() if "their owner cannot tell yet" in str(step["reasons"])}
    assert set(steps) - down == {damage.step for damage in damages} - down
    return steps


def steady(cloud: Cloud) -> dict[str, Any]:
    """Return the node's state once two looks agree: what was damaged may still be going down, or coming back."""
    looks = [cloud.state()]

    def agreed() -> bool:
        looks.append(cloud.state())
        return looks[-1] == looks[-2]

    until(agreed, "the node's state stays the same")
    return looks[-1]


def drift(cloud: Cloud, folder: Path) -> dict[str, Any]:
    """Return the steps that drift lists, which the metrics count; a service that lost its database cannot tell meanwhile."""
    metrics = folder / "drift.prom"
    done = cloud.run("drift", "--json", "--textfile", str(metrics))
    data = json.loads(done.stdout)
    assert done.returncode == (1 if data["unknown"] else PENDING), done.stderr
    assert all(name.endswith(" resources") for name in data["unknown"]), data["unknown"]
    region = cloud.site.region.name
    for name, count in (("drift_steps", len(data["drift"])), ("unknown", len(data["unknown"]))):
        assert f'scs_deploy_{name}{{region="{region}"}} {count}\n' in metrics.read_text()
    return {step["id"]: step for step in data["drift"]}


def repaired(cloud: Cloud, damages: Iterable[Damage]) -> None:
    """Apply, and there is no drift any more."""
    cloud.apply()
    cloud.run("drift", code=0)
    for damage in damages:
        if damage.undo:
            cloud.on_node(damage.undo)
