"""Runs on a node: prints its end state without times and, beside it, when everything was started."""

import base64
import hashlib
import json
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

CONFIG = "/etc/scs-deploy"
STATE = "/var/lib/scs-deploy/state"
ENGINE = sys.argv[1]


def output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def listed(path: Path) -> list[object]:
    found = path.lstat()
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return [content, f"{found.st_mode:o}", found.st_uid, found.st_gid]


def mariadb(query: str) -> list[str]:
    argv = (ENGINE, "exec", "mariadb", "mariadb", "--skip-column-names", "--batch", "--execute", query)
    return sorted(output(*argv).splitlines())


def rabbitmq() -> dict[str, list[object]]:
    """Names and rights; password hashes are salted."""
    try:
        context = json.loads(Path(f"{CONFIG}/rabbitmq/resources/context.json").read_text())
        login = base64.b64encode(f"{context['user']}:{context['password']}".encode()).decode()
        trust = ssl.create_default_context(cafile=context["ca"])
        found = {}
        for kind in ("users", "vhosts", "permissions"):
            url = f"https://{context['host']}:{context['port']}/api/{kind}"
            asked = urllib.request.Request(url, headers={"authorization": f"Basic {login}"})
            rows = json.loads(urllib.request.urlopen(asked, timeout=10, context=trust).read())  # noqa: S310
            found[kind] = sorted([row.get(key) for key in ("name", "user", "vhost", "tags", "write")] for row in rows)
    except OSError as error:
        return {"error": [str(error)]}
    return found


manifest = json.loads(Path(f"{STATE}/manifest.json").read_text())["instances"]
files = {str(path) for path in Path(CONFIG).rglob("*")} | {str(p) for p in Path("/etc/containers/systemd").glob("*")}
files |= {path for entry in manifest.values() for path in entry["files"]}
folders = [path for entry in manifest.values() for path in entry["data"]]
units = sorted({entry["unit"] for entry in manifest.values() if entry["unit"]})
shown = "Id,ActiveState,UnitFileState,ActiveEnterTimestampMonotonic"
states = [
    dict(line.split("=", 1) for line in block.splitlines())
    for block in output("systemctl", "show", f"--property={shown}", *units).split("\n\n")
    if block.strip()
]
names = output(ENGINE, "ps", "--all", "--format", "{{.Names}}").split()
inspected = json.loads(output(ENGINE, "inspect", *names)) if names else []
containers = {found["Name"].lstrip("/"): found for found in sorted(inspected, key=lambda found: found["Name"])}

end = {
    "files": {path: listed(Path(path)) for path in sorted(files) if Path(path).exists()},
    "data": {path: listed(Path(path)) for path in sorted(folders)},
    "manifest": manifest,
    "jobs": {path.name: json.loads(path.read_text()) for path in sorted(Path(f"{STATE}/jobs").glob("*"))},
    "labels": {path.name: path.read_text() for path in sorted(Path(f"{STATE}/labels").glob("*"))},
    "units": {one["Id"]: [one["ActiveState"], one["UnitFileState"]] for one in states},
    "containers": {
        name: [
            one["Image"].removeprefix("sha256:"),
            one["State"]["Status"],
            one["Config"]["Labels"].get("scs-deploy.start-digest"),
        ]
        for name, one in containers.items()
    },
    "databases": mariadb("SHOW DATABASES"),
    "users": mariadb("SELECT user, host, authentication_string, ssl_type FROM mysql.user"),
    "rights": mariadb("SELECT user, host, db, insert_priv FROM mysql.db"),
    "tables": mariadb("SELECT table_name FROM information_schema.tables WHERE table_schema = 'keystone'"),
    "endpoints": mariadb("SELECT interface, region_id, url, enabled FROM keystone.endpoint"),
    "roles": mariadb("SELECT name FROM keystone.role"),
    "rabbitmq": rabbitmq(),
}
starts = {one["Id"]: one["ActiveEnterTimestampMonotonic"] for one in states}
starts |= {name: one["State"]["StartedAt"] for name, one in containers.items()}
json.dump({"end": end, "starts": starts}, sys.stdout)
