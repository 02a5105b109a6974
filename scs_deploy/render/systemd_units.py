"""systemd units of containers: a Quadlet file for Podman, a plain unit for Docker; pure text from a ``Container``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.docker_words import docker_security, docker_tmpfs
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import Container, Mount
from scs_deploy.catalogue import names
from scs_deploy.render.desired import Folder

_STOPPED_BY_SIGNAL = "143"
"""128 + SIGTERM, which a container's init passes on: an ordinary stop, not a failure."""

_REFUSED = "78"
"""EX_CONFIG: what an entry script ends with when a person has to decide; trying again would change nothing."""

_JOURNAL_UNIT = "object.systemd.unit"
"""Docker's log driver makes OBJECT_SYSTEMD_UNIT of it: systemd.journal-fields(7), which a privileged process may set for another unit."""

_HEADER = "# Written by scs-deploy; changes made here are drift and will be undone.\n"


def quote(argument: str) -> str:
    """Return an argument as systemd's command lines want it: quoted, ``%`` and ``$`` doubled."""
    text = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$").replace("\n", "\\n")
    return text if text and not set(text) & set(" \t'\"\\;") else f'"{text}"'


def podman_unit(
    container: Container, boot_folders: Sequence[Folder], stop_timeout: int, stop_signal: str
) -> tuple[str, str]:
    """Return path and text of the Quadlet unit (podman-systemd.unit(5))."""
    lines = [
        *_unit_section(container, "network-online.target"),
        "[Container]",
        f"ContainerName={container.name}",
        f"Image={container.image}",
        "Pull=never",
        "Network=host",
        f"User={container.user.partition(':')[0]}",
        f"Group={container.user.partition(':')[2]}",
        "LogDriver=journald",
        "DropCapability=all",
        "NoNewPrivileges=true",
        f"ReadOnly={_bool(container.read_only)}",
        "ReadOnlyTmpfs=false",
        f"RunInit={_bool(container.init)}",
        f"StopTimeout={stop_timeout}",
    ]
    lines += [f"AddCapability={capability}" for capability in container.capabilities]
    lines += [f"AddDevice={device}" for device in container.devices]
    lines += [f"Tmpfs={path}" for path in container.tmpfs]
    lines += [f"Volume={volume}" for volume in _volumes(container)]
    lines += [f"Environment={quote(f'{key}={value}')}" for key, value in sorted(container.environment.items())]
    lines += [f"Ulimit={name}={value}:{value}" for name, value in _ulimits(container)]
    extra = [
        f"--label-file={names.labels_file(container.name)}",
        f"--stop-signal={stop_signal}",
        *(f"--security-opt={option}" for option in container.security),
        *_common_flags(container),
    ]
    lines += [f"PodmanArgs={quote(flag)}" for flag in extra]
    if container.command:
        lines.append("Exec=" + " ".join(quote(argument) for argument in container.command))
    lines += _service_section(boot_folders, stop_timeout, restart="always")
    return f"{names.QUADLET_ROOT}/{container.name}.container", _HEADER + "\n".join(lines) + "\n"


