"""Runs on a node: damages every instance of some components, and prints what each file was like before, as JSON."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

MANIFEST = Path("/var/lib/scs-deploy/state/manifest.json")


def identity(path: Path) -> list[Any]:
    """Digest, mode and owner: all that a repair must bring back."""
    status = path.stat()
    return [hashlib.sha256(path.read_bytes()).hexdigest(), status.st_mode & 0o7777, status.st_uid, status.st_gid]


def damage(entry: dict[str, Any]) -> dict[str, list[Any]]:
    """The first file is edited, the last one deleted, the one before opened to everybody; with one file it is edited.

    The engine's unit stays: without it containers are unknown, which is a failure and not damage.
    """
    if entry["unit"].endswith(".service") and entry["unit"] != "docker.service":
        subprocess.run(["systemctl", "stop", entry["unit"]], check=True, stderr=subprocess.DEVNULL)
    # The unit's own file counts as the last one, whatever its name.
    files = sorted(map(Path, entry["files"]), key=lambda path: (path.parts[:3] in UNITS, path))
    before = {str(path): identity(path) for path in files}
    if files:
        with files[0].open("ab") as stream:
            stream.write(b"\n# damaged\n")
    if len(files) > 1:
        files[-1].unlink()
    if len(files) > 2:
        files[-2].chmod(0o666)
    return before


UNITS = (Path("/etc/systemd/system").parts[:3], Path("/etc/containers/systemd").parts[:3])


def main() -> None:
    instances = json.loads(MANIFEST.read_text(encoding="utf-8"))["instances"]
    chosen = {name: entry for name, entry in instances.items() if name.partition(".")[0] in sys.argv[1:]}
    print(json.dumps({name: damage(entry) for name, entry in chosen.items()}))  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
