"""``cloud.yml`` in the region's folder: what the cloud shall hold beside what every cloud holds. The file may be missing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from scs_deploy.cloud import flavors
from scs_deploy.documents.fields import Bool, Cidr4, Cidr6, Int, Section, text, wrong
from scs_deploy.documents.findings import of_pydantic
from scs_deploy.documents.source import Source, describe, parse_yaml, scan_yaml
from scs_deploy.errors import Finding, InputError
from scs_deploy.region.region import Region

FILE = "cloud.yml"
CATALOGUE = Path(__file__).parent / "images.yml"
"""Images of public distributions that a region may choose by name."""

Label = Annotated[str, text(r"^[^\s/](.{0,252}[^\s])?$", "a name of at most 254 characters")]
Digest = Annotated[
    str,
    text(r"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$", "sha256: or sha512: and the checksum in hexadecimal digits"),
]
Link = Annotated[str, text(r"^https?://\S+$", "a URL such as https://example.org/image.qcow2")]
Date = Annotated[str, text(r"^\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d)?)?$", "a day such as 2026-11-22, in UTC")]
Period = Annotated[str, text(r"^(none|notice|\d{4}-\d\d-\d\d)$", "none, notice, or the last day such as 2029-04-30")]
Validity = Annotated[
    str, text(r"^(none|notice|forever|last-[1-9]\d*|\d{4}-\d\d-\d\d)$", "none, notice, forever, last-3, or a day")
]


class FlavorSection(Section):
    name: Label
    vcpus: Annotated[Int, Field(ge=1)] = Field(description="Virtual CPUs")
    ram: Annotated[Int, Field(ge=1)] = Field(description="Memory in MiB")
    disk: Annotated[Int, Field(ge=0)] = Field(0, description="Root disk in GB; 0: servers boot from a volume")
    public: Bool = Field(True, description="Every project may use it")
    extra_specs: dict[str, str] = Field({}, description="More extra specs")


class FlavorsSection(Section):
    mandatory: Bool = Field(True, description="The 15 flavors that the SCS standard scs-0103 asks for")
    recommended: Bool = Field(False, description="Its 16 recommended ones too")
    more: tuple[FlavorSection, ...] = Field((), description="Flavors of your own")


class VolumeTypeSection(Section):
    name: Label
    description: str = Field("", description="Free text behind the aspects")
    replicated: Bool = Field(False, description="Data lies on several disks; stands in the description (scs-0114)")
    encrypted: Bool = Field(False, description="LUKS with a key of the key manager; needs one")
    public: Bool = Field(True, description="Every project may use it")
    extra_specs: dict[str, str] = Field({}, description="Such as volume_backend_name")


class SubnetPoolSection(Section):
    """A default pool from which projects take subnets."""

    ipv4: tuple[Cidr4, ...] | None = Field(None, description="IPv4 prefixes; default: a free /16; []: no pool")
    ipv4_length: Annotated[Int, Field(ge=8, le=30)] = Field(24, description="Prefix length of an IPv4 subnet")
    ipv6: tuple[Cidr6, ...] | None = Field(None, description="IPv6 prefixes; default: a unique local /48; []: no pool")
    ipv6_length: Annotated[Int, Field(ge=48, le=64)] = Field(64, description="Prefix length of an IPv6 subnet")


class QuotaSection(Section):
    """Quotas of every project that has none of its own."""

    compute: dict[Literal["cores", "instances", "ram", "key_pairs", "server_groups"], Annotated[Int, Field(ge=-1)]] = (
        Field({}, description="-1: no limit")
    )
    volume: dict[
        Literal["volumes", "gigabytes", "snapshots", "backups", "backup_gigabytes", "per_volume_gigabytes"],
        Annotated[Int, Field(ge=-1)],
    ] = Field({}, description="-1: no limit")


class ImageSection(Section):
    """An image with everything that scs-0102 asks for."""

    name: Label
    url: Link | None = Field(None, description="Where it is downloaded from")
    file: str = Field("", description="A file on this machine; relative to the region's folder")
    checksum: Digest | None = Field(None, description="Of the file as downloaded: sha256:… or sha512:…")
    checksum_url: Link | None = Field(None, description="SHA256SUMS or SHA512SUMS that names the file of the URL")
    format: Literal["raw", "qcow2"] = Field("qcow2", description="Format of the file")
    store: Literal["raw", "qcow2"] = Field("raw", description="Format in the cloud; raw is what Ceph can clone")
    visibility: Literal["public", "community", "private"] = "public"
    architecture: Literal["x86_64", "aarch64"] = "x86_64"
    min_disk: Annotated[Int, Field(ge=1)] = Field(description="GiB; at least the size of the disk inside")
    min_ram: Annotated[Int, Field(ge=64)] = Field(description="MiB that it needs to boot")
    os_distro: str = Field(min_length=1, description="Such as ubuntu")
    os_version: str = Field(min_length=1, description='Such as "24.04"')
    os_purpose: Literal["generic", "minimal", "k8snode", "gpu", "network", "custom"] = "generic"
    disk_bus: Literal["scsi", "virtio"] = Field("scsi", description="hw_disk_bus")
    build_date: Date | None = Field(None, description="Day it was built; default: when its source last changed")
    user: str = Field("none", min_length=1, description="User that logs in; none: there is none")
    source: str = Field("", description="URL it comes from; default: url, else private")
    description: str = Field(min_length=1, description="Text or URL")
    replace_frequency: Literal["yearly", "quarterly", "monthly", "weekly", "daily", "critical_bug", "never"] = "never"
    provided_until: Period = "none"
    uuid_validity: Validity = "none"
    properties: dict[str, str] = Field({}, description="More properties")
    tags: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if bool(self.url) == bool(self.file):
            raise wrong("give one of url and file", "url for a download, file for a file of this machine")
        if self.url and not (self.checksum or self.checksum_url):
            raise wrong(
                "a download needs a checksum", "add checksum, or checksum_url with the list that names the file"
            )
        if self.file and self.checksum_url:
            raise wrong("checksum_url belongs to a download", "give checksum, or remove checksum_url")
        if self.format == "raw" and self.store == "qcow2":
            raise wrong("a raw file is not turned into qcow2", "write store: raw")
        return self


class ExternalSection(Section):
    name: Label = Field("public", description="Name of the external network")
    physical_network: Label = Field("physnet1", description="As the network service calls the provider network")


class CloudSection(Section):
    """What a cloud holds."""

    format: Literal[1] = Field(1, description="Version of this format")
    local_ssd: Bool = Field(False, description="You assert: servers' local disks are SSDs as scs-0110 describes them")
    flavors: FlavorsSection = FlavorsSection()
    volume_types: tuple[VolumeTypeSection, ...] | None = Field(
        None, description="Default: standard, and luks where there is a key manager"
    )
    external: ExternalSection = ExternalSection()
    subnet_pools: SubnetPoolSection = SubnetPoolSection()
    roles: tuple[Label, ...] = Field((), description="Roles beside admin, manager, member, reader and service")
    quotas: QuotaSection = QuotaSection()
    standard_images: tuple[Label, ...] = Field((), description="Images of public distributions that scs-deploy knows")
    images: tuple[ImageSection, ...] = Field((), description="Images of your own")


def load(region: Region) -> CloudSection:
    """The region's cloud.yml, or the defaults without one. Raises ``InputError`` with every finding."""
    path = region.folder / FILE
    return of_source(scan_yaml(path) if path.exists() else parse_yaml("format: 1", FILE))


