"""What is sent to nodes: the question of observe and the steps of a wave; only here do secret values enter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from scs_deploy.catalogue.names import is_unit_file
from scs_deploy.plan.plan import Step, Wave
from scs_deploy.render.desired import Container, Desired, Instance, JobRun
from scs_deploy.render.digests import Sealed, content
from scs_deploy.secrets.placeholders import Resolver, resolve

VERSION = 1


def observe(node: str, engine: str, sealed: Sealed, facts_digest: str, *, resources: bool = True) -> dict[str, Any]:
    """Return the question for one node: expected digests, no content; owners are asked only for ``resources``."""
    desired = sealed.desired
    units = {instance.name: instance.unit for instance in desired.on(node)}
    return {
        "v": VERSION,
        "engine": engine,
        "facts_digest": facts_digest,
        "instances": {instance.name: _expected(instance, sealed) for instance in desired.on(node)},
        "jobs": {job.name: sealed.jobs[job.id] for job in desired.jobs if job.node == node},
        "owners": {
            name: {
                "reconciler": f"/etc/scs-deploy/{owner.instance}/resources",
                "unit": units.get(owner.instance, ""),
                "kinds": list(owner.kinds),
            }
            for name, owner in desired.owners.items()
            if owner.node == node and resources
        },
        "images": sorted({instance.image for instance in desired.on(node) if instance.image}),
    }


def _expected(instance: Instance, sealed: Sealed) -> dict[str, Any]:
    digests = sealed.files[instance.id]
    expected: dict[str, Any] = {
        "kind": instance.kind,
        "unit": instance.unit,
        "image": instance.image,
        "files": {file.path: [digests[file.path], file.mode, file.uid, file.gid] for file in instance.files},
        "health": {key: value for key, value in instance.health.items() if key != "settled"},
        "start": sealed.start[instance.id],
        "reload": sealed.reload[instance.id],
    }
    optional = {
        "dirs": {folder.path: [folder.mode, folder.uid, folder.gid] for folder in instance.folders},
        "mask": {file.path: list(file.masked) for file in instance.files if file.masked},
        "opaque": [file.path for file in instance.files if file.opaque],
        "packages": list(instance.packages),
        "devices": list(instance.devices),
        "probe": instance.hook("probe"),
        "package": instance.one_way.package if instance.one_way else "",
    }
    return expected | {key: value for key, value in optional.items() if value}


def converge(
    run: str, wave: Wave, node: str, engine: str, holder: str, sealed: Sealed, resolver: Resolver, purge: bool
) -> dict[str, Any]:
    """Return the steps of a wave for one node, in an order that respects their needs."""
    steps = [step for step in wave.steps if step.node == node]
    return {
        "v": VERSION,
        "run": run,
        "wave": wave.number,
        "engine": engine,
        "holder": holder,
        "steps": [_step(step, sealed, resolver, purge) for step in steps],
    }


def _step(step: Step, sealed: Sealed, resolver: Resolver, purge: bool) -> dict[str, Any]:
    common = {"id": step.id, "kind": step.kind, "needs": list(step.needs)}
    if step.kind == "image":
        return {**common, "image": step.identity, "reference": step.subject}
    if step.kind == "job":
        job = next(one for one in sealed.desired.jobs if one.id == step.id)
        return {**common, **_job(job, sealed, resolver)}
    if step.kind == "resources":
        return {**common, **_resources(step, sealed.desired, resolver)}
    return {**common, **_instance(step, sealed, resolver, purge)}


def _job(job: JobRun, sealed: Sealed, resolver: Resolver) -> dict[str, Any]:
    return {
        "name": job.name,
        "instance": job.instance,
        "digest": sealed.jobs[job.id],
        "timeout": job.timeout,
        "container": _container(job.container, resolver),
    }


def _container(container: Container, resolver: Resolver) -> dict[str, Any]:
    data = asdict(container)
    data["network"] = "host"
    data["environment"] = {key: resolve(value, resolver) for key, value in container.environment.items()}
    return data


def _resources(step: Step, desired: Desired, resolver: Resolver) -> dict[str, Any]:
    owner = desired.owners[step.subject]
    changes = [{**operation, "secret": resolve(str(operation["secret"]), resolver)} for operation in step.operations]
    return {"owner": step.subject, "reconciler": f"/etc/scs-deploy/{owner.instance}/resources", "changes": changes}


def _instance(step: Step, sealed: Sealed, resolver: Resolver, purge: bool) -> dict[str, Any]:
    if step.action == "remove":
        gone = {
            "name": step.subject,
            "kind": step.removed.get("kind", "container"),
            "unit": step.removed.get("unit", ""),
            "files": [],
            "dirs": [],
            "delete": list(step.delete),
            "manifest": {"files": list(step.removed.get("files", ())), "data": list(step.removed.get("data", ()))},
        }
        return {
            "action": "remove",
            "instance": gone,
            "restart": False,
            "reload": False,
            "start_if_stopped": False,
            "purge": purge,
        }
    instance = next(one for one in sealed.desired.on(step.node) if one.name == step.subject)
    files = [
        {
            "path": file.path,
            "text": content(file, sealed.desired, resolver),
            "mode": file.mode,
            "uid": file.uid,
            "gid": file.gid,
            **({"verify": list(file.verify)} if file.verify else {}),
        }
        for file in _unit_last(instance)
        if file.path in step.write
    ]
    prepare = step.action == "prepare"
    health = (
        {} if prepare else {key: value for key, value in instance.health.items() if key != "settled" or step.interrupts}
    )
    # What only gets its files is not started, so its data stays what it is.
    version = {"version": instance.one_way.version} if instance.one_way and not prepare else {}
    return {
        "action": step.action if step.action in {"create", "prepare"} else "update",
        "instance": {
            "name": instance.name,
            "kind": instance.kind,
            "unit": instance.unit,
            "image": instance.image,
            "image_reference": instance.image_reference,
            "packages": list(instance.packages),
            "apply": list(instance.apply),
            "files": files,
            "dirs": [{"path": one.path, "mode": one.mode, "uid": one.uid, "gid": one.gid} for one in instance.folders],
            "delete": list(step.delete),
            "manifest": {
                "unit": instance.unit,
                "kind": instance.kind,
                "files": [file.path for file in instance.files],
                "data": [folder.path for folder in instance.folders if folder.data],
                **version,
            },
            "start": sealed.start[instance.id],
            "reload": sealed.reload[instance.id],
            "health": health,
            "stop_timeout": instance.stop_timeout,
            "reload_action": dict(instance.reload_action),
        },
        "restart": step.restart,
        "reload": step.reload,
        "start_if_stopped": not prepare,
        "form": instance.hook("form") if step.form else "",
        "purge": purge,
    }


def _unit_last(instance: Instance) -> Iterable[Any]:
    return sorted(instance.files, key=lambda file: is_unit_file(file.path))
