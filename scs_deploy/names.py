"""Where things live on a node and what they are called: the one home of every such name."""

from __future__ import annotations

CONFIG_ROOT = "/etc/scs-deploy"
"""Managed configuration: one folder per instance; everything below it that no instance owns is drift."""

DATA_ROOT = "/var/lib/scs-deploy/data"
"""Data folders of instances: never removed without ``--purge``."""

STATE_ROOT = "/var/lib/scs-deploy/state"
"""Bookkeeping of the converge module: manifest, records of starts and jobs, node lock."""

RUN_ROOT = "/run/scs-deploy"
"""Sockets shared between containers of a node; recreated at boot."""

QUADLET_ROOT = "/etc/containers/systemd"
UNIT_ROOT = "/etc/systemd/system"

LABEL_INSTANCE = "scs-deploy.instance"
LABEL_START = "scs-deploy.start-digest"
LABEL_RELOAD = "scs-deploy.reload-digest"
LABEL_PACKAGES = "scs-deploy.packages-digest"
LABEL_IMAGE = "scs-deploy.image"
LABEL_RELEASE = "scs-deploy.release"
LABEL_RECIPE = "scs-deploy.recipe-digest"
LABEL_CREATED = "scs-deploy.created"

TLS_TARGET = "/etc/scs-tls"
"""Inside a container: ca.pem, cert.pem, key.pem and bundle.pem (certificate, chain and key in one file)."""

IMAGE_PREFIX = "localhost/scs-deploy"


def instance_name(component: str, index: str = "") -> str:
    """``nova-compute``, or ``ceph-osd.3`` for a component that runs several times on a node."""
    return f"{component}.{index}" if index else component


def instance_folder(instance: str) -> str:
    return f"{CONFIG_ROOT}/{instance}"


def labels_file(instance: str) -> str:
    """The engine reads the labels of a container from here when it starts it; written after all other files."""
    return f"{STATE_ROOT}/labels/{instance}"


def unit_name(instance: str) -> str:
    return f"{instance}.service"


def image_reference(image: str, release: str) -> str:
    return f"{IMAGE_PREFIX}/{image}:{release}"