def of_source(source: Source) -> CloudSection:
    if not isinstance(source.data, dict):
        what = f"must be a mapping (key: value), not {describe(source.data)}"
        raise InputError([*source.findings, source.finding((), what, fix="begin with format: 1")])
    findings = list(source.findings)
    try:
        section = CloudSection.model_validate(source.data)
    except ValidationError as error:
        raise InputError([*findings, *of_pydantic(source, error, _schema(), {})]) from error
    findings += _check(source, section)
    if findings:
        raise InputError(findings)
    return section


def known_images() -> dict[str, ImageSection]:
    """The images of public distributions that may be chosen by name."""
    data: Any = scan_yaml(CATALOGUE).data
    return {one["name"]: ImageSection.model_validate(one) for one in data["images"]}


def _check(source: Source, section: CloudSection) -> Iterator[Finding]:
    yield from _twice(source, ("flavors", "more"), [one.name for one in section.flavors.more])
    yield from _twice(source, ("volume_types",), [one.name for one in section.volume_types or ()])
    yield from _twice(source, ("images",), [one.name for one in section.images])
    for number, flavor in enumerate(section.flavors.more):
        why = flavors.complaint(flavor.name, flavor.vcpus, flavor.ram, flavor.disk)
        if why:
            path = ("flavors", "more", number, "name")
            yield source.finding(path, f"{flavor.name}: {why}", fix="rename it, or correct its numbers")
    for number, kind in enumerate(section.volume_types or ()):
        if re.match(r"\[scs:", kind.description):
            yield source.finding(
                ("volume_types", number, "description"),
                "the tag [scs:…] is written by scs-deploy",
                fix="use replicated and encrypted",
            )
    known = known_images()
    for number, name in enumerate(section.standard_images):
        if name not in known:
            yield source.finding(
                ("standard_images", number), f"{name} is not known here", fix=f"use one of: {', '.join(known)}"
            )
        elif name in {one.name for one in section.images}:
            yield source.finding(("standard_images", number), f"{name} stands in images too", fix="remove one of both")


def _twice(source: Source, path: Sequence[str], names: Sequence[str]) -> Iterator[Finding]:
    for number, name in enumerate(names):
        if name in names[:number]:
            first = source.line_of((*path, names.index(name), "name"))
            yield source.finding((*path, number, "name"), f"{name} stands there twice: {first}", fix="remove one")


@cache
def _schema() -> dict[str, Any]:
    return CloudSection.model_json_schema()
