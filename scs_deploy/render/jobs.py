"""Jobs: one-shot containers made of their home's container, and the material whose change makes them run again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from scs_deploy.catalogue.service import Job
from scs_deploy.render.containers import container
from scs_deploy.render.desired import JobRun
from scs_deploy.render.files import config_files, openssl_file, script
from scs_deploy.render.scope import ContainerScope, Given


def jobs(given: Given) -> Iterable[JobRun]:
    """Yield the jobs whose home node is known. Raises ``InputError``."""
    for service in given.deployed():
        for job in service.jobs:
            placed = given.topology.placement.of(job.home)
            if placed and placed[0].node in given.facts:
                scope = given.scope(placed[0])
                if isinstance(scope, ContainerScope):  # as the catalogue has checked
                    yield _job(scope, job)


def _job(scope: ContainerScope, job: Job) -> JobRun:
    home = container(scope, [*config_files(scope), *openssl_file(scope)], job=True)
    command = tuple(scope.string(part) for part in job.command)
    material = list(command)
    if job.entry:
        command = (script(job),)
        material.append(scope.text(job.entry))
    choice = scope.given.image(scope.component.image)
    if "image" in job.depends:
        material.append(choice.id)
    if "packages" in job.depends:
        material.append(choice.packages_digest)
    environment = {**home.environment, **{key: scope.string(value) for key, value in job.environment.items()}}
    material += [f"{key}={environment[key]}" for key in sorted(job.environment)]
    scope.check([*command, *material, *environment.values()])
    run = replace(
        home,
        name=job.name,
        command=command,
        environment=environment,
        user=scope.given.user(job.user) if job.user else home.user,
        capabilities=job.capabilities or home.capabilities,
    )
    return JobRun(
        scope.placed.node,
        job.name,
        scope.service.name,
        scope.placed.name,
        run,
        int(job.timeout * scope.given.topology.region.patience),
        tuple(material),
        "config" in job.depends,
        "secrets" in job.depends,
    )
