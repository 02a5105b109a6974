#!/usr/bin/python3 -I
"""What must be so before daemons of the cluster are restarted, and after: asked of the monitors. Exit code 1 says what is missing.

quorum: all monitors are in quorum.
whole: all OSDs that count are up too, and all placement groups are whole.
before-osds: whole, before the first OSD gets another version; monitors and managers have it already.
release: all OSDs have it: what only that version knows is switched on, and earlier ones can never join again.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import rados

ETC, OSD = pathlib.Path("/etc/ceph"), pathlib.Path("/tmp/osd")
PAUSE = 2.0
KEYS = (
    "AUTH_INSECURE_CLIENT_KEY_TYPE",
    "AUTH_INSECURE_SERVICE_KEY_TYPE",
    "AUTH_INSECURE_KEYS_ALLOWED",
    "AUTH_INSECURE_KEYS_CREATABLE",
)
"""What the cluster says of keys of the kind that clients of 18.2 know: it is so on purpose while there are such clients."""
CIPHER = "aes256k"
"""Of the tickets between daemons; clients hand them on and need not understand them."""


def setting(name: str) -> int:
    """``ceph``: the number of that user; ``patience``: seconds that a job waits for copies to be whole."""
    return int(json.loads((ETC / "gate.json").read_text())[name])


def login() -> tuple[str, pathlib.Path]:
    """An OSD asks with its own key, as the user it runs as; a monitor with the administrator's."""
    if (ETC / "osd-seed").exists():
        os.setgroups([])
        os.setgid(setting("ceph"))
        os.setuid(setting("ceph"))
        return f"osd.{(OSD / 'whoami').read_text().strip()}", OSD / "keyring"
    return "client.admin", ETC / "ceph.client.admin.keyring"


class Monitors:
    def __init__(self) -> None:
        name, keyring = login()
        options = {"keyring": str(keyring), "client_mount_timeout": "15", "rados_mon_op_timeout": "15"}
        self._cluster = rados.Rados(name=name, conffile=str(ETC / "ceph.conf"), conf=options)
        self._cluster.connect()

    def ask(self, prefix: str, **arguments: object) -> Any:
        code, text, why = self._cluster.mon_command(json.dumps({"prefix": prefix, "format": "json", **arguments}), b"")
        if code:
            sys.exit(f"{prefix}: {why or code}")
        return json.loads(text) if text.strip() else {}


def absent(status: dict[str, Any]) -> list[str]:
    """The monitors that are missing; ``status`` is the answer of the others."""
    number = status["monmap"]["num_mons"] - len(status["quorum_names"])
    return [f"{number} of {status['monmap']['num_mons']} monitors are not in quorum"] if number else []


def missing(status: dict[str, Any]) -> list[str]:
    """What a restart must not be added to."""
    found = absent(status)
    osds = status["osdmap"]
    if osds["num_up_osds"] < osds["num_in_osds"]:
        found.append(f"{osds['num_in_osds'] - osds['num_up_osds']} of {osds['num_in_osds']} OSDs are down")
    groups: Counter[str] = Counter()
    for one in status["pgmap"]["pgs_by_state"]:
        groups["clean" if {"active", "clean"} <= set(one["state_name"].split("+")) else one["state_name"]] += one[
            "count"
        ]
    groups["unknown"] += max(0, status["pgmap"]["num_pgs"] - groups.total())
    found += [f"{count} placement groups are {state}" for state, count in groups.items() if count and state != "clean"]
    return found


def tell(what: list[str]) -> None:
    if what:
        sys.exit(", ".join(what))


def until_whole(cluster: Monitors) -> dict[str, Any]:
    began, patience = time.monotonic(), setting("patience")
    status: dict[str, Any]
    while what := missing(status := cluster.ask("status")):
        if time.monotonic() - began > patience:
            sys.exit(f"after {patience} s still: {', '.join(what)}")
        time.sleep(PAUSE)
    return status


def before_osds(cluster: Monitors) -> None:
    if not cluster.ask("status")["osdmap"]["num_osds"]:
        return
    mine = own()
    for kind in ("mon", "mgr"):
        others = [text for text in cluster.ask("versions").get(kind, {}) if version(text) != version(mine)]
        if others:
            sys.exit(f"a {kind} still runs {others[0].partition(' (')[0]}: OSDs come after it")
    checks = until_whole(cluster)["health"]["checks"]
    for name, one in checks.items():
        print(f"{one['severity']}: {name}: {one['summary']['message']}")
    # Tickets of the old kind end some hours after the daemons are new.
    tell(
        [
            one["summary"]["message"]
            for name, one in checks.items()
            if one["severity"] == "HEALTH_ERR" and not one.get("muted") and not name.startswith("AUTH_INSECURE_")
        ]
    )


def release(cluster: Monitors) -> None:
    osds = cluster.ask("osd dump")
    if osds["osds"]:
        require(cluster, osds.get("require_osd_release", ""))
    if cluster.ask("mon dump").get("auth_service_cipher", CIPHER) != CIPHER:
        cluster.ask("mon set", name="auth_service_cipher", value=CIPHER)
    muted = {one["code"] for one in cluster.ask("status")["health"].get("mutes", ())}
    for code in KEYS:
        if code not in muted:
            cluster.ask("health mute", code=code, sticky=True)


def require(cluster: Monitors, needed: str) -> None:
    mine = own()
    (name,) = re.findall(r"\) (\w+) \(", mine)
    if needed == name:
        return
    for one in cluster.ask("osd metadata"):  # of those that are down too, as they were last up
        if version(one.get("ceph_version", mine)) < version(mine):
            sys.exit(
                f"osd.{one['id']} on {one.get('hostname', 'an unknown host')} last ran {one['ceph_version'].partition(' (')[0]}:"
                f" the cluster stays at {needed} until it has run {mine.partition(' (')[0]}, or `ceph osd purge` took it out"
            )
    until_whole(cluster)
    cluster.ask("osd require-osd-release", release=name)
    print(f"the cluster needs OSDs of {name} from now on ({needed} before)")


def own() -> str:
    return subprocess.run(["ceph-mon", "--version"], capture_output=True, text=True, check=True).stdout


def version(text: str) -> tuple[int, ...]:
    """(20, 2, 4) of ``ceph version 20.2.4 (…) tentacle (stable)``."""
    return tuple(int(number) for number in re.findall(r"(\d+)\.(\d+)\.(\d+)", text)[0])


GATES = {
    "quorum": lambda cluster: tell(absent(cluster.ask("status"))),
    "whole": lambda cluster: tell(missing(cluster.ask("status"))),
    "before-osds": before_osds,
    "release": release,
}

if __name__ == "__main__":
    GATES[sys.argv[1]](Monitors())
