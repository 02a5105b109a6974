"""Digests of desired state: secret values are resolved, hashed and forgotten; only digests and references leave this module."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scs_deploy.catalogue.ids import Id
from scs_deploy.catalogue.names import QUADLET_ROOT, UNIT_ROOT
from scs_deploy.render.desired import Desired, DesiredItem, File, Instance, JobRun
from scs_deploy.secrets.placeholders import Resolver, certificate_of, find, reference, resolve


@dataclass(frozen=True, slots=True)
class Sealed:
    """Desired state with the digests of everything that may hold a secret."""

    desired: Desired
    files: Mapping[Id, Mapping[str, str]]
    """instance id -> path -> sha256 of the file's final content"""
    start: Mapping[Id, str]
    """instance id -> digest of all inputs that only a start takes"""
    reload: Mapping[Id, str]
    """instance id -> digest of all inputs that a reload takes"""
    jobs: Mapping[Id, str]
    """job id -> its identity"""
    items: Mapping[str, str]
    """item id -> digest of its secret, or empty"""

    def identity(self, instance: Id) -> str:
        """Return what an instance should be, as one digest."""
        return digest(self.start[instance], self.reload[instance], *sorted(self.files[instance].values()))


def digest(*parts: str) -> str:
    """Return a sha256 over unambiguously separated parts."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def seal(desired: Desired, resolver: Resolver) -> Sealed:
    """Compute all digests.

    Raises ``KeyError`` with the name of a secret that is not known, ``InputError`` for one that a file's format cannot spell.
    """
    files: dict[Id, dict[str, str]] = {}
    start: dict[Id, str] = {}
    reload: dict[Id, str] = {}
    for instance in (one for group in desired.instances.values() for one in group):
        hashed = {file.path: _content_digest(content(file, desired, resolver)) for file in instance.files}
        files[instance.id] = hashed
        start[instance.id] = _effect_digest(instance, hashed, "restart")
        reload[instance.id] = _effect_digest(instance, hashed, "reload")
    jobs = {job.id: _job_digest(job, desired, files, resolver) for job in desired.jobs}
    items = {item.id: item_digest(item, resolver) for item in desired.items}
    return Sealed(desired, files, start, reload, jobs, items)


def item_digest(item: DesiredItem, resolver: Resolver) -> str:
    """Return the digest of an item's secret; salted with its name, so that equal secrets do not show as equal."""
    return digest(item.id, resolve(item.secret, resolver)) if item.secret else ""


def content(file: File, desired: Desired, resolver: Resolver) -> str:
    """Return what a file holds on its node. Raises ``KeyError``, and ``InputError`` for a secret that its format cannot spell."""
    return resolve(_wanted_text(file, desired, resolver), resolver, file.format, file.path)


def _wanted_text(file: File, desired: Desired, resolver: Resolver) -> str:
    """Return the text of a file with the digests of secrets filled in where a reconciler compares them."""
    if not (file.bookkeeping and file.path.endswith("/wanted.json")):
        return file.text
    digests = {(item.kind, item.name, item.secret): item_digest(item, resolver) for item in desired.items}
    wanted = json.loads(file.text)
    for entry in wanted:
        entry["digest"] = digests.get((entry["kind"], entry["name"], entry["secret"]), "")
    return json.dumps(wanted, indent=1, sort_keys=True, ensure_ascii=False)


def _content_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _effect_digest(instance: Instance, hashed: Mapping[str, str], effect: str) -> str:
    parts: list[str] = []
    if effect == "restart":
        if instance.kind == "host":
            parts += ["", *instance.packages, "--", *instance.apply]
        else:
            parts += [instance.image, "--"]
    parts += _described((file for file in instance.files if file.effect == effect), hashed)
    return digest(*parts)


def _described(files: Iterable[File], hashed: Mapping[str, str]) -> list[str]:
    return [
        f"{file.path} {hashed[file.path]} {file.mode} {file.uid} {file.gid}"
        for file in sorted(files, key=lambda one: one.path)
    ]


def _job_digest(job: JobRun, desired: Desired, files: Mapping[Id, Mapping[str, str]], resolver: Resolver) -> str:
    parts = list(job.material)
    for instance in desired.on(job.node):
        if instance.name != job.instance:
            continue
        own = [file for file in instance.files if not file.bookkeeping and not _is_certificate(file)]
        if job.files_matter:
            parts += [
                files[instance.id][file.path]
                for file in own
                if file.effect != "none" and not file.path.startswith((QUADLET_ROOT, UNIT_ROOT))
            ]
        if job.secrets_matter:
            parts += [reference(name) for name in sorted(_of_jobs(own))]
    return digest(*(resolve(part, resolver) for part in parts))


def _of_jobs(files: Iterable[File]) -> set[str]:
    """Secrets that only jobs see: what they hand on, and not what they log in with."""
    return {name for file in files if file.jobs_only for name in find(file.text)}


def _is_certificate(file: File) -> bool:
    """A renewed certificate is no reason to run a job again."""
    return any(certificate_of(name) for name in find(file.text))
