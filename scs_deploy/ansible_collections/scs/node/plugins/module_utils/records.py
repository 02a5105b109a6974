"""Bookkeeping below STATE_ROOT: the node's manifest, when instances were started from what, and which jobs are done.

The manifest names every file an instance has, so that nothing is lost track of: it is widened before the first write and
trimmed as the very last one.
"""

from __future__ import annotations

import json
from typing import Any

from . import files
from .host import Host
from .paths import LABEL_INSTANCE, LABEL_RELOAD, LABEL_START, STATE_ROOT, labels_file

_MANIFEST = f"{STATE_ROOT}/manifest.json"


def _read(host: Host, name: str) -> dict[str, Any]:
    try:
        data = json.loads(host.path(name).read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _write(host: Host, name: str, data: dict[str, Any]) -> None:
    files.write(host.path(name), json.dumps(data, indent=1, sort_keys=True).encode(), 0o600, *_owner(host))


def _owner(host: Host) -> tuple[int, int]:
    found = host.root.stat()
    return found.st_uid, found.st_gid


def manifest(host: Host) -> dict[str, dict[str, Any]]:
    """Return ``{instance: {"unit", "kind", "files", "data"}}``; empty when there is none or it is damaged."""
    instances = _read(host, _MANIFEST).get("instances", {})
    return instances if isinstance(instances, dict) else {}


def widen(host: Host, name: str, entry: dict[str, Any]) -> None:
    """Before the first write: note also the files that are about to appear."""
    everything = manifest(host)
    known = everything.get(name, {})
    wider = {**known, **entry}
    for key in ("files", "data"):
        wider[key] = sorted({*known.get(key, []), *entry.get(key, [])})
    if wider != known:
        _write(host, _MANIFEST, {"v": 1, "instances": {**everything, name: wider}})


def settle(host: Host, name: str, entry: dict[str, Any]) -> None:
    """After everything else: the instance has exactly these files."""
    everything = manifest(host)
    exact = {**entry, "files": sorted(entry.get("files", [])), "data": sorted(entry.get("data", []))}
    if everything.get(name) != exact:
        _write(host, _MANIFEST, {"v": 1, "instances": {**everything, name: exact}})


def forget(host: Host, name: str) -> None:
    everything = manifest(host)
    if everything.pop(name, None) is not None:
        _write(host, _MANIFEST, {"v": 1, "instances": everything})


def labels_text(name: str, start: str, reload: str) -> str:
    return f"{LABEL_INSTANCE}={name}\n{LABEL_START}={start}\n{LABEL_RELOAD}={reload}\n"


def write_labels(host: Host, name: str, start: str, reload: str) -> None:
    path = host.path(labels_file(name))
    text = labels_text(name, start, reload).encode()
    try:
        same = path.read_bytes() == text
    except OSError:
        same = False
    if not same:
        files.write(path, text, 0o600, *_owner(host))


def labels_right(host: Host, name: str, start: str, reload: str) -> bool:
    return host.read(labels_file(name)) == labels_text(name, start, reload).strip()


def record(host: Host, name: str) -> dict[str, Any]:
    """Return ``{"due", "since", "id", "start", "reload"}`` of an instance.

    ``due``: a restart was announced and not finished. ``since``: the unit's invocation at the moment when all files were in
    place; any later invocation has read them, so the restart happened. ``id``, ``reload``: what was reloaded from which input.
    """
    return _read(host, f"{STATE_ROOT}/records/{name}.json")


def write_record(host: Host, name: str, data: dict[str, Any]) -> None:
    if record(host, name) != data:
        _write(host, f"{STATE_ROOT}/records/{name}.json", data)


def forget_record(host: Host, name: str) -> None:
    for path in (f"{STATE_ROOT}/records/{name}.json", labels_file(name)):
        if host.exists(path):
            files.delete(host.path(path))


def restart_due(found: dict[str, Any], invocation: str) -> bool:
    """Tell whether an announced restart is still to be done, given the unit's present invocation."""
    if not found.get("due"):
        return False
    seen = found.get("since")
    return seen is None or not invocation or invocation == seen


def job(host: Host, name: str) -> dict[str, Any]:
    """Return ``{"state": "never" | "started" | "done", "digest"}`` of a job."""
    found = _read(host, f"{STATE_ROOT}/jobs/{name}.json")
    return {"state": found.get("state", "never"), "digest": found.get("digest", "")}


def write_job(host: Host, name: str, state: str, digest: str, instance: str = "") -> None:
    _write(host, f"{STATE_ROOT}/jobs/{name}.json", {"state": state, "digest": digest, "instance": instance})


def forget_jobs(host: Host, instance: str) -> None:
    """The jobs of an instance whose data is gone have to be done anew."""
    for path in sorted(host.path(f"{STATE_ROOT}/jobs").glob("*.json")):
        if _read(host, f"{STATE_ROOT}/jobs/{path.name}").get("instance") == instance:
            files.delete(path)
