"""Files and folders of an instance: configuration, entry scripts, certificates and hooks."""

from __future__ import annotations

import json
from pathlib import Path

from scs_deploy.catalogue import names
from scs_deploy.catalogue.service import ConfigFile, Job
from scs_deploy.documents.config_formats import FORMATS
from scs_deploy.errors import InputError
from scs_deploy.region import overrides
from scs_deploy.render.context import address_on
from scs_deploy.render.desired import CertificateNames, File, Folder
from scs_deploy.render.scope import ContainerScope, InstanceScope
from scs_deploy.secrets.form import HARMLESS
from scs_deploy.secrets.placeholders import OPEN, bare

ENTRY = "/scs-entry"
"""Where an entry script is mounted."""

_MEMBER = (Path(__file__).parents[1] / "ansible_collections/scs/node/programs/member.py").read_text(encoding="utf-8")

_OPENSSL = """\
# Written by scs-deploy.
openssl_conf = scs
[scs]
ssl_conf = scs_tls
[scs_tls]
system_default = scs_policy
[scs_policy]
MinProtocol = TLSv1.2
CipherString = DEFAULT:@SECLEVEL=2
Groups = X25519:P-256:P-384
"""


def script(job: Job) -> str:
    """Where the entry script of a job is mounted."""
    return f"/scs-job-{job.name}"


def config_files(scope: InstanceScope) -> list[File]:
    """Return entry scripts, of jobs too, rendered templates with the operator's changes, and secrets.

    Raises ``InputError`` for a template that fails and an unknown secret.
    """
    files: list[File] = []
    if isinstance(scope, ContainerScope) and (entry := scope.component.entry):
        text = _with_secrets(scope, scope.text(entry), "script", entry)
        files.append(File(scope.host_path(ENTRY), text, "0755", 0, 0, masked=_masked(text)))
    for job in scope.service.jobs:
        if job.entry and job.home == scope.placed.component:
            text = _with_secrets(scope, scope.text(job.entry), "script", job.entry)
            path = scope.host_path(script(job))
            files.append(File(path, text, "0755", 0, 0, "none", masked=_masked(text), jobs_only=True))
    for spec in scope.component.files:
        files += _secret_files(scope, spec) if spec.secret else [_config_file(scope, spec)]
    return files


def _config_file(scope: InstanceScope, spec: ConfigFile) -> File:
    uid, gid = _owner_ids(scope, spec)
    target = scope.string(spec.target)
    text = scope.text(spec.template, spec.values)
    changes = scope.node.services[scope.placed.service].config
    override = changes.get(target) or changes.get(spec.name)
    if override:
        text = overrides.merge(text, spec.format, override, where=f"services.{scope.service.name}.config[{target}]")
    if spec.verify and OPEN in text:
        raise InputError(
            f"{spec.template} holds a secret, and verify may repeat its lines in messages",
            where=f"roles/{scope.service.name}/service.yml",
            fix="leave verify out, or move the secret to a file of its own",
        )
    text = _with_secrets(scope, text, spec.format, spec.template)
    return File(
        scope.host_path(target),
        text,
        "0755" if spec.executable else spec.mode,
        uid,
        gid,
        spec.effect,
        masked=_masked(text),
        opaque=_without_key(text),
        jobs_only=spec.jobs_only,
        verify=tuple(scope.string(part) for part in spec.verify),
        format=spec.format,
    )


def _with_secrets(scope: InstanceScope, text: str, file_format: str, template: str) -> str:
    """Return the text; raises ``InputError`` for a secret that stands where its value could be read as something else."""
    for name, before, behind in bare(text):
        if scope.given.secret_type(name) not in HARMLESS and not FORMATS[file_format].holds_secret(before, behind):
            raise InputError(
                f"the secret {name} stands where its value may be read as something else",
                where=f"roles/{scope.service.name}/templates/{template}",
                why=f"the file is of the format {file_format}",
                fix="make it the whole value of an option, or put it within double quotes, as the format wants, and name the "
                "format in service.yml; in a URL: secret(...) | url",
            )
    return text


def _secret_files(scope: InstanceScope, spec: ConfigFile) -> list[File]:
    uid, gid = _owner_ids(scope, spec)
    path = scope.host_path(scope.string(spec.target))
    return [
        File(
            f"{path}/{key}" if key else path,
            text,
            spec.mode,
            uid,
            gid,
            spec.effect,
            opaque=True,
            jobs_only=spec.jobs_only,
        )
        for key, text in _secret_texts(scope, spec.secret)
    ]


def _secret_texts(scope: InstanceScope, secret: str) -> list[tuple[str, str]]:
    """Return keys and references; the key is empty where the secret is one value."""
    service = scope.service
    if secret not in service.secrets:
        raise InputError(f"service {service.name} has no secret {secret}", where=f"roles/{service.name}/service.yml")
    if not scope.is_mapping(secret):
        return [("", scope.secret(secret))]
    return [(key, scope.secret(secret)[key]) for key in scope.given.secret_keys.get(secret, ())]


