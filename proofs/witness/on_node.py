"""Runs on a node: prints a listing of its files and what its journal tells since a cursor (first argument, may be empty)."""

import json
import os
import stat
import subprocess
import sys

NOT_LOOKED_INTO = (
    # the kernel's, or gone at the next boot
    *("/proc", "/sys", "/dev", "/run"),
    # the engine's store (what runs is told by its events), and the lab's view of the controller's images
    *("/var/lib/containers", "/var/lib/docker", "/var/lib/scs-lab"),
    # what services and the node's own daemons write by themselves: data, logs, clock drift, timers' stamps
    *("/var/lib/scs-deploy/data", "/var/log", "/var/lib/chrony", "/var/lib/systemd"),
)
FOLDERS_ONLY = {"/var/lib/scs-deploy/data": 2, "/run/scs-deploy": 1}
"""Trees whose folders are the program's as far down as is said, and what lies in them is the services'."""

UNITS = {
    "39f53479d3a045ac8e11786248231fbf": "start",
    "9d1aaa27d60140bd96365438aad20286": "stop",
    "7b05ebc668384222baa8881179cfda54": "reload",
    "be02cf6855d2428ba40df7e9d022f03d": "failure",
    "5eb03494b6584870a536b337290809b3": "restart by systemd",
}
"""Message IDs of systemd (sd-messages.h): SD_MESSAGE_UNIT_STARTED, _STOPPED, _RELOADED, _FAILED, _RESTART_SCHEDULED."""


def output(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def below(parent, name):
    return f"{parent.rstrip('/')}/{name}"


def listing():
    found = {}
    for parent, folders, names in os.walk("/"):
        folders[:] = [name for name in folders if below(parent, name) not in NOT_LOOKED_INTO]
        for name in [*folders, *names]:
            note(found, below(parent, name))
    for top, depth in FOLDERS_ONLY.items():
        for parent, folders, _ in os.walk(top):
            for name in folders:
                note(found, below(parent, name))
            if parent.count("/") - top.count("/") >= depth - 1:
                folders.clear()
    return found


def note(found, path):
    try:
        seen = os.lstat(path)
    except FileNotFoundError:
        return
    owner = [stat.S_IFMT(seen.st_mode), stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid]
    # The times of a folder are those of what lies in it.
    moments = [] if stat.S_ISDIR(seen.st_mode) else [seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns]
    found[path] = owner + moments


def contents(folder):
    """What lies in data folders: path -> size and time of the last change of its content."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            seen = os.lstat(below(parent, name))
            found[below(parent, name)] = [seen.st_size, seen.st_mtime_ns]
    return found


def told(cursor):
    """What systemd and the engine wrote into the journal: [what, subject]."""
    since = [f"--after-cursor={cursor}"] if cursor else ["--lines=1"]
    last, found = cursor, []
    for line in output("journalctl", "--no-pager", "--quiet", "--all", "--output=json", *since).splitlines():
        entry = json.loads(line)
        last = entry["__CURSOR"]
        what = UNITS.get(entry.get("MESSAGE_ID", ""))
        if what and "UNIT" in entry:
            found.append([what, entry["UNIT"]])
        elif "PODMAN_EVENT" in entry and entry.get("PODMAN_TYPE") == "container":
            found.append(["container " + entry["PODMAN_EVENT"], entry.get("PODMAN_NAME", "")])
    return last, found


def by_timers():
    """Units that timers of the node start whenever it is time."""
    rows = output("systemctl", "list-timers", "--all", "--no-legend", "--plain").splitlines()
    return sorted({word for row in rows for word in row.split()[-1:]})


def active():
    """Unit -> identity of its present life."""
    rows = output("systemctl", "list-units", "--state=active,reloading", "--no-legend", "--plain", "--no-pager")
    units = [row.split()[0] for row in rows.splitlines()]
    blocks = output("systemctl", "show", "--property=Id,InvocationID", "--", *units).split("\n\n")
    pairs = [dict(line.split("=", 1) for line in block.splitlines() if line) for block in blocks]
    return {pair["Id"]: pair.get("InvocationID", "") for pair in pairs if pair}


subprocess.run(["journalctl", "--sync"], check=False)
files = listing()
end, entries = told(sys.argv[1] if len(sys.argv) > 1 else "")
json.dump(
    {
        "files": files,
        "data": contents("/var/lib/scs-deploy/data"),
        "cursor": end,
        "told": entries if len(sys.argv) > 1 else [],
        "timers": by_timers(),
        "active": active(),
    },
    sys.stdout,
)
