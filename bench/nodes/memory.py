"""Runs on a node: memory of the processes of each uWSGI, by container, as JSON. Standard library only."""

import json
import re
from pathlib import Path

PROC = Path("/proc")


def read(path):
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


sizes = {}
for process in PROC.glob("[0-9]*"):
    if "uwsgi" in read(process / "comm"):
        pss = re.search(r"^Pss:\s+(\d+)", read(process / "smaps_rollup"), re.MULTILINE)
        unit = re.search(r"([\w-]+)\.service", read(process / "cgroup"))
        if pss and unit:
            sizes.setdefault(unit[1], []).append(int(pss[1]) / 1024)
found = {}
for name, own in sizes.items():
    workers = [size for size in own if size > max(own) / 2]
    found[name] = {
        "processes": len(workers),
        "worker_mb": round(sum(workers) / len(workers), 1),
        "other_mb": round(sum(own) - sum(workers), 1),
    }
print(json.dumps(found))
