"""What things are called; where they live on a node is defined by the node side and given on from here."""

from __future__ import annotations

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.paths import (
    CONFIG_ROOT,
    DATA_ROOT,
    LABEL_INSTANCE,
    LABEL_JOB,
    LABEL_PACKAGES,
    LABEL_RELOAD,
    LABEL_START,
    QUADLET_ROOT,
    RUN_ROOT,
    STATE_ROOT,
    UNIT_ROOT,
    instance_folder,
    labels_file,
)

__all__ = [
    "CONFIG_ROOT",
    "DATA_ROOT",
    "IMAGE_PREFIX",
    "LABEL_INSTANCE",
    "LABEL_JOB",
    "LABEL_PACKAGES",
    "LABEL_RELOAD",
    "LABEL_START",
    "OPENSSL_CONF",
    "QUADLET_ROOT",
    "RUN_ROOT",
    "STATE_ROOT",
    "TLS_TARGET",
    "UNIT_ROOT",
    "component_of",
    "image_reference",
    "instance_folder",
    "instance_name",
    "is_unit_file",
    "labels_file",
    "unit_name",
]

TLS_TARGET = "/etc/scs-tls"
"""Inside a container: ca.pem, cert.pem, key.pem and bundle.pem (certificate, chain and key in one file)."""

OPENSSL_CONF = "/etc/scs-openssl.cnf"
"""Inside a container that has a certificate: the region's TLS policy, for every program that uses OpenSSL."""

IMAGE_PREFIX = "localhost/scs-deploy"


def instance_name(component: str, index: str = "") -> str:
    """``nova-compute``, or ``ceph-osd.3`` for a component that runs several times on a node."""
    return f"{component}.{index}" if index else component


def component_of(instance: str) -> str:
    """The component of a name that ``instance_name`` gave."""
    return instance.partition(".")[0]


def unit_name(instance: str) -> str:
    return f"{instance}.service"


def is_unit_file(path: str) -> bool:
    return path.startswith((f"{QUADLET_ROOT}/", f"{UNIT_ROOT}/"))


def image_reference(image: str, release: str) -> str:
    return f"{IMAGE_PREFIX}/{image}:{release}"
