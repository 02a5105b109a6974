"""Runs on a node: prints its canonical end state and, beside it, when everything was started (docs/state-digest.md).

Usage: ENGINE [--starts]; the latter only, which costs little.
"""

import base64
import hashlib
import json
import re
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

ENGINE = sys.argv[1] if len(sys.argv) > 1 else "podman"
CONFIG, STATE = "/etc/scs-deploy", "/var/lib/scs-deploy/state"
UNITS = "/etc/containers/systemd"
LABEL = "scs-deploy."
TEMPORARY = ("/root/.ansible/tmp", "/tmp")
RANDOM_OPTIONS = ("mac_prefix", "svc_monitor_mac")
"""What northd draws by itself when the database is new."""


def output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def inside(container: str, *argv: str) -> str:
    """What a command in a container says; a failure is part of the state, so that it is seen."""
    done = subprocess.run((ENGINE, "exec", container, *argv), capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else f"exit {done.returncode}: {done.stderr.strip()}"


def mark(content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:24]


def read(path: str | Path) -> dict[str, object]:
    try:
        found = json.loads(Path(path).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


# -- the node itself -------------------------------------------------------------------------------------------------------


def listed(path: Path) -> list[object]:
    found = path.lstat()
    content = str(path.readlink()) if path.is_symlink() else mark(path.read_bytes()) if path.is_file() else ""
    return [content, f"{found.st_mode:o}", found.st_uid, found.st_gid]


def files(manifest: dict[str, dict[str, list[str]]]) -> dict[str, list[object]]:
    wanted = {str(path) for top in (CONFIG, UNITS, f"{STATE}/originals") for path in Path(top).rglob("*")}
    wanted |= {path for entry in manifest.values() for path in entry["files"]}
    return {path: listed(Path(path)) for path in sorted(wanted) if Path(path).exists()}


def shown_units(names: Iterable[str]) -> list[dict[str, str]]:
    shown = "Id,ActiveState,UnitFileState,InvocationID,ActiveEnterTimestampMonotonic"
    blocks = output("systemctl", "show", f"--property={shown}", *names).split("\n\n") if names else []
    return [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks if block.strip()]


def failed_units() -> list[str]:
    lines = output("systemctl", "list-units", "--failed", "--plain", "--no-legend").splitlines()
    return sorted(line.split()[0] for line in lines if not line.startswith("session-"))


def containers() -> list[dict[str, dict[str, object]]]:
    names = output(ENGINE, "ps", "--all", "--format", "{{.Names}}").split()
    found = json.loads(output(ENGINE, "inspect", *names) or "[]") if names else []
    named = [
        {**one, "Name": one["Name"].removeprefix("/"), "Image": one["Image"].removeprefix("sha256:")} for one in found
    ]
    return sorted(named, key=lambda one: one["Name"])


def in_force(container: dict[str, dict[str, object]], record: dict[str, object]) -> list[object]:
    """Image, status, what it was started from and what it read since: a reload later than the start is in the record."""
    labels = container["Config"]["Labels"] or {}
    own = record.get("id") == container["Id"]
    read_last = record.get("reload") if own else labels.get(f"{LABEL}reload-digest")
    return [container["Image"], container["State"]["Status"], labels.get(f"{LABEL}start-digest"), read_last]


def applied(record: dict[str, object], invocation: str) -> dict[str, object]:
    """A record without what differs from run to run, and without a restart that happened since it was announced."""
    found = {key: record[key] for key in ("start",) if record.get(key)}
    due = record.get("due") and record.get("since") in (None, invocation)
    return found | ({"due": True} if due else {})


def addresses() -> list[str]:
    found = json.loads(output("ip", "-json", "address") or "[]")
    return sorted(
        f"{link['ifname']} {one['local']}/{one['prefixlen']}"
        for link in found
        for one in link["addr_info"]
        if one["scope"] == "global"
    )


# -- behind APIs -----------------------------------------------------------------------------------------------------------


TABLES = "FROM information_schema.tables WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')"
EACH = "CONCAT('SELECT \"', table_schema, '.', table_name, '\", version_num FROM ', table_schema, '.', table_name)"
SQL = {
    "mariadb": {
        "databases": "SHOW DATABASES",
        "users": "SELECT user, host, SHA2(authentication_string, 256), ssl_type FROM mysql.user",
        "rights": "SELECT * FROM mysql.db",
        "tables": f"SELECT CONCAT(table_schema, '.', table_name) {TABLES}",
        "schemas": f"SET @each = (SELECT GROUP_CONCAT({EACH} SEPARATOR ' UNION ALL ') {TABLES} "
        "AND table_name RLIKE '^alembic_version'); EXECUTE IMMEDIATE IFNULL(@each, 'SELECT 0')",
    },
    "keystone": {
        "endpoints": "SELECT interface, region_id, url, enabled FROM keystone.endpoint",
        "services": "SELECT type, enabled, extra FROM keystone.service",
        "roles": "SELECT name, domain_id FROM keystone.role",
        "projects": "SELECT name, is_domain, enabled FROM keystone.project",
        "users": "SELECT name, domain_id FROM keystone.local_user",
        "assignments": "SELECT a.type, l.name, p.name, r.name FROM keystone.assignment a "
        "LEFT JOIN keystone.local_user l ON l.user_id = a.actor_id LEFT JOIN keystone.project p ON p.id = a.target_id "
        "JOIN keystone.role r ON r.id = a.role_id",
    },
    "nova-api": {
        "cells": "SELECT name, SHA2(CONCAT(transport_url, database_connection), 256), disabled FROM nova_api.cell_mappings",
        "hosts": "SELECT h.host, c.name FROM nova_api.host_mappings h JOIN nova_api.cell_mappings c ON c.id = h.cell_id",
    },
}
"""Instance -> what of it is in the database, each the rows of a statement."""


def database() -> dict[str, object]:
    """All of SQL by one process in the container: to start one costs as much as all the answers."""
    asked = [(instance, kind) for instance in SQL if instance in manifest for kind in SQL[instance]]
    script = "".join(f"SELECT '== {number}'; {SQL[one][kind]};\n" for number, (one, kind) in enumerate(asked))
    client = (ENGINE, "exec", "--interactive", "mariadb", "mariadb", "--skip-column-names", "--batch", "--force")
    done = subprocess.run(client, input=script, capture_output=True, text=True, check=False)
    rows = [part.splitlines()[1:] for part in re.split(r"^== (?=\d+$)", done.stdout, flags=re.MULTILINE)[1:]]
    found: dict[str, dict[str, object]] = {instance: {"wrong": done.stderr.strip()} for instance, _ in asked}
    for (instance, kind), answer in zip(asked, rows, strict=False):
        found[instance][kind] = sorted(answer)
    return dict(found)


def rabbitmq() -> dict[str, object]:
    """Names and rights; password hashes are salted."""
    kinds = {"users": ("name", "tags"), "vhosts": ("name",), "policies": ("name", "vhost", "pattern", "definition")}
    kinds["permissions"] = ("user", "vhost", "configure", "write", "read")
    context = read(f"{CONFIG}/rabbitmq/resources/context.json")
    login = base64.b64encode(f"{context['user']}:{context['password']}".encode()).decode()
    trust = ssl.create_default_context(cafile=str(context["ca"]))
    found: dict[str, object] = {}
    for kind, keys in kinds.items():
        url = f"https://{context['host']}:{context['port']}/api/{kind}"
        asked = urllib.request.Request(url, headers={"authorization": f"Basic {login}"})
        rows = json.loads(urllib.request.urlopen(asked, timeout=10, context=trust).read())  # noqa: S310
        found[kind] = sorted(json.dumps([row.get(key) for key in keys]) for row in rows)
    return found


def ceph() -> dict[str, object]:
    def ask(*command: str) -> object:
        login = ("--name", "mon.", "--keyring", "/var/lib/ceph/mon/store/keyring", "--connect-timeout", "15")
        said = inside("ceph-mon", "ceph", *login, *command, "--format", "json")
        return json.loads(said) if said.lstrip().startswith(("{", "[")) else said

    keys = ask("auth", "ls")
    pools, rules = ask("osd", "pool", "ls", "detail"), ask("osd", "crush", "rule", "dump")
    options, stored = ask("config", "dump"), ask("config-key", "ls")
    pool_facts = ("pool_name", "size", "min_size", "application_metadata", "pg_autoscale_mode", "options")
    ours = {name.removeprefix("scs-deploy/key/") for name in stored}
    return {
        "clients": [
            [one["entity"], one["caps"], mark(one["key"]) if one["entity"] in ours else ""] for one in keys["auth_dump"]
        ],
        "pools": sorted(json.dumps({key: pool.get(key) for key in pool_facts}, sort_keys=True) for pool in pools),
        "rules": sorted(json.dumps([rule["rule_name"], rule["steps"]], sort_keys=True) for rule in rules),
        "options": sorted(f"{one['section']} {one['mask']} {one['name']} = {one['value']}" for one in options),
        "marks": sorted(name for name in stored if name.startswith("scs-deploy/")),
    }


def ovsdb(container: str, program: str, socket: str, table: str, *columns: str) -> list[str]:
    """Rows of a table of an OVS database, without what northd draws at random."""
    said = inside(
        container, program, f"--db=unix:{socket}", "--format=json", f"--columns={','.join(columns)}", "list", table
    )
    if not said.startswith("{"):
        return [said]
    rows = json.loads(said)["data"]
    return sorted(json.dumps(_plain(row), sort_keys=True) for row in rows)


def _plain(value: object) -> object:
    """OVSDB's maps and sets as JSON has them."""
    if isinstance(value, list) and len(value) == 2 and value[0] == "map":
        return {key: _plain(one) for key, one in value[1] if key not in RANDOM_OPTIONS}
    if isinstance(value, list) and len(value) == 2 and value[0] == "set":
        return sorted(map(str, map(_plain, value[1])))
    return [_plain(one) for one in value] if isinstance(value, list) else value


def openvswitch() -> dict[str, object]:
    server, socket = "openvswitch-db", "/run/openvswitch/db.sock"
    return {
        "switch": ovsdb(server, "ovs-vsctl", socket, "Open_vSwitch", "external_ids", "other_config"),
        "bridges": sorted(inside(server, "ovs-vsctl", f"--db=unix:{socket}", "list-br").split()),
    }


def ovn() -> dict[str, object]:
    north, south = "/run/ovn/ovn-nb.sock", "/run/ovn/ovn-sb.sock"
    return {
        "north": ovsdb("ovn-nb", "ovn-nbctl", north, "NB_Global", "name", "options"),
        "south": ovsdb("ovn-sb", "ovn-sbctl", south, "SB_Global", "options"),
        "chassis": ovsdb("ovn-sb", "ovn-sbctl", south, "Chassis", "name", "hostname"),
        "tunnels": ovsdb("ovn-sb", "ovn-sbctl", south, "Encap", "type", "ip", "chassis_name"),
    }


BEHIND: dict[str, Callable[[], object]] = {
    "rabbitmq": rabbitmq,
    "ceph-mon": ceph,
    "openvswitch-vswitchd": openvswitch,
    "ovn-nb": ovn,
}
"""Instance -> what is kept behind its API, other than in the database."""


def behind(instance: str) -> object:
    """An API that does not answer is part of the state, so that it is seen."""
    try:
        return BEHIND[instance]()
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"


def invocation(instance: str) -> str:
    """Of an instance's unit, as systemd calls the present one."""
    return started_as.get(manifest.get(instance, {}).get("unit", ""), "")


# -- all of it -------------------------------------------------------------------------------------------------------------

manifest = read(f"{STATE}/manifest.json").get("instances", {})
units = sorted({entry["unit"] for entry in manifest.values() if entry["unit"]})
states = shown_units(units)
inspected = containers()
started_as = {one["Id"]: one["InvocationID"] for one in states}
starts = {one["Id"]: one["ActiveEnterTimestampMonotonic"] for one in states}
starts |= {one["Name"]: one["State"]["StartedAt"] for one in inspected}
if "--starts" in sys.argv:
    json.dump({"starts": starts}, sys.stdout)
    sys.exit()

records = {path.stem: read(path) for path in sorted(Path(f"{STATE}/records").glob("*.json"))}

end = {
    "files": files(manifest),
    "data": {path: listed(Path(path)) for entry in manifest.values() for path in entry["data"] if Path(path).exists()},
    "manifest": manifest,
    "jobs": {path.name: read(path) for path in sorted(Path(f"{STATE}/jobs").glob("*"))},
    "labels": {path.name: path.read_text() for path in sorted(Path(f"{STATE}/labels").glob("*"))},
    "records": {name: told for name, record in records.items() if (told := applied(record, invocation(name)))},
    "units": {one["Id"]: [one["ActiveState"], one["UnitFileState"]] for one in states},
    "failed": failed_units(),
    "containers": {one["Name"]: in_force(one, records.get(one["Name"], {})) for one in inspected},
    "volumes": len(output(ENGINE, "volume", "ls", "--quiet").split()),
    "firewall": output("nft", "--stateless", "list", "table", "inet", "scs_deploy").splitlines(),
    "addresses": addresses(),
    "apis": database() | {name: behind(name) for name in BEHIND if name in manifest},
    "temporary": sorted(str(path) for top in TEMPORARY for path in Path(top).glob("ansible*")),
}
json.dump({"end": end, "starts": starts}, sys.stdout)
