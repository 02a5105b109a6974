"""The catalogue, kept between runs: reading and checking what all roles say anew takes every command a fifth of a second."""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from scs_deploy.catalogue.load import FILE, Catalogue, load_catalogue
from scs_deploy.errors import DeployError
from scs_deploy.machine import paths
from scs_deploy.machine.files import DAMAGED, write_atomic

_CODE = (
    "catalogue/*.py",
    "documents/*.py",
    "ansible_collections/scs/node/plugins/module_utils/paths.py",
)
"""What makes a catalogue of files, besides libraries."""


def kept_catalogue(search: Sequence[Path], folder: Path) -> Catalogue:
    """Return what ``load_catalogue`` does; ``folder``, a private one, holds what it was when nothing of it has changed since."""
    digest = _digest(search)
    file = folder / f"catalogue-{hashlib.sha256(repr(search).encode()).hexdigest()[:16]}"
    with suppress(*DAMAGED):
        content = file.read_bytes()
        if content.startswith(digest):
            found = pickle.loads(content[len(digest) :])  # noqa: S301 - our own, in a folder of our own
            if isinstance(found, Catalogue):
                return found
    catalogue = load_catalogue(search)
    with suppress(DeployError):  # a full disk, or one that cannot be written: it is read anew
        write_atomic(file, digest + pickle.dumps(catalogue), sync=False)
    return catalogue


def _digest(search: Sequence[Path]) -> bytes:
    """Of all that a catalogue is made of: descriptions, which files lie beside them, and what reads and checks them."""
    made = hashlib.sha256()
    libraries = [sys.version, *(version(name) for name in ("pydantic", "jsonschema", "PyYAML"))]
    for part in (*libraries, *_parts(search)):
        data = part if isinstance(part, bytes) else part.encode()
        made.update(b"%d\n%b" % (len(data), data))
    return made.digest()


def _parts(search: Sequence[Path]) -> Iterator[str | bytes]:
    for pattern in _CODE:
        for path in sorted(paths.PACKAGE.glob(pattern)):
            yield from (path.name, path.read_bytes())
    for root in search:
        for path in sorted(root.glob(f"*/{FILE}")):
            yield from (str(path), path.read_bytes())
            for folder in sorted(one for one in path.parent.iterdir() if one.is_dir()):
                yield from sorted(str(one) for one in folder.rglob("*") if one.is_file() and one.suffix != ".pyc")
