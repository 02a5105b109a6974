"""Names of SCS flavors and the standard's lists."""

from __future__ import annotations

import pytest

from scs_deploy.cloud import flavors
from scs_deploy.cloud.flavors import FlavorPromise, complaint, read, scs_specs, standard


def test_the_standard_lists_have_their_sizes_and_all_names_parse() -> None:
    assert len(set(flavors.MANDATORY)) == 15
    assert len(set(flavors.RECOMMENDED)) == 16
    for flavor in standard(recommended=True):
        assert complaint(flavor.name, flavor.vcpus, flavor.ram_mb, flavor.disk_gb) == ""


@pytest.mark.parametrize(
    ("name", "vcpus", "ram", "disk", "specs"),
    [
        ("SCS-1V-4", 1, 4096, 0, ("SCS-1V:4", "shared-core", None)),
        ("SCS-16V-32", 16, 32768, 0, ("SCS-16V:32", "shared-core", None)),
        ("SCS-1L-1", 1, 1024, 0, ("SCS-1L:1", "crowded-core", None)),
        ("SCS-2V-4-20s", 2, 4096, 20, ("SCS-2V:4:20s", "shared-core", "ssd")),
        ("SCS-4V-16-100s", 4, 16384, 100, ("SCS-4V:16:100s", "shared-core", "ssd")),
        ("SCS-1V-2-5", 1, 2048, 5, ("SCS-1V:2:5", "shared-core", "network")),
    ],
)
def test_numbers_and_extra_specs_follow_from_the_name(
    name: str, vcpus: int, ram: int, disk: int, specs: tuple[str, str, str | None]
) -> None:
    flavor = next(one for one in standard(recommended=True) if one.name == name)
    assert (flavor.vcpus, flavor.ram_mb, flavor.disk_gb) == (vcpus, ram, disk)
    old, cpu, kind = specs
    assert scs_specs(name) == {
        "scs:name-v1": old,
        "scs:name-v2": name,
        "scs:cpu-type": cpu,
        "scs:disk0-type": kind,
    }


@pytest.mark.parametrize(
    ("name", "promise"),
    [
        ("SCS-4Ci-1.5uo-3x10n_kvm_hwv_i3h_GNa-14h_ib", FlavorPromise(4, 1536, 10, "dedicated-core", "network")),
        ("SCS-2T-0.5", FlavorPromise(2, 512, 0, "dedicated-thread", "")),
        ("SCS-8C-32-500p_kvm", FlavorPromise(8, 32768, 500, "dedicated-core", "nvme")),
        ("SCS-16T-64-3x10s_GNa-64_ib", FlavorPromise(16, 65536, 10, "dedicated-thread", "ssd")),
    ],
)
def test_names_with_everything(name: str, promise: FlavorPromise) -> None:
    assert read(name) == promise


@pytest.mark.parametrize(
    "name",
    [
        "SCS-1v-4",
        "SCS-V-4",
        "SCS-1V:4",
        "SCS-1V-4-",
        "SCS-1V-4-10x",
        "SCS-1V-10.5",
        "SCS-1V-4_ib_kvm",
        "SCS-1V-1.3",
        "SCS-0V-4",
    ],
)
def test_names_that_do_not_parse_are_refused(name: str) -> None:
    assert "scs-0100" in complaint(name, 99, 999999, 9999)


def test_a_name_may_promise_less_but_not_more() -> None:
    assert complaint("SCS-2V-4", 4, 8192, 10) == ""
    assert "promises 2 vCPUs, the flavor has 1" in complaint("SCS-2V-4", 1, 4096, 0)
    assert "MiB of memory" in complaint("SCS-2V-4", 2, 4000, 0)
    assert "GB of disk" in complaint("SCS-2V-4-20s", 2, 4096, 10)
    assert complaint("m1.tiny", 1, 1, 0) == ""
