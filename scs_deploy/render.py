"""The pure function from region, placement and facts to ``Desired``: every file, container, job and resource in full."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from scs_deploy import names, overrides
from scs_deploy.catalogue.service import Component, ConfigFile, Health, Job, Port, Resource, Service
from scs_deploy.context import SHARED, Topology, address_on, context_for
from scs_deploy.desired import (
    CertificateNames,
    Container,
    Desired,
    File,
    Folder,
    Instance,
    Item,
    JobRun,
    Mounted,
    Owner,
)
from scs_deploy.errors import InputError
from scs_deploy.model.region import Node
from scs_deploy.placement import Placed
from scs_deploy.references import OPEN, find, reference
from scs_deploy.templates import TemplateSet
from scs_deploy.units import UNITS

ENTRY = "/scs-entry"
"""Where an entry script is mounted."""

SECRET_MAPPINGS = {"fernet", "ssh-key"}
"""Types of secrets whose value is a mapping: such a secret becomes a folder of files."""


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """The image of a component as images.lock names it."""

    id: str
    reference: str
    packages_digest: str


class Renderer:
    """Holds what does not change between instances; ``render`` does the work."""

    def __init__(
        self,
        topology: Topology,
        templates: TemplateSet,
        images: Mapping[str, ImageChoice],
        secret_keys: Mapping[str, tuple[str, ...]],
        facts: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.topology, self.templates, self.images = topology, templates, images
        self.secret_keys, self.facts = secret_keys, facts
        self.certificates: dict[tuple[str, str], CertificateNames] = {}
        self._shared: dict[tuple[str, str], str] = {}

    def render(self) -> Desired:
        """Render the nodes whose facts are known, and the jobs and resources that such nodes are home to.

        Raises ``InputError`` for a template that fails, an unknown port, secret or image.
        """
        chosen = [node.name for node in self.topology.nodes if node.name in self.facts]
        owners = self._owners()
        items = self._items(owners)
        instances = {
            name: tuple(
                self._instance(self.topology.by_name[name], placed, owners, items)
                for placed in self.topology.placement.on(name)
            )
            for name in chosen
        }
        jobs = tuple(self._jobs())
        enabled = [self.topology.catalogue.services[one] for one in self._enabled()]
        wanted = tuple(name for service in enabled for name in service.secrets)
        return Desired(instances, jobs, items, owners, self.certificates, wanted)

    # -- instances ---------------------------------------------------------------------------------------------------------

    def _enabled(self) -> list[str]:
        deployed = {one.service for one in self.topology.placement.placed}
        return [name for name in self.topology.catalogue.services if name in deployed]

    def _context(self, node: Node, placed: Placed, component: Component) -> dict[str, Any]:
        return context_for(self.topology, node, placed, component, self.facts.get(node.name, {}))

    def _text(self, service: str, name: str, context: Mapping[str, Any]) -> str:
        """Render a template, once where every instance would get the same text: /etc/hosts has a line per node on every node."""
        if (service, name) in self._shared:
            return self._shared[service, name]
        text = self.templates.file(service, name, context)
        used = self.templates.uses(service, name)
        if used is not None and used <= SHARED:
            self._shared[service, name] = text
        return text

    def _instance(self, node: Node, placed: Placed, owners: Mapping[str, Owner], items: tuple[Item, ...]) -> Instance:
        service, component = self.topology.catalogue.component(placed.component)
        context = self._context(node, placed, component)
        files = self._files(node, placed, service, component, context)
        files += self._tls_files(node, placed, component, context)
        owner = owners.get(placed.service)
        if owner and (owner.node, owner.instance) == (node.name, placed.name):
            files += self._owner_files(service, placed, context, items)
        files += self._hook_files(placed, component)
        common: dict[str, Any] = {
            "node": node.name,
            "name": placed.name,
            "service": placed.service,
            "component": placed.component,
            "kind": component.kind,
            "health": self._health(node, placed, component, context),
            "stop_timeout": component.stop.timeout,
            "reload_action": _reload_action(component, placed),
            "pause": component.pause,
            "quorum": component.quorum,
        }
        if component.kind == "host":
            apply = tuple(self.templates.string(service.name, part, context) for part in component.apply)
            return Instance(
                **common, unit=component.unit, files=tuple(files), folders=(), packages=component.packages, apply=apply
            )
        container = self._container(placed, service, component, context, files)
        boot, folders = self._folders(placed, component)
        path, text = UNITS[node.engine](container, boot, component.stop.timeout, component.stop.signal)
        if next(find(text), None):
            raise InputError(
                f"component {placed.component} has a secret in its command or environment",
                where=f"roles/{service.name}/service.yml",
                why="both stand in a unit that everybody on the node may read",
                fix="put it into a file (files: with template or secret) and let the program read that",
            )
        unit = File(path, text, "0644", 0, 0)
        choice = self._image(component.image)
        return Instance(
            **common,
            unit=names.unit_name(placed.name),
            files=(*files, unit),
            folders=tuple(folders),
            container=container,
            image_reference=choice.reference,
        )

    def _image(self, name: str) -> ImageChoice:
        try:
            return self.images[name]
        except KeyError:
            raise InputError(
                f"image {name} is not in images.lock",
                why="it was never built for this region",
                fix=f"scs-deploy image build {name}",
            ) from None

    def _files(
        self, node: Node, placed: Placed, service: Service, component: Component, context: Mapping[str, Any]
    ) -> list[File]:
        files: list[File] = []
        if component.entry:
            text = self._text(service.name, component.entry, context)
            path = _host_path(placed, component, ENTRY)
            files.append(File(path, text, "0755", 0, 0, masked=_masked(text)))
        for job in service.jobs:
            if job.entry and job.home == placed.component:
                text = self._text(service.name, job.entry, context)
                path = _host_path(placed, component, _script(job))
                files.append(File(path, text, "0755", 0, 0, "none", masked=_masked(text), jobs_only=True))
        changes = node.services[placed.service].config
        for spec in component.files:
            uid, gid = self._owner_ids(spec, component)
            target = self.templates.string(service.name, spec.target, context)
            path = _host_path(placed, component, target)
            if spec.secret:
                for key, text in self._secret_texts(service, spec):
                    where = f"{path}/{key}" if key else path
                    files.append(
                        File(where, text, spec.mode, uid, gid, spec.effect, opaque=True, jobs_only=spec.jobs_only)
                    )
                continue
            text = self._text(service.name, spec.template, context)
            override = changes.get(target) or changes.get(spec.template)
            if override:
                text = overrides.merge(text, spec.format, override, where=f"services.{service.name}.config[{target}]")
            mode = "0755" if spec.executable else spec.mode
            files.append(
                File(
                    path,
                    text,
                    mode,
                    uid,
                    gid,
                    spec.effect,
                    masked=_masked(text),
                    opaque=_without_key(text),
                    jobs_only=spec.jobs_only,
                )
            )
        return files

    def _owner_ids(self, spec: ConfigFile, component: Component) -> tuple[int, int]:
        users = self.topology.users
        return users.uid(spec.user), users.gid(spec.group or component.user)

    def _secret_texts(self, service: Service, spec: ConfigFile) -> list[tuple[str, str]]:
        if spec.secret not in service.secrets:
            raise InputError(
                f"service {service.name} has no secret {spec.secret}", where=f"roles/{service.name}/service.yml"
            )
        if service.secrets[spec.secret].type not in SECRET_MAPPINGS:
            return [("", reference(spec.secret))]
        keys = self.secret_keys.get(spec.secret, ())
        return [(key, reference(spec.secret)[key]) for key in keys]

    def _tls_files(self, node: Node, placed: Placed, component: Component, context: Mapping[str, Any]) -> list[File]:
        if component.tls is None:
            return []
        topology = self.topology
        users = topology.users
        addresses = {address_on(node, port.network) for port in component.ports} or {address_on(node, "api")}
        dns = [placed.component, node.name, f"{node.name}.{topology.region.domain}"]
        dns += [self.templates.string(placed.service, name, context) for name in component.tls.names]
        if component.tls.vips or any(port.frontend for port in component.ports):
            for network in topology.region.networks.values():
                if network.vip or network.vip6:
                    dns.append(topology.vip_name(network.name))
                    addresses |= {str(address) for address in (network.vip, network.vip6) if address}
        self.certificates[node.name, placed.name] = CertificateNames(
            f"{placed.name}.{node.name}", tuple(dict.fromkeys(dns)), tuple(sorted(addresses))
        )
        folder = f"{names.instance_folder(placed.name)}{names.TLS_TARGET}"
        uid, gid = users.uid(component.tls.user), users.gid(component.tls.user)
        name = f"cert:{node.name}:{placed.name}"
        effect = component.tls.effect
        return [
            File(f"{folder}/ca.pem", reference(name)["ca"], "0644", 0, 0, effect),
            File(f"{folder}/cert.pem", reference(name)["cert"], "0644", uid, gid, effect),
            File(f"{folder}/key.pem", reference(name)["key"], "0400", uid, gid, effect, opaque=True),
            File(f"{folder}/bundle.pem", reference(name)["bundle"], "0400", uid, gid, effect, opaque=True),
        ]

    def _hook_files(self, placed: Placed, component: Component) -> list[File]:
        folder = names.instance_folder(placed.name)
        return [
            File(
                f"{folder}/hooks/{hook}",
                self.templates.texts[f"{placed.service}/hooks/{hook}"],
                "0755",
                0,
                0,
                "none",
                bookkeeping=True,
            )
            for hook in component.hooks
        ]

    def _container(
        self,
        placed: Placed,
        service: Service,
        component: Component,
        context: Mapping[str, Any],
        files: Iterable[File],
        job: bool = False,
    ) -> Container:
        def string(text: str) -> str:
            return self.templates.string(service.name, text, context)

        limits = {key: str(value) for key, value in component.limits if value and key != "memory"}
        controllers = self.facts.get(context["node"].name, {}).get("cgroup", {}).get("controllers", ())
        if component.limits.memory and "memory" in controllers:
            limits["memory"] = string(component.limits.memory)
        return Container(
            name=placed.name,
            image=self._image(component.image).id,
            command=(ENTRY,) if component.entry else tuple(string(part) for part in component.command),
            user=self._user(component.user),
            environment={key: string(value) for key, value in component.environment.items()},
            mounts=tuple(self._mounts(placed, component, files, job)),
            capabilities=component.capabilities,
            devices=component.devices,
            security=component.security,
            tmpfs=component.tmpfs,
            limits=limits,
            init=component.init,
            read_only=component.read_only,
            pid=component.pid,
            ipc=component.ipc,
            cgroupns=component.cgroupns,
        )

    def _user(self, name: str) -> str:
        return f"{self.topology.users.uid(name)}:{self.topology.users.gid(name)}"

    def _mounts(self, placed: Placed, component: Component, files: Iterable[File], job: bool) -> Iterable[Mounted]:
        """What the container of an instance sees, or that of a ``job``, which alone sees what only jobs may."""
        folder = names.instance_folder(placed.name)
        whole = [target.rstrip("/") for target in component.folders]
        if component.tls:
            whole.append(names.TLS_TARGET)
        whole += [
            spec.target for spec in component.files if spec.secret and self._is_mapping(placed.service, spec.secret)
        ]
        for target in dict.fromkeys(whole):
            yield Mounted(f"{folder}{target}", target)
        for file in files:
            target = file.path.removeprefix(folder)
            if file.bookkeeping or (file.jobs_only and not job) or any(target.startswith(f"{one}/") for one in whole):
                continue
            yield Mounted(file.path, target)
        for data in component.data:
            yield Mounted(_data_path(placed, data.name, data.shared), data.target, "rw")
        for mount in component.mounts:
            yield Mounted(mount.source, mount.inside, mount.mode, mount.propagation)

    def _is_mapping(self, service: str, secret: str) -> bool:
        return self.topology.catalogue.services[service].secrets[secret].type in SECRET_MAPPINGS

    def _folders(self, placed: Placed, component: Component) -> tuple[list[Folder], list[Folder]]:
        """Return folders to create at each boot (by the unit) and folders that converge keeps."""
        users = self.topology.users
        keep = [
            Folder(
                _data_path(placed, data.name, data.shared),
                data.mode,
                users.uid(data.user),
                users.gid(data.user),
                data=True,
            )
            for data in component.data
        ]
        root = names.instance_folder(placed.name)
        if component.tls:
            keep.append(Folder(f"{root}{names.TLS_TARGET}", "0750", 0, users.gid(component.tls.user)))
        for spec in component.files:
            if spec.secret and self._is_mapping(placed.service, spec.secret):
                keep.append(Folder(f"{root}{spec.target}", "0750", *self._owner_ids(spec, component)))
        boot: list[Folder] = []
        for mount in component.mounts:
            if mount.create:
                folder = Folder(mount.source, mount.create_mode, users.uid(mount.user), users.gid(mount.user))
                (boot if mount.source.startswith("/run/") else keep).append(folder)
        return boot, keep

    def _health(self, node: Node, placed: Placed, component: Component, context: Mapping[str, Any]) -> dict[str, Any]:
        health: Health = component.health
        timeout = int(health.timeout * self.topology.region.patience)
        if health.tcp:
            port = _port(component, health.tcp)
            return {"tcp": [address_on(node, port.network), port.port], "timeout": timeout}
        if health.http:
            port = _port(component, health.http)
            scheme = "https" if port.tls else "http"
            ca = f"{names.instance_folder(placed.name)}{names.TLS_TARGET}/ca.pem" if port.tls else ""
            asked = {
                "http": [scheme, address_on(node, port.network), port.port, health.path],
                "ca": ca,
                "timeout": timeout,
            }
            if health.frontend and port.frontend and (vip := self.topology.vip(port.frontend.networks[0])):
                asked["front"] = [scheme, vip, port.frontend.port or port.port, health.path]
            return asked
        if health.unix:
            return {"unix": self.templates.string(placed.service, health.unix, context), "timeout": timeout}
        if health.command:
            return {"command": list(health.command), "timeout": timeout}
        return {"unit": True, "timeout": timeout} if component.kind == "container" or component.unit else {}

    # -- jobs --------------------------------------------------------------------------------------------------------------

    def _jobs(self) -> Iterable[JobRun]:
        for name in self._enabled():
            service = self.topology.catalogue.services[name]
            for job in service.jobs:
                placed = self.topology.placement.of(job.home)
                if placed and placed[0].node in self.facts:
                    yield self._job(service, job, placed[0])

    def _job(self, service: Service, job: Job, placed: Placed) -> JobRun:
        node = self.topology.by_name[placed.node]
        component = service.components[job.home]
        context = self._context(node, placed, component)
        files = self._files(node, placed, service, component, context)
        container = self._container(placed, service, component, context, files, job=True)
        command = tuple(self.templates.string(service.name, part, context) for part in job.command)
        material = list(command)
        if job.entry:
            command = (_script(job),)
            material.append(self._text(service.name, job.entry, context))
        choice = self._image(component.image)
        if "image" in job.depends:
            material.append(choice.id)
        if "packages" in job.depends:
            material.append(choice.packages_digest)
        environment = {
            **container.environment,
            **{k: self.templates.string(service.name, v, context) for k, v in job.environment.items()},
        }
        material += [f"{key}={value}" for key, value in sorted(job.environment.items())]
        run = replace(
            container,
            name=job.name,
            command=command,
            environment=environment,
            user=self._user(job.user) if job.user else container.user,
            capabilities=job.capabilities or container.capabilities,
        )
        timeout = int(job.timeout * self.topology.region.patience)
        return JobRun(
            placed.node,
            job.name,
            service.name,
            placed.name,
            run,
            timeout,
            tuple(material),
            "config" in job.depends,
            "secrets" in job.depends,
        )

    # -- resources ---------------------------------------------------------------------------------------------------------

    def _owners(self) -> dict[str, Owner]:
        owners = {}
        for name in self._enabled():
            owns = self.topology.catalogue.services[name].owns
            placed = self.topology.placement.of(owns.component) if owns else ()
            if owns and placed and placed[0].node in self.facts:
                kept = tuple(kind for kind in owns.kinds if f"{name}.{kind}" in self._kept_kinds())
                owners[name] = Owner(name, placed[0].node, placed[0].name, owns.component, owns.kinds, kept)
        return owners

    def _kept_kinds(self) -> set[str]:
        services = self.topology.catalogue.services.values()
        return {resource.kind for service in services for resource in service.resources if resource.keep}

    def _items(self, owners: Mapping[str, Owner]) -> tuple[Item, ...]:
        items: list[Item] = []
        for name in self._enabled():
            service = self.topology.catalogue.services[name]
            if not service.resources:
                continue
            placed = next(
                (p for p in self.topology.placement.placed if p.service == name and p.node in self.facts), None
            )
            if placed is None:
                continue
            component = service.components[placed.component]
            context = self._context(self.topology.by_name[placed.node], placed, component)
            for resource in service.resources:
                items += self._expand(service, resource, context, owners)
        return tuple(items)

    def _expand(
        self, service: Service, resource: Resource, context: Mapping[str, Any], owners: Mapping[str, Owner]
    ) -> Iterable[Item]:
        owner, _, kind = resource.kind.partition(".")
        if owner not in owners and self.topology.placement.of(self._owner_component(owner)):
            return  # its home node is not known yet
        if owner not in owners or kind not in owners[owner].kinds:
            raise InputError(
                f"resource {resource.kind} of service {service.name} has no owner",
                why=f"service {owner} is not deployed, or does not keep resources of kind {kind}",
                fix=f"enable services.{owner}, or add {owner} to needs in roles/{service.name}/service.yml",
            )
        each = self.templates.value(service.name, resource.each, context) if resource.each else [None]
        for value in each:
            inner = {**context, "item": value}
            yield Item(
                owner,
                kind,
                self.templates.string(service.name, resource.name, inner),
                self._deep(service.name, resource.attrs, inner),
                service.name,
                reference(resource.secret) if resource.secret else "",
                resource.keep,
            )

    def _owner_component(self, service: str) -> str:
        found = self.topology.catalogue.services.get(service)
        return found.owns.component if found and found.owns else ""

    def _deep(self, service: str, value: Any, context: Mapping[str, Any]) -> Any:
        if isinstance(value, str):
            return self.templates.string(service, value, context)
        if isinstance(value, Mapping):
            return {key: self._deep(service, inner, context) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._deep(service, inner, context) for inner in value]
        return value

    def _owner_files(
        self, service: Service, placed: Placed, context: Mapping[str, Any], items: tuple[Item, ...]
    ) -> list[File]:
        assert service.owns  # noqa: S101 - an owner's service has it
        folder = f"{names.instance_folder(placed.name)}/resources"
        given = {
            key: self.templates.string(service.name, value, context) for key, value in service.owns.context.items()
        }
        wanted = [
            {"kind": item.kind, "name": item.name, "attrs": item.attrs, "secret": item.secret}
            for item in items
            if item.owner == service.name
        ]

        def note(name: str, value: object) -> File:
            text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
            return File(f"{folder}/{name}", text, "0600", 0, 0, "none", opaque=True, bookkeeping=True)

        scripts = [
            File(
                f"{folder}/{kind}.py",
                self.templates.texts[f"{service.name}/resources/{kind}.py"],
                "0644",
                0,
                0,
                "none",
                bookkeeping=True,
            )
            for kind in service.owns.kinds
        ]
        shared = [
            File(f"{folder}/{name.rpartition('/')[2]}", text, "0644", 0, 0, "none", bookkeeping=True)
            for name, text in self.templates.texts.items()
            if name.startswith(f"{service.name}/resources/_")
        ]
        return [*scripts, *shared, note("context.json", given), note("wanted.json", wanted)]


def _script(job: Job) -> str:
    return f"/scs-job-{job.name}"


def _host_path(placed: Placed, component: Component, target: str) -> str:
    return target if component.kind == "host" else f"{names.instance_folder(placed.name)}/{target.lstrip('/')}"


def _data_path(placed: Placed, name: str, shared: bool) -> str:
    return f"{names.DATA_ROOT}/{placed.service if shared else placed.name}/{name}"


def _port(component: Component, name: str) -> Port:
    for port in component.ports:
        if port.name == name:
            return port
    raise InputError(f"health names the unknown port {name}", fix="correct health in service.yml")


def _reload_action(component: Component, placed: Placed) -> dict[str, Any]:
    if component.reload is None:
        return {}
    if component.reload.command:
        return {"command": list(component.reload.command)}
    return {"signal": component.reload.signal}


def _without_key(text: str) -> bool:
    """Tell whether a reference stands where no key can be masked: then the node never sends the old content."""
    return OPEN in text and any(OPEN in _key(line) for line in text.splitlines() if OPEN in line)


def _key(line: str) -> str:
    return line.partition("=")[0].partition(":")[0].strip().strip('"')


def _masked(text: str) -> tuple[str, ...]:
    """Return the keys of lines that hold a reference, so that a node masks the same keys in the old content."""
    keys = {_key(line) for line in text.splitlines() if OPEN in line} if OPEN in text else set()
    return tuple(sorted(key for key in keys if key and OPEN not in key))
