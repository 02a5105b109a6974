"""Runs on a node: tells in one JSON how instances really are - processes, listeners, files, units - for the common tests."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MANIFEST = Path("/var/lib/scs-deploy/state/manifest.json")


def output(*argv: str) -> str:
    return subprocess.run(argv, check=False, capture_output=True, text=True).stdout.strip()


def container(engine: str, name: str) -> dict[str, Any]:
    """All processes of a container, as the kernel sees them; ``pid`` 0: it does not run."""
    pid = int(output(engine, "inspect", "--format", "{{.State.Pid}}", name) or 0)
    if not pid:
        return {"pid": 0, "processes": [], "root": ""}
    space = (Path("/proc") / str(pid) / "ns/mnt").readlink()
    same = [int(one.name) for one in Path("/proc").glob("[0-9]*") if namespace(one) == space]
    mounts = [line.split() for line in (Path("/proc") / str(pid) / "mountinfo").read_text().splitlines()]
    root = next(fields[5] for fields in mounts if fields[4] == "/")
    return {"pid": pid, "root": root, "processes": [found for one in same if (found := process(one))]}


def namespace(folder: Path) -> Path | None:
    try:
        return (folder / "ns/mnt").readlink()
    except OSError:
        return None


def process(pid: int) -> dict[str, Any] | None:
    try:
        text = (Path("/proc") / str(pid) / "status").read_text()
    except OSError:
        return None
    status = dict(line.split(":", 1) for line in text.splitlines())
    return {
        "pid": pid,
        "name": status["Name"].strip(),
        "uid": int(status["Uid"].split()[1]),
        "gid": int(status["Gid"].split()[1]),
        "capabilities": int(status["CapPrm"], 16),
        "seccomp": int(status["Seccomp"]),
    }


def listeners(pids: Iterable[int]) -> list[list[Any]]:
    """``[protocol, address, port]`` of every socket that waits for others."""
    marks = tuple(f"pid={pid}," for pid in pids)
    found = []
    for line in output("ss", "-Hltunp").splitlines():
        fields = line.split()
        if any(mark in line for mark in marks):
            address, _, port = fields[4].rpartition(":")
            found.append([fields[0], address.strip("[]").partition("%")[0], int(port)])
    return found


def files(name: str, known: Iterable[str]) -> dict[str, Any]:
    """Every file below the instance's folder and those that the manifest names elsewhere."""
    paths = {Path(path) for path in known}
    for folder, _, leaves in os.walk(f"/etc/scs-deploy/{name}"):
        paths |= {Path(folder) / leaf for leaf in leaves}
    return {str(path): file(path) for path in paths if path.exists()}


def file(path: Path) -> dict[str, Any]:
    status = path.stat()
    content = base64.b64encode(path.read_bytes()).decode()
    return {"mode": status.st_mode & 0o7777, "uid": status.st_uid, "gid": status.st_gid, "content": content}


def unit(name: str) -> dict[str, str]:
    if not name:
        return {}
    wanted = output("systemctl", "show", "-p", "ActiveState,WantedBy,RequiredBy,TriggeredBy", name)
    return dict(line.split("=", 1) for line in wanted.splitlines())


def logged(pid: int, instance: str) -> bool:
    """Whether a line that the main process prints reaches the journal under the instance's unit."""
    probe = f"scs-probe-{os.getpid()}"
    (Path("/proc") / str(pid) / "fd/1").write_text(f"{probe}\n")
    for _ in range(20):
        output("journalctl", "--sync")
        if probe in output("journalctl", "-u", instance, "-n", "50", "-o", "cat"):
            return True
    return False


def main() -> None:
    engine, *names = sys.argv[1:]
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))["instances"]
    answer = {}
    for name in names:
        entry = manifest[name]
        inside = container(engine, name) if entry["kind"] == "container" else {"pid": 0, "processes": [], "root": ""}
        answer[name] = {
            **inside,
            "listeners": listeners(one["pid"] for one in inside["processes"]),
            "files": files(name, entry["files"]),
            "unit": unit(entry["unit"]),
            "logged": bool(inside["pid"]) and logged(inside["pid"], entry["unit"]),
        }
    print(json.dumps(answer))  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
