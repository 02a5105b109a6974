"""Flavors of the SCS standards: how their names read (scs-0100), and which ones a cloud must have (scs-0103)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

PREFIX = "SCS-"
_NAME = re.compile(
    r"SCS-(?P<vcpus>[1-9]\d*)(?P<cpu>[CTVL])i?"
    r"-(?P<ram>[1-9]\d*(?:\.[05])?|0\.5)u?o?"
    r"(?:-(?:(?P<disks>[1-9]\d*)x)?(?P<disk>[1-9]\d*)(?P<kind>[nhsp])?)?"
    r"(?:_(?:kvm|chy|xen|vmw|hyv|bms))?(?:_hwv)?"
    r"(?:_[izar]\d*h*)?"
    r"(?:_[gG][NAI][A-Za-z0-9.]*(?:-[1-9]\d*h*)?(?:-[1-9]\d*h*)?)?"
    r"(?:_ib)?"
)
_CPU_TYPES = {"C": "dedicated-core", "T": "dedicated-thread", "V": "shared-core", "L": "crowded-core"}
_DISK_TYPES = {"n": "network", "h": "hdd", "s": "ssd", "p": "nvme"}

MANDATORY = (
    *("SCS-1V-4", "SCS-2V-8", "SCS-4V-16", "SCS-8V-32"),
    *("SCS-1V-2", "SCS-2V-4", "SCS-4V-8", "SCS-8V-16", "SCS-16V-32"),
    *("SCS-1V-8", "SCS-2V-16", "SCS-4V-32", "SCS-1L-1"),
    *("SCS-2V-4-20s", "SCS-4V-16-100s"),
)
RECOMMENDED = (
    *("SCS-1V-4-10", "SCS-2V-8-20", "SCS-4V-16-50", "SCS-8V-32-100"),
    *("SCS-1V-2-5", "SCS-2V-4-10", "SCS-4V-8-20", "SCS-8V-16-50", "SCS-16V-32-100"),
    *("SCS-1V-8-20", "SCS-2V-16-50", "SCS-4V-32-100", "SCS-1L-1-5"),
    *("SCS-16V-64", "SCS-8V-64", "SCS-16V-128"),
)


@dataclass(frozen=True, slots=True)
class FlavorPromise:
    """What a flavor's name promises."""

    vcpus: int
    ram_mb: int
    disk_gb: int
    cpu_type: str
    disk_type: str
    """"" without a disk; network where the name leaves it open."""


@dataclass(frozen=True, slots=True)
class Flavor:
    name: str
    vcpus: int
    ram_mb: int
    disk_gb: int
    public: bool = True
    extra_specs: dict[str, str] = field(default_factory=dict)


def read(name: str) -> FlavorPromise | None:
    """What an SCS name promises; None when it does not follow the standard."""
    found = _NAME.fullmatch(name)
    if not found:
        return None
    ram = Decimal(found["ram"])
    if ram >= 10 and ram % 1:
        return None
    disk = int(found["disk"] or 0)
    kind = _DISK_TYPES.get(found["kind"] or "n", "") if disk else ""
    return FlavorPromise(int(found["vcpus"]), int(ram * 1024), disk, _CPU_TYPES[found["cpu"]], kind)


def complaint(name: str, vcpus: int, ram_mb: int, disk_gb: int) -> str:
    """Why a flavor may not have this name; "" when it may. Names outside the standard are free."""
    if not name.startswith(PREFIX):
        return ""
    promise = read(name)
    if promise is None:
        return "the name begins with SCS- but does not follow the standard scs-0100"
    for what, promised, real in (
        ("vCPUs", promise.vcpus, vcpus),
        ("MiB of memory", promise.ram_mb, ram_mb),
        ("GB of disk", promise.disk_gb, disk_gb),
    ):
        if promised > real:
            return f"the name promises {promised} {what}, the flavor has {real}"
    return ""


def standard(recommended: bool) -> tuple[Flavor, ...]:
    """The mandatory flavors, and the recommended ones when asked for."""
    return tuple(_of(name) for name in (*MANDATORY, *(RECOMMENDED if recommended else ())))


def scs_specs(name: str) -> dict[str, str | None]:
    """The ``scs:`` extra specs that belong to a name; None: must not be set."""
    promise = read(name)
    if promise is None:
        return {}
    head, *rest = name.removeprefix(PREFIX).split("_")
    return {
        "scs:name-v1": "_".join([PREFIX + head.replace("-", ":"), *rest]),
        "scs:name-v2": name,
        "scs:cpu-type": promise.cpu_type,
        "scs:disk0-type": promise.disk_type or None,
    }


def _of(name: str) -> Flavor:
    promise = read(name)
    if promise is None:  # pragma: no cover - a test reads them all
        raise ValueError(name)
    return Flavor(name, promise.vcpus, promise.ram_mb, promise.disk_gb)


def attrs(flavor: Flavor) -> dict[str, Any]:
    """A flavor as it is compared and shown: numbers, then extra specs."""
    return {
        "vcpus": flavor.vcpus,
        "ram": flavor.ram_mb,
        "disk": flavor.disk_gb,
        "public": flavor.public,
        **scs_specs(flavor.name),
        **flavor.extra_specs,
    }
