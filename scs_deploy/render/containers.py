"""The container of an instance: what it runs and sees, and how its health is asked and its configuration reloaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Address, Health, Page, Settled
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import Container, Mount, ReloadAction
from scs_deploy.catalogue import names
from scs_deploy.catalogue.service import Component, Port
from scs_deploy.errors import InputError
from scs_deploy.render.context import address_on
from scs_deploy.render.desired import File
from scs_deploy.render.files import ENTRY
from scs_deploy.render.scope import ContainerScope, InstanceScope


def container(scope: ContainerScope, files: Iterable[File], job: bool = False) -> Container:
    """Return the container that sees ``files``; a ``job`` alone sees what only jobs may. Raises ``InputError``."""
    component, given = scope.component, scope.given
    limits = {key: str(value) for key, value in component.limits if value and key != "memory"}
    facts = given.facts.get(scope.node.name, {})
    for name, most in facts.get("limits", {}).items():  # a higher one is refused: the container would not start
        if name in limits and 0 < most < int(limits[name]):
            limits[name] = str(most)
    controllers = facts.get("cgroup", {}).get("controllers", ())
    if component.limits.memory and "memory" in controllers:
        limits["memory"] = scope.string(component.limits.memory)
    return Container(
        name=scope.placed.name,
        image=given.image(component.image).id,
        command=(ENTRY,) if component.entry else tuple(scope.string(part) for part in component.command),
        user=given.user(component.user),
        environment={
            **({"OPENSSL_CONF": names.OPENSSL_CONF} if component.tls else {}),
            **{key: scope.string(value) for key, value in component.environment.items()},
        },
        mounts=tuple(_mounts(scope, files, job)),
        capabilities=component.capabilities,
        devices=tuple(device for device in map(scope.string, component.devices) if device),
        security=tuple(scope.string(option) for option in component.security),
        tmpfs=component.tmpfs,
        limits=limits,
        init=component.init,
        read_only=component.read_only,
        pid=component.pid,
        ipc=component.ipc,
        cgroupns=component.cgroupns,
    )


def _mounts(scope: ContainerScope, files: Iterable[File], job: bool) -> Iterable[Mount]:
    component, folder = scope.component, scope.folder
    whole = [target.rstrip("/") for target in component.folders]
    if component.tls:
        whole.append(names.TLS_TARGET)
    whole += [spec.target for spec in component.files if spec.secret and scope.is_mapping(spec.secret)]
    for target in dict.fromkeys(whole):
        yield Mount(f"{folder}{target}", target)
    for file in files:
        target = file.path.removeprefix(folder)
        if file.bookkeeping or (file.jobs_only and not job) or any(target.startswith(f"{one}/") for one in whole):
            continue
        yield Mount(file.path, target)
    for data in component.data:
        yield Mount(scope.data_path(data), data.target, "rw")
    for mount in component.mounts:
        yield Mount(scope.string(mount.source), scope.string(mount.inside), mount.mode, mount.propagation)


def health(scope: InstanceScope) -> Health:
    """Return the question that tells whether the instance works; its timeouts are stretched by the region's patience."""
    question = _question(scope)
    settled = scope.component.health.settled
    if settled:
        timeout = int(settled.timeout * scope.given.topology.region.patience)
        question = replace(question, settled=Settled([scope.string(part) for part in settled.command], timeout))
    return question


def _question(scope: InstanceScope) -> Health:
    component, node, topology = scope.component, scope.node, scope.given.topology
    asked = component.health
    timeout = int(asked.timeout * topology.region.patience)
    if asked.tcp:
        port = _port(component, asked.tcp)
        return Health(tcp=Address(address_on(node, port.network), port.port), timeout=timeout)
    if asked.http:
        port = _port(component, asked.http)
        scheme = "https" if port.tls else "http"
        question = Health(
            http=Page(scheme, address_on(node, port.network), port.port, asked.path),
            ca=f"{scope.folder}{names.TLS_TARGET}/ca.pem" if port.tls else "",
            timeout=timeout,
        )
        return _with_front(question, scope, port) if asked.frontend else question
    if asked.unix:
        return Health(unix=scope.string(asked.unix), timeout=timeout)
    if asked.client:
        return Health(client=topology.port(asked.client).port, timeout=timeout)
    if asked.command:
        return Health(command=[scope.string(part) for part in asked.command], timeout=timeout)
    return Health(unit=component.kind == "container" or bool(component.unit), timeout=timeout)


def _with_front(question: Health, scope: InstanceScope, port: Port) -> Health:
    """Ask also at a VIP that shows a certificate of the internal CA, where there is one; else for the public certificate itself."""
    topology = scope.given.topology
    public = topology.region.public_tls
    vips = {name: vip for name in port.frontend.networks if (vip := topology.vip(name))} if port.frontend else {}
    chosen = next((name for name in vips if not (public and name == "public")), next(iter(vips), ""))
    if not port.frontend or not chosen:
        return question
    front = Page(
        "https" if port.tls else "http", vips[chosen], port.frontend.port or port.port, scope.component.health.path
    )
    pem = public.chain_pem if public and chosen == "public" else ""
    return replace(question, front=front, front_pem=pem)


def _port(component: Component, name: str) -> Port:
    for port in component.ports:
        if port.name == name:
            return port
    raise InputError(f"health names the unknown port {name}", fix="correct health in service.yml")


def reload_action(scope: InstanceScope) -> ReloadAction | None:
    """Return what makes the instance read its configuration again; None if only a restart does."""
    reload = scope.component.reload
    if reload is None:
        return None
    if reload.command:
        return ReloadAction(command=[scope.string(part) for part in reload.command])
    return ReloadAction(signal=reload.signal)