def _owner_ids(scope: InstanceScope, spec: ConfigFile) -> tuple[int, int]:
    users = scope.given.topology.users
    return users.uid(spec.user), users.gid(spec.group or scope.user)


def certificate_names(scope: InstanceScope) -> CertificateNames | None:
    """Return what the certificate of an instance is to be valid for; None if it has none."""
    placed, node, component = scope.placed, scope.node, scope.component
    if component.tls is None:
        return None
    topology = scope.given.topology
    addresses = {address_on(node, port.network) for port in component.ports} or {address_on(node, "api")}
    dns = [placed.component, node.name, f"{node.name}.{topology.region.domain}"]
    dns += [scope.string(name) for name in component.tls.names]
    if component.tls.vips:
        published = {network for port in component.ports if port.frontend for network in port.frontend.networks}
        for name, network in topology.region.networks.items():
            if (network.vip or network.vip6) and (name in published or not published):
                dns.append(topology.vip_name(network.name))
                addresses |= {str(address) for address in (network.vip, network.vip6) if address}
    return CertificateNames(f"{placed.name}.{node.name}", tuple(dict.fromkeys(dns)), tuple(sorted(addresses)))


def tls_files(scope: InstanceScope) -> list[File]:
    """Return the CA, certificate and key of an instance, as references."""
    tls = scope.component.tls
    if tls is None:
        return []
    users = scope.given.topology.users
    owner = tls.user or scope.user
    uid, gid = users.uid(owner), users.gid(owner)
    folder = f"{scope.folder}{names.TLS_TARGET}"
    value = scope.certificate()
    return [
        File(f"{folder}/ca.pem", value["ca"], "0644", 0, 0, tls.effect),
        File(f"{folder}/cert.pem", value["cert"], "0644", uid, gid, tls.effect),
        File(f"{folder}/key.pem", value["key"], "0400", uid, gid, tls.effect, opaque=True),
        File(f"{folder}/bundle.pem", value["bundle"], "0400", uid, gid, tls.effect, opaque=True),
    ]


def openssl_file(scope: ContainerScope) -> list[File]:
    """Return what OpenSSL reads in a container with a certificate, so that all programs have one TLS policy.

    The profile "intermediate" of https://wiki.mozilla.org/Security/Server_Side_TLS; the rest is Debian's own configuration.
    """
    if scope.component.tls is None:
        return []
    return [File(f"{scope.folder}{names.OPENSSL_CONF}", _OPENSSL, "0644", 0, 0)]


def hook_files(scope: ContainerScope) -> list[File]:
    """Return the hooks of a cluster's member, which the node runs: one program under two names, and what it must know."""
    cluster = scope.component.cluster
    if cluster is None:
        return []
    known = {"member_when": scope.string(cluster.member_when), "order": scope.string(cluster.order)}
    # Written in this order: a program that is there finds what it reads.
    texts = {"cluster.json": f"{json.dumps(known)}\n", "probe": _MEMBER, "form": _MEMBER}
    return [
        File(
            f"{scope.folder}/hooks/{name}", text, "0755" if text is _MEMBER else "0644", 0, 0, "none", bookkeeping=True
        )
        for name, text in texts.items()
    ]


def folders(scope: ContainerScope) -> tuple[list[Folder], list[Folder]]:
    """Return folders to create at each boot (by the unit) and folders that converge keeps."""
    component = scope.component
    users = scope.given.topology.users
    keep = [
        Folder(scope.data_path(data), data.mode, users.uid(data.user), users.gid(data.user), data=True)
        for data in component.data
    ]
    if component.tls:
        keep.append(Folder(f"{scope.folder}{names.TLS_TARGET}", "0750", 0, users.gid(component.tls.user or scope.user)))
    for spec in component.files:
        if spec.secret and scope.is_mapping(spec.secret):
            keep.append(Folder(f"{scope.folder}{spec.target}", "0750", *_owner_ids(scope, spec)))
    kept = {folder.path for folder in keep}
    mounted = (f"{scope.folder}{target}" for target in component.folders)
    keep += [Folder(path, "0755", 0, 0) for path in mounted if path not in kept]
    boot: list[Folder] = []
    for mount in component.mounts:
        if mount.create:
            source = scope.string(mount.source)
            folder = Folder(source, mount.create_mode, users.uid(mount.user), users.gid(mount.user))
            (boot if source.startswith("/run/") else keep).append(folder)
    return boot, keep


def _without_key(text: str) -> bool:
    """Tell whether a reference stands where no key can be masked: then the node never sends the old content."""
    return OPEN in text and any(OPEN in _key(line) for line in text.splitlines() if OPEN in line)


def _key(line: str) -> str:
    return line.partition("=")[0].partition(":")[0].strip().strip('"')


def _masked(text: str) -> tuple[str, ...]:
    """Return the keys of lines that hold a reference, so that a node masks the same keys in the old content."""
    keys = {_key(line) for line in text.splitlines() if OPEN in line} if OPEN in text else set()
    return tuple(sorted(key for key in keys if key and OPEN not in key))