def docker_unit(
    container: Container, boot_folders: Sequence[Folder], stop_timeout: int, stop_signal: str
) -> tuple[str, str]:
    """Return path and text of a plain unit: dockerd keeps the container alive, so a restart of dockerd (live-restore) does not
    stop it, and systemd creates it anew at boot.

    The journal files what a container prints under the unit of dockerd; a label that the log driver makes a field of the entry
    has ``journalctl --unit`` find it under the container's own.
    """
    unit = names.unit_name(container.name)
    run = [
        "/usr/bin/docker", "run", "--detach", f"--name={container.name}", "--pull=never", "--network=host", "--restart=always",
        f"--user={container.user}", "--log-driver=journald", f"--label={_JOURNAL_UNIT}={unit}",
        f"--log-opt=labels={_JOURNAL_UNIT}", "--log-opt=tag={{.Name}}",
        "--cap-drop=ALL", "--security-opt=no-new-privileges", f"--stop-timeout={stop_timeout}", f"--stop-signal={stop_signal}",
        f"--label-file={names.labels_file(container.name)}",
    ]  # fmt: skip
    run += ["--read-only"] if container.read_only else []
    run += ["--init"] if container.init else []
    run += [f"--cap-add={capability}" for capability in container.capabilities]
    run += [f"--device={device}" for device in container.devices]
    run += [f"--tmpfs={path}:{docker_tmpfs(path, container.user)}" for path in container.tmpfs]
    run += [f"--mount={_docker_mount(mount)}" for mount in container.mounts]
    run += [f"--env={key}={value}" for key, value in sorted(container.environment.items())]
    run += [f"--ulimit={name}={value}:{value}" for name, value in _ulimits(container)]
    run += [f"--security-opt={option}" for option in docker_security(container.security)]
    run += [*_common_flags(container), container.image, *container.command]
    lines = [
        *_unit_section(container, "network-online.target docker.service"),
        "Wants=docker.service",
        *_service_section(boot_folders, stop_timeout, restart=""),
    ]
    start = lines.index("[Service]") + 1
    lines[start:start] = [
        "Type=oneshot",
        "RemainAfterExit=yes",
        # Where no configuration is: the client would put the proxies of root's into the container.
        f"Environment=DOCKER_CONFIG={names.CONFIG_ROOT}",
        f"ExecStartPre=-/usr/bin/docker rm --force {container.name}",
        "ExecStart=" + " ".join(quote(argument) for argument in run),
        f"ExecStop=/usr/bin/docker stop {container.name}",
        f"ExecStopPost=-/usr/bin/docker rm --force {container.name}",
    ]
    return f"{names.UNIT_ROOT}/{container.name}.service", _HEADER + "\n".join(lines) + "\n"


UNITS: dict[str, Callable[[Container, Sequence[Folder], int, str], tuple[str, str]]] = {
    "podman": podman_unit,
    "docker": docker_unit,
}


def _unit_section(container: Container, after: str) -> list[str]:
    return [
        "[Unit]",
        f"Description=scs-deploy {container.name}",
        f"After={after}",
        "Wants=network-online.target",
        "StartLimitIntervalSec=0",
        "",
    ]


def _service_section(boot_folders: Sequence[Folder], stop_timeout: int, restart: str) -> list[str]:
    lines = ["", "[Service]"]
    for folder in boot_folders:
        command = [
            "/usr/bin/install",
            "-d",
            "-m",
            folder.mode,
            "-o",
            str(folder.uid),
            "-g",
            str(folder.gid),
            folder.path,
        ]
        lines.append("ExecStartPre=" + " ".join(command))
    if restart:
        lines += [f"Restart={restart}", "RestartSec=2", f"RestartPreventExitStatus={_REFUSED}"]
        lines += [f"SuccessExitStatus={_STOPPED_BY_SIGNAL}"]
    lines += [
        f"TimeoutStopSec={stop_timeout + 15}",
        "TimeoutStartSec=120",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return lines


def _volumes(container: Container) -> list[str]:
    volumes = []
    for mount in container.mounts:
        options = [mount.mode, *([mount.propagation] if mount.propagation else [])]
        volumes.append(f"{mount.source}:{mount.target}:{','.join(options)}")
    return volumes


def _docker_mount(mount: Mount) -> str:
    """Unlike ``--volume``, it refuses a source that is not there instead of making a folder of it."""
    parts = ["type=bind", f"source={mount.source}", f"target={mount.target}"]
    parts += ["readonly"] if mount.mode == "ro" else []
    parts += [f"bind-propagation={mount.propagation}"] if mount.propagation else []
    return ",".join(parts)


def _ulimits(container: Container) -> list[tuple[str, str]]:
    return [(name, container.limits[name]) for name in ("nofile", "nproc") if container.limits.get(name)]


def _common_flags(container: Container) -> list[str]:
    """Flags that both engines spell the same."""
    flags = [f"--label={names.LABEL_INSTANCE}={container.name}"]
    flags += [f"--{name}={value}" for name in ("pid", "ipc", "cgroupns") if (value := getattr(container, name))]
    flags += [f"--memory={container.limits['memory']}"] if container.limits.get("memory") else []
    flags += [f"--shm-size={container.limits['shm']}"] if container.limits.get("shm") else []
    return flags


def _bool(value: bool) -> str:
    return "true" if value else "false"
