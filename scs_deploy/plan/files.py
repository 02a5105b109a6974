"""Differences of files as people may see them: diffs with both sides masked, and never a secret file's content."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.mask import HIDDEN, mask
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import FileSeen, Seen
from scs_deploy.errors import InputError
from scs_deploy.plan.plan import Change
from scs_deploy.render.desired import File, Instance
from scs_deploy.secrets import pki
from scs_deploy.secrets.placeholders import CLOSE, OPEN

_REFERENCE = re.compile(f"{OPEN}[^{CLOSE}]*{CLOSE}")
_CONTEXT_LINES = 2
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


def differing(instance: Instance, seen: Seen | None) -> list[tuple[File, FileSeen]]:
    """Return the files that are not as wanted, with what the node said of each; all of them when it said nothing."""
    if seen is None:
        return [(file, FileSeen("absent")) for file in instance.files]
    return [(file, seen.files[file.path]) for file in instance.files if file.path in seen.files]


def changes(found: Iterable[tuple[File, FileSeen]]) -> list[Change]:
    """Describe the files to write; those of reconcilers and hooks are summed up."""
    described: list[Change] = []
    quiet = 0
    for file, entry in found:
        if file.bookkeeping:
            quiet += 1
        else:
            described.append(_change(file, entry))
    if quiet:
        described.append(Change(f"{quiet} file{'s' if quiet > 1 else ''} of reconcilers and hooks", "written"))
    return described


def folder_changes(seen: Seen | None) -> list[Change]:
    return [
        Change(path, "folder created" if entry.state == "absent" else "folder mode and owner corrected")
        for path, entry in (sorted(seen.dirs.items()) if seen else ())
    ]


def leftovers(instance: str, seen: Seen | None, unexpected: Iterable[str], wanted_here: Collection[str]) -> list[str]:
    """Return what to delete with an instance: files it no longer has, and foreign ones in its own folder.

    A file that another instance of the node wants now (``wanted_here``) stays.
    """
    prefix = f"/etc/scs-deploy/{instance}/"
    found = {*(seen.extra if seen else ()), *(path for path in unexpected if path.startswith(prefix))}
    return sorted(found - set(wanted_here))


def shown(file: File) -> str:
    """Return the wanted text as people may see it."""
    return mask(_REFERENCE.sub(HIDDEN, file.text), file.masked)


def _change(file: File, entry: FileSeen) -> Change:
    if entry.state == "absent":
        return Change(file.path, "created", "" if file.opaque else _unified("", shown(file), file.path))
    if entry.same_content:
        old = f"{entry.mode} {entry.uid}:{entry.gid}"
        return Change(file.path, f"mode and owner: {old} becomes {file.mode} {file.uid}:{file.gid}")
    if file.opaque:
        return Change(file.path, "changed (content is secret)")
    if entry.text is None:
        return Change(file.path, "changed (what is there cannot be shown)")
    if ends := _end(entry.text):
        return Change(file.path, f"replaced, it ends on {ends}")
    diff = _unified(mask(entry.text, file.masked), shown(file), file.path)
    return Change(file.path, "changed", diff or "  (only values that are secret differ)")


def _end(text: str) -> str:
    """The day on which a certificate ends; empty where a file is none."""
    try:
        return f"{pki.look(text).ends:%Y-%m-%d}" if text.startswith(_CERTIFICATE) else ""
    except InputError:
        return ""


def _unified(old: str, new: str, path: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"on the node: {path}", "wanted", lineterm="", n=_CONTEXT_LINES
    )
    return "\n".join(lines)
