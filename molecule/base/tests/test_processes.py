"""Processes of every role: they run, come back at boot, log, and have no more rights than their description says."""

from __future__ import annotations

from typing import Any

from scs_deploy.operations.site import Site

# Bit numbers of the kernel (include/uapi/linux/capability.h) are positions in this list.
CAPABILITIES = (  # noqa: SIM905 - forty lines otherwise
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()
FILTERED = 2
"""Value of Seccomp in /proc/<pid>/status."""


def containers(cases: Any) -> list[Any]:
    return [case for case in cases.values() if case.component.kind == "container"]


def test_units_run_and_come_back_at_boot(cases: Any) -> None:
    for name, case in cases.items():
        if case.wanted.unit:
            unit = case.real["unit"]
            assert unit["ActiveState"] == "active", name
            assert unit["WantedBy"] or unit["RequiredBy"] or unit["TriggeredBy"], f"nothing starts {name} at boot"


def test_containers_have_processes(cases: Any) -> None:
    for case in containers(cases):
        assert case.real["processes"], case.wanted.name


def test_root_filesystem_is_read_only(cases: Any) -> None:
    for case in containers(cases):
        assert ("ro" in case.real["root"].split(",")) is case.component.read_only, case.wanted.name


def test_capabilities_are_at_most_the_declared_ones(cases: Any) -> None:
    for case in containers(cases):
        for process in case.real["processes"]:
            held = {name for bit, name in enumerate(CAPABILITIES) if process["capabilities"] >> bit & 1}
            assert held <= set(case.component.capabilities), f"{process['name']} of {case.wanted.name}"


def test_processes_belong_to_the_declared_user(cases: Any, site: Site) -> None:
    """A root container may hand work to lesser users; any other has just its own."""
    users = site.topology.users
    for case in containers(cases):
        user = case.component.user
        owners = {(process["uid"], process["gid"]) for process in case.real["processes"]}
        if user != "root":
            assert owners == {(users.uid(user), users.gid(user))}, case.wanted.name


def test_system_calls_are_filtered(cases: Any) -> None:
    for case in containers(cases):
        if "seccomp=unconfined" not in case.component.security:
            assert {process["seccomp"] for process in case.real["processes"]} == {FILTERED}, case.wanted.name


def test_what_a_container_prints_is_in_the_journal(cases: Any) -> None:
    for case in containers(cases):
        assert case.real["logged"], case.wanted.name
