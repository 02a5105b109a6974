"""Visits every placed instance and puts its files, unit and container together; adds jobs and resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scs_deploy.catalogue import names
from scs_deploy.errors import InputError
from scs_deploy.render.containers import container, health, reload_action
from scs_deploy.render.context import Topology
from scs_deploy.render.demands import unfit
from scs_deploy.render.desired import (
    CertificateNames,
    ContainerInstance,
    Desired,
    DesiredItem,
    File,
    HostInstance,
    Instance,
    OneWayData,
    Owner,
)
from scs_deploy.render.files import certificate_names, config_files, folders, hook_files, openssl_file, tls_files
from scs_deploy.render.jobs import jobs
from scs_deploy.render.resources import items_of, owner_files, owners_of
from scs_deploy.render.scope import ContainerScope, Given, ImageChoice, InstanceScope
from scs_deploy.render.systemd_units import UNITS
from scs_deploy.render.templates import TemplateSet
from scs_deploy.secrets import account_names
from scs_deploy.secrets.placeholders import find


class Renderer:
    """Holds what does not change between instances; ``render`` does the work."""

    def __init__(
        self,
        topology: Topology,
        templates: TemplateSet,
        images: Mapping[str, ImageChoice],
        secret_keys: Mapping[str, tuple[str, ...]],
        facts: Mapping[str, Mapping[str, Any]],
        standings: account_names.Standings | None = None,
    ) -> None:
        self.given = Given(topology, templates, images, secret_keys, facts, standings or {})

    def render(self) -> Desired:
        """Render the nodes whose facts are known, and the jobs and resources that such nodes are home to.

        Raises ``InputError`` for a template that fails, an unknown port, secret or image.
        """
        given = self.given
        owners = owners_of(given)
        items = items_of(given, owners)
        instances: dict[str, tuple[Instance, ...]] = {}
        unrendered: dict[str, tuple[str, ...]] = {}
        certificates: dict[tuple[str, str], CertificateNames] = {}
        for node in given.topology.nodes:
            here = given.topology.placement.on(node.name)
            if node.name not in given.facts:
                unrendered[node.name] = tuple(dict.fromkeys(placed.component for placed in here))
                continue
            scopes = [given.scope(placed) for placed in here]
            instances[node.name] = tuple(_instance(scope, owners, items) for scope in scopes)
            for scope in scopes:
                if wanted := certificate_names(scope):
                    certificates[node.name, scope.placed.name] = wanted
        wanted_secrets = tuple(name for service in given.deployed() for name in service.secrets)
        return Desired(instances, tuple(jobs(given)), items, owners, certificates, wanted_secrets, unrendered)


def _instance(scope: InstanceScope, owners: Mapping[str, Owner], items: tuple[DesiredItem, ...]) -> Instance:
    placed, service, component = scope.placed, scope.service, scope.component
    files = [*config_files(scope), *tls_files(scope)]
    if isinstance(scope, ContainerScope):
        files += openssl_file(scope)
    owner = owners.get(placed.service)
    if owner and (owner.node, owner.instance) == (scope.node.name, placed.name):
        files += owner_files(scope, items)
    common: dict[str, Any] = {
        "node": scope.node.name,
        "name": placed.name,
        "service": placed.service,
        "component": placed.component,
        "health": health(scope),
        "stop_timeout": component.stop.timeout,
        "reload_action": reload_action(scope),
        "pause": component.pause,
        "quorum": component.quorum,
        "members": len(scope.given.topology.placement.of(placed.component)),
        "purpose": component.each.what if component.each else "",
        "unfit": tuple(unfit(scope)),
    }
    if not isinstance(scope, ContainerScope):
        scope.check(file.text for file in files)
        return HostInstance(
            **common,
            unit=scope.component.unit,
            files=tuple(files),
            packages=scope.component.packages,
            apply=tuple(scope.string(part) for part in scope.component.apply),
        )
    files += hook_files(scope)
    scope.check(file.text for file in files)
    run = container(scope, files)
    boot, keep = folders(scope)
    path, text = UNITS[scope.node.engine](run, boot, component.stop.timeout, component.stop.signal)
    if next(find(text), None):
        raise InputError(
            f"component {placed.component} has a secret in its command or environment",
            where=f"roles/{service.name}/service.yml",
            why="both stand in a unit that everybody on the node may read",
            fix="put it into a file (files: with template or secret) and let the program read that",
        )
    return ContainerInstance(
        **common,
        unit=names.unit_name(placed.name),
        files=(*files, File(path, text, "0644", 0, 0)),
        folders=tuple(keep),
        container=run,
        engine=scope.node.engine,
        image_reference=scope.given.image(scope.component.image).reference,
        one_way=_one_way(scope),
    )


def _one_way(scope: ContainerScope) -> OneWayData | None:
    said = scope.component.one_way
    if said is None:
        return None
    return OneWayData(said.package, scope.given.image(scope.component.image).packages.get(said.package, ""), said.why)
