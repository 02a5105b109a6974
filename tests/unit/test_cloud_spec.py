"""cloud.yml: what it may say, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from scs_deploy.cloud.kinds.image import CHECKSUM, attrs
from scs_deploy.cloud.kinds.volume import tag
from scs_deploy.cloud.spec import CloudSection, known_images, of_source
from scs_deploy.documents.source import parse_yaml
from scs_deploy.errors import InputError

IMAGE = """\
  - name: Mine
    file: mine.raw
    format: raw
    min_disk: 2
    min_ram: 256
    os_distro: debian
    os_version: "13"
    description: Ours
"""
MANDATORY = (
    *("architecture", "min_disk", "min_ram", "os_distro", "os_version", "hw_disk_bus", "image_original_user"),
    *("image_source", "image_description", "replace_frequency", "provided_until", "uuid_validity", "os_purpose"),
)
"""Of scs-0102, but for image_build_date, which is known when the file is there."""


def parse(text: str) -> CloudSection:
    return of_source(parse_yaml(text, "cloud.yml"))


def refused(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(text)
    return "\n".join(str(finding) for finding in caught.value.findings)


def test_without_a_file_the_standard_is_wanted() -> None:
    spec = parse("format: 1")
    assert spec.flavors.mandatory
    assert not spec.flavors.recommended
    assert spec.images == ()


def test_an_image_has_all_the_metadata_of_the_standard() -> None:
    found = attrs(parse(f"images:\n{IMAGE}").images[0], "sha256:00")
    assert all(found[name] for name in MANDATORY)
    assert found["hw_scsi_model"] == "virtio-scsi"
    assert found["image_source"] == "private"
    assert found[CHECKSUM] == "sha256:00"


def test_the_shipped_images_are_complete_and_come_from_the_prefixes_of_the_standard() -> None:
    known = known_images()
    assert "Ubuntu 24.04" in known
    assert str(known["Ubuntu 24.04"].url).startswith("https://cloud-images.ubuntu.com/releases/noble/")
    for image in known.values():
        assert all(attrs(image, "sha256:00")[name] for name in MANDATORY)
        assert image.checksum_url


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("flavors: {recomended: true}", "cloud.yml:1:11 flavors.recomended: the key recomended is not known here"),
        (
            "flavors:\n  more:\n  - {name: SCS-4V-4, vcpus: 2, ram: 4096}",
            "cloud.yml:3:12 flavors.more[0].name: SCS-4V-4: the name promises 4 vCPUs, the flavor has 2",
        ),
        ("flavors:\n  more:\n  - {name: SCS-x, vcpus: 2, ram: 4096}", "does not follow the standard scs-0100"),
        ("standard_images: [Ubuntu 24]", "Ubuntu 24 is not known here"),
        (
            f"images:\n{IMAGE}{IMAGE}",
            "cloud.yml:10:11 images[1].name: Mine stands there twice: images[0].name (line 2)",
        ),
        (f"images:\n{IMAGE}    url: https://x.test/a.img\n", "give one of url and file"),
        (f"images:\n{IMAGE}".replace("file: mine.raw", "url: https://x.test/a.img"), "a download needs a checksum"),
        (f"images:\n{IMAGE}    checksum: md5:00\n", "does not have the right form"),
        ("volume_types:\n- {name: a, description: '[scs:encrypted] x'}", "is written by scs-deploy"),
        ("quotas: {compute: {cores: many}}", "cloud.yml:1:27 quotas.compute.cores: must be a whole number"),
        ("- 1", "must be a mapping"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, told: str) -> None:
    assert told in refused(text)


def test_tags_of_volume_types_are_in_the_order_of_the_standard() -> None:
    assert tag(replicated=True, encrypted=True) == "[scs:encrypted, replicated]"
    assert tag(replicated=True, encrypted=False) == "[scs:replicated]"
    assert tag(replicated=False, encrypted=False) == ""


def test_the_shipped_list_is_part_of_the_program() -> None:
    from scs_deploy.cloud import spec

    assert spec.CATALOGUE.parent == Path(spec.__file__).parent
