"""Looks at a cloud, plans what is missing and makes it so; one failure does not keep the others from being made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scs_deploy.cloud import flavors, imagefile
from scs_deploy.cloud.access import CloudApi, explained
from scs_deploy.cloud.kinds import all_kinds
from scs_deploy.cloud.plan import ContentChange, ContentInputs, ContentKind, ContentPlan, compare
from scs_deploy.cloud.spec import FILE, CloudSection
from scs_deploy.errors import DeployError
from scs_deploy.region.region import Region


@dataclass(frozen=True, slots=True)
class ContentFailure:
    change: ContentChange
    error: DeployError


def look(region: Region, spec: CloudSection, cloud: CloudApi, progress: Callable[[str], None]) -> ContentInputs:
    """What the wanted content depends on, as far as the cloud and the world outside know it."""
    types = frozenset(kind for kind in _types() if cloud.endpoint(kind))
    extensions: frozenset[str] = frozenset()
    if "network" in types:
        with explained("the network service does not answer", cloud.endpoint("network")):
            extensions = frozenset(one.alias for one in cloud.api.network.extensions())
    world = ContentInputs(region, spec, types, extensions)
    checksums = {}
    for image in world.images if "image" in types else ():
        progress(f"checksum of image {image.name}")
        checksums[image.name] = imagefile.checksum(image, region.folder)
    return ContentInputs(region, spec, types, extensions, checksums)


def make_plan(
    world: ContentInputs, cloud: CloudApi, progress: Callable[[str], None], kinds: Sequence[ContentKind] | None = None
) -> ContentPlan:
    """Compare every kind whose API is deployed."""
    changes: list[ContentChange] = []
    left_out: dict[str, str] = {}
    for kind in kinds or all_kinds():
        missing = [name for name in kind.api if name not in world.types]
        if missing:
            left_out[f"{kind.title}s" if not kind.title.endswith("s") else kind.title] = (
                f"no {', '.join(missing)} service is deployed"
            )
            continue
        progress(f"looking at {kind.title}")
        wanted = kind.wanted(world)
        if wanted:
            with explained(f"cannot read {kind.title}", cloud.endpoint(kind.api[0])):
                current = kind.current(cloud.api, wanted)
            changes += compare(kind, wanted, current)
    return ContentPlan(tuple(changes), left_out, tuple(notes(world)))


def apply(
    plan: ContentPlan,
    cloud: CloudApi,
    done: Callable[[ContentChange, DeployError | None], None],
    kinds: Sequence[ContentKind] | None = None,
) -> list[ContentFailure]:
    """Carry out the plan; ``done`` is told of each change."""
    by_title = {kind.title: kind for kind in kinds or all_kinds()}
    failures: list[ContentFailure] = []
    for change in plan.changes:
        kind = by_title[change.kind]
        if change.op == "keep":
            continue
        if change.op == "wrong":
            why = "; ".join(str(one) for one in change.differences)
            error = DeployError(f"{change.kind} {change.item.name} is not as wanted", why=why, fix=kind.fix(change))
            failures.append(ContentFailure(change, error))
            done(change, error)
            continue
        try:
            with explained(f"cannot {change.op} {change.kind} {change.item.name}", cloud.endpoint(kind.api[0])):
                _carry_out(kind, cloud, change)
        except DeployError as error:
            failures.append(ContentFailure(change, error))
            done(change, error)
        else:
            done(change, None)
    return failures


def notes(world: ContentInputs) -> list[str]:
    """What a person should know and no API can tell."""
    found = []
    spec = world.spec
    if "compute" in world.types and spec.flavors.mandatory and not spec.local_ssd:
        ssd = ", ".join(one.name for one in flavors.standard(False) if one.name.endswith("s"))
        found.append(f"{ssd} promise a local SSD (scs-0110), which {FILE} does not assert with local_ssd: true")
    if "image" in world.types and not any(one.name == "Ubuntu 24.04" for one in world.images):
        found.append(f"the standard scs-0104 asks for an image Ubuntu 24.04: add it to standard_images in {FILE}")
    if "network" in world.types and "external" not in world.region.networks:
        found.append("no external network: region.yml has no network external, so there are no floating addresses")
    return found


def _carry_out(kind: ContentKind, cloud: CloudApi, change: ContentChange) -> None:
    if change.op == "create":
        kind.create(cloud.api, change.item)
    elif change.op == "update":
        kind.update(cloud.api, change)
    else:
        kind.replace(cloud.api, change)


def _types() -> set[str]:
    return {name for kind in all_kinds() for name in kind.api} | {"key-manager", "load-balancer"}
