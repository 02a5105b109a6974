"""What is sent to nodes: the question of observe and the steps of a wave; only here do secret values enter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import question, work
from scs_deploy.catalogue.names import is_unit_file
from scs_deploy.plan.plan import Step, Wave
from scs_deploy.render.desired import ContainerInstance, Desired, File, Instance, JobRun
from scs_deploy.render.digests import Sealed, content
from scs_deploy.secrets.placeholders import Resolver, resolve


def observe(node: str, engine: str, sealed: Sealed, facts_digest: str, *, resources: bool = True) -> question.Question:
    """Return the question for one node: expected digests, no content; owners are asked only for ``resources``."""
    desired = sealed.desired
    units = {instance.name: instance.unit for instance in desired.on(node)}
    return question.Question(
        engine,
        facts_digest,
        instances={instance.name: _expected(instance, sealed) for instance in desired.on(node)},
        jobs={job.name: sealed.jobs[job.id] for job in desired.jobs if job.node == node},
        owners={
            name: question.OwnerAsked(_reconciler(desired, name), owner.kinds, units.get(owner.instance, ""))
            for name, owner in desired.owners.items()
            if owner.node == node and resources
        },
        images=sorted({instance.image for instance in desired.on(node) if instance.kind == "container"}),
    )


def _reconciler(desired: Desired, owner: str) -> str:
    return f"/etc/scs-deploy/{desired.owners[owner].instance}/resources"


def _expected(instance: Instance, sealed: Sealed) -> question.Expected:
    digests = sealed.files[instance.id]
    common: dict[str, Any] = {
        "unit": instance.unit,
        "files": {
            file.path: question.FileMark(digests[file.path], file.mode, file.uid, file.gid) for file in instance.files
        },
        "health": replace(instance.health, settled=None),
        "start": sealed.start[instance.id],
        "reload": sealed.reload[instance.id],
        **_hidden(instance),
    }
    if instance.kind == "host":
        return question.HostExpected(**common, packages=instance.packages)
    return question.ContainerExpected(
        **common,
        dirs=_dirs(instance),
        devices=instance.devices,
        probe=instance.hook("probe"),
        package=instance.one_way.package if instance.one_way else "",
    )


def _hidden(instance: Instance) -> dict[str, Any]:
    """What is never shown of its files."""
    return {
        "mask": {file.path: file.masked for file in instance.files if file.masked},
        "opaque": [file.path for file in instance.files if file.opaque],
    }


def converge(
    run: str, wave: Wave, node: str, engine: str, holder: str, sealed: Sealed, resolver: Resolver, purge: bool
) -> work.Work:
    """Return the steps of a wave for one node, in an order that respects their needs."""
    steps = [_step(step, sealed, resolver, purge) for step in wave.steps if step.node == node]
    return work.Work(run, wave.number, engine, holder, steps)


def _step(step: Step, sealed: Sealed, resolver: Resolver, purge: bool) -> work.WorkStep:
    if step.kind == "image":
        return work.ImageStep(step.id, step.identity, step.subject, step.needs)
    if step.kind == "job":
        return _job(next(one for one in sealed.desired.jobs if one.id == step.id), step, sealed, resolver)
    if step.kind == "resources":
        changes = [replace(one, secret=resolve(one.secret, resolver)) for one in step.operations]
        return work.ResourcesStep(step.id, step.subject, _reconciler(sealed.desired, step.subject), changes, step.needs)
    if step.removed:
        return work.RemoveStep(step.id, step.subject, step.removed, step.delete, purge, needs=step.needs)
    return _instance(step, sealed, resolver)


def _job(job: JobRun, step: Step, sealed: Sealed, resolver: Resolver) -> work.JobStep:
    environment = {key: resolve(value, resolver) for key, value in job.container.environment.items()}
    container = replace(job.container, environment=environment)
    return work.JobStep(step.id, job.name, job.instance, sealed.jobs[job.id], job.timeout, container, step.needs)


def _instance(step: Step, sealed: Sealed, resolver: Resolver) -> work.InstanceStep:
    instance = next(one for one in sealed.desired.on(step.node) if one.name == step.subject)
    prepare = step.action == "prepare"
    return work.InstanceStep(
        id=step.id,
        action="prepare" if prepare else "create" if step.action == "create" else "update",
        instance=_wanted(instance, step, sealed, resolver, prepare),
        restart=step.restart,
        reload=step.reload,
        start_if_stopped=not prepare,
        form=instance.hook("form") if step.form and instance.kind == "container" else "",
        needs=step.needs,
    )


def _wanted(instance: Instance, step: Step, sealed: Sealed, resolver: Resolver, prepare: bool) -> work.Wanted:
    health = instance.health if step.interrupts else replace(instance.health, settled=None)
    paths = [file.path for file in instance.files]
    manifest = question.Recorded(instance.unit, instance.kind, paths, **_hidden(instance))
    common: dict[str, Any] = {
        "name": instance.name,
        "unit": instance.unit,
        "files": [
            work.FileContent(
                file.path, content(file, sealed.desired, resolver), file.mode, file.uid, file.gid, file.verify
            )
            for file in _unit_last(instance)
            if file.path in step.write
        ],
        "delete": step.delete,
        "start": sealed.start[instance.id],
        "reload": sealed.reload[instance.id],
        "health": question.Health() if prepare else health,
        "stop_timeout": instance.stop_timeout,
        "reload_action": instance.reload_action,
    }
    if instance.kind == "host":
        return work.HostWanted(**common, manifest=manifest, packages=instance.packages, apply=instance.apply)
    return work.ContainerWanted(
        **common,
        manifest=replace(
            manifest,
            data=[folder.path for folder in instance.folders if folder.data],
            # What only gets its files is not started, so its data stays what it is.
            version=instance.one_way.version if instance.one_way and not prepare else "",
        ),
        image=instance.image,
        image_reference=instance.image_reference,
        dirs=_dirs(instance),
    )


def _dirs(instance: ContainerInstance) -> dict[str, question.FolderMark]:
    return {folder.path: question.FolderMark(folder.mode, folder.uid, folder.gid) for folder in instance.folders}


def _unit_last(instance: Instance) -> list[File]:
    return sorted(instance.files, key=lambda file: is_unit_file(file.path))
