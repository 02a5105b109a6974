"""Where things live on a node: the one home of every such name, for the node and the controller alike."""

from __future__ import annotations

CONFIG_ROOT = "/etc/scs-deploy"
"""Managed configuration: one folder per instance; everything below it that no instance owns is drift."""

DATA_ROOT = "/var/lib/scs-deploy/data"
"""Data folders of instances: never removed without ``--purge``."""

STATE_ROOT = "/var/lib/scs-deploy/state"
"""Bookkeeping of the converge module: manifest, records of starts and jobs, node lock."""

RUN_ROOT = "/run/scs-deploy"
"""Sockets shared between containers of a node; recreated at boot."""

IMAGES_ROOT = "/var/lib/scs-deploy/images"
"""Where images are brought to that the node's engine shall load: an OCI image layout."""

QUADLET_ROOT = "/etc/containers/systemd"
UNIT_ROOT = "/etc/systemd/system"

LABEL_INSTANCE = "scs-deploy.instance"
LABEL_START = "scs-deploy.start-digest"
LABEL_RELOAD = "scs-deploy.reload-digest"
LABEL_PACKAGES = "scs-deploy.packages-digest"
LABEL_JOB = "scs-deploy.job"

ENGINE_SOCKETS = {"podman": "/run/podman/podman.sock", "docker": "/run/docker.sock"}
"""The engine's API on the node; the SDKs talk to it."""


def unit_file(engine: str, instance: str) -> str:
    """The file by which systemd starts an instance's container with an engine."""
    return f"{QUADLET_ROOT}/{instance}.container" if engine == "podman" else f"{UNIT_ROOT}/{instance}.service"


def instance_folder(instance: str) -> str:
    return f"{CONFIG_ROOT}/{instance}"


def labels_file(instance: str) -> str:
    """The engine reads the labels of a container from here when it starts it; written after all other files."""
    return f"{STATE_ROOT}/labels/{instance}"
