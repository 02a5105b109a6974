"""Commands to the monitors, run by Ceph's own library inside the container of a monitor: one exec for all of a pass."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Difference

MARK = "scs-deploy/"
"""Prefix in the cluster's key-value store of what was made by us: only that is ever reported as no longer wanted."""

TIMEOUT = 15
TRIES = 3
"""Of a library that aborts now and then as it starts (librados 20.2: "std::get: wrong index for variant"). What it was told it may be told again."""
_SCRIPT = """
import concurrent.futures, json, sys, rados
given = json.loads(GIVEN)
cluster = rados.Rados(name="mon.", conffile="/etc/ceph/ceph.conf", conf={
    "keyring": "/var/lib/ceph/mon/store/keyring", "client_mount_timeout": str(given["timeout"]),
    "rados_mon_op_timeout": str(given["timeout"])})
try:
    cluster.connect()
except rados.Error as error:
    sys.exit(f"no quorum of monitors answers: {error}")
def in_order(commands):
    answers = []
    for command, data in commands:
        code, text, why = cluster.mon_command(json.dumps(command), data.encode())
        answers.append([code, text.decode(), why])
        if code < 0:
            break
    return answers
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(json.dumps(list(pool.map(in_order, given["groups"]))))
"""

Command = Mapping[str, Any]

_LOOK: tuple[Command, ...] = (
    {"prefix": "auth ls", "format": "json"},
    {"prefix": "config-key ls", "format": "json"},
    {"prefix": "osd pool ls", "detail": "detail", "format": "json"},
    {"prefix": "osd crush rule dump", "format": "json"},
    {"prefix": "config dump", "format": "json"},
)
_seen: dict[str, Any] = {}


def look(context: Mapping[str, str]) -> dict[str, Any]:
    """Return everything that the kinds compare, asked once: ``keys``, ``marks``, ``pools``, ``rules``, ``options``."""
    if not _seen:
        keys, stored, pools, rules, options = (json.loads(text) for text in run(context, *((one, "") for one in _LOOK)))
        marks = {name.removeprefix(MARK) for name in stored if name.startswith(MARK)}
        _seen.update(keys=keys["auth_dump"], marks=marks, pools=pools, rules=rules, options=options)
    return _seen


def run(context: Mapping[str, str], *commands: tuple[Command, str]) -> list[str]:
    """Carry out monitor commands, each with its input data, in order, and return their outputs.

    Raises ``RuntimeError`` with the monitors' own words, which hold no keys.
    """
    return run_groups(context, [commands])[0]


def run_groups(context: Mapping[str, str], groups: Sequence[Sequence[tuple[Command, str]]]) -> list[list[str]]:
    """Carry out groups side by side, the commands of each in order: monitors take about a second to agree on a change.

    Raises ``RuntimeError`` as ``run`` does, after all groups have ended.
    """
    given = json.dumps({"timeout": TIMEOUT, "groups": groups})
    for _ in range(TRIES):
        done = subprocess.run(
            [context["engine"], "exec", "--interactive", context["container"], "python3", "-I", "-"],
            input=f"GIVEN = {given!r}\n{_SCRIPT}",
            capture_output=True,
            text=True,
            timeout=TIMEOUT * 4,
            check=False,
        )
        if done.returncode != 128 + signal.SIGABRT:
            break
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    found = json.loads(done.stdout)
    for commands, answers in zip(groups, found, strict=True):
        code, _, why = answers[-1] if answers else (0, "", "")
        if code < 0:
            raise RuntimeError(f"{commands[len(answers) - 1][0]['prefix']}: {why or code}")
    return [[text for _, text, _ in answers] for answers in found]


def mark(kind: str, name: str) -> tuple[Command, str]:
    return {"prefix": "config-key set", "key": f"{MARK}{kind}/{name}", "val": "1"}, ""


def unmark(kind: str, name: str) -> tuple[Command, str]:
    return {"prefix": "config-key rm", "key": f"{MARK}{kind}/{name}"}, ""


def difference(what: str, actual: object, wanted: object) -> Difference:
    """Return what differs beyond the attributes that an item names."""
    return {"what": what, "is": str(actual) or "none", "wanted": str(wanted) or "none"}


def told(wanted: Sequence[str] | Mapping[str, Any], actual: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the actual attributes that were asked about."""
    return {key: actual.get(key) for key in wanted}
