#!/usr/bin/env python3
"""Hooks of a cluster's member, called by their names: ``probe`` tells what its data folder holds, ``form`` lets it start a new cluster.

``cluster.json`` beside it: ``member_when``, a path with wildcards that holds something once there is data; ``order``, a file that
the next start uses up.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(sys.argv[0]).resolve()


def main() -> int:
    cluster = json.loads(HERE.with_name("cluster.json").read_text(encoding="utf-8"))
    found = [
        path
        for path in pathlib.Path("/").glob(cluster["member_when"].lstrip("/"))
        if path.is_dir() or path.stat().st_size
    ]
    if HERE.name == "probe":
        json.dump({"state": "member" if found else "empty"}, sys.stdout)
        return 0
    if found:
        sys.stderr.write(f"{found[0]} belongs to a cluster already: a new one is formed only from empty folders\n")
        return 1
    order = pathlib.Path(cluster["order"])
    order.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    order.touch()
    json.dump({"ordered": "form"}, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
