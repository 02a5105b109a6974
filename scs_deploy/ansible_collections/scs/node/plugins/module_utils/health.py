"""Ask an instance from outside whether it works: once, or until it does."""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
from collections.abc import Callable, Sequence

from .failure import StepError
from .host import Done, Host
from .question import Health, Page, Settled
from .systemd import Systemd, Unit

ONCE = 2.0
"""Seconds that one question may take."""

_PROCESS = re.compile(r'"(?P<name>[^"]+)",pid=(?P<pid>\d+)')

Execute = Callable[[Sequence[str]], Done]


def check(
    health: Health,
    unit: Unit | None,
    execute: Execute,
    host: Host,
    container: Callable[[], str] = str,
    timeout: float = ONCE,
) -> tuple[bool | None, str]:
    """Ask once: healthy, not healthy and why, or None when nothing says how to tell; ``container`` gives the ID of its container."""
    try:
        if health.tcp:
            with socket.create_connection(health.tcp, timeout=timeout):
                return True, ""
        if health.http:
            return _http(health.http, health, timeout)
        if health.unix:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout)
                connection.connect(os.fspath(host.path(health.unix)))
                return True, ""
    except (OSError, http.client.HTTPException) as error:
        return False, _told(error)
    if health.client:
        held = _connected(container(), health.client, host)
        return held, "" if held else f"it holds no connection to port {health.client}"
    if health.command:
        done = execute(health.command)
        return done.ok, "" if done.ok else " ".join(done.lines(3)) or f"exit code {done.code}"
    if health.unit and unit is not None:
        return unit.running, "" if unit.running else f"the unit is {unit.active} ({unit.sub})"
    return None, ""


def _connected(container: str, port: int, host: Host) -> bool:
    """Whether a process of a container is a client of a port; engines put the ID into the names of control groups."""
    found = host.run(["ss", "-Htnp", "state", "established", f"dport = :{port}"]).out
    pids = {match["pid"] for match in _PROCESS.finditer(found)}
    return bool(container) and any(container in host.read(f"/proc/{pid}/cgroup") for pid in pids)


def listener(health: Health, host: Host) -> str:
    """Who answers where the instance is to listen, although it does not run; empty when nobody does."""
    where = health.tcp or health.http
    if where is None:
        return ""
    port = where.port
    try:
        socket.create_connection((where.host, port), timeout=ONCE).close()
    except OSError:
        return ""
    found = _PROCESS.search(host.run(["ss", "-Hltnp", f"sport = :{port}"]).out)
    who = f"{found['name']} (process {found['pid']})" if found else "another process"
    return f"{who} listens on port {port}"


def await_healthy(
    name: str,
    unit: str,
    health: Health,
    execute: Execute,
    host: Host,
    systemd: Systemd,
    container: Callable[[], str] = str,
) -> None:
    """Ask with growing pauses until healthy, and seen to be so by its load balancer (``front``).

    Raises StepError with the last log lines after ``health.timeout`` seconds, or as soon as systemd gave up on the unit.
    """
    began, pause = host.now(), 0.05
    while True:
        state = systemd.unit(unit) if unit else None
        healthy, why = check(health, state, execute, host, container)
        if healthy and health.front:
            healthy, why = _front(health.front, health)
            why = f"its frontend: {why}" if why else ""
        failed = state is not None and state.active == "failed"
        if healthy or (healthy is None and not failed):
            break
        waited = host.now() - began
        if failed or waited + pause > health.timeout:
            raise StepError(
                f"{name} is not healthy" + ("" if failed else f" after {waited:.0f} s"),
                why="its unit failed" if failed else why,
                fix=f"the log lines say why; on the node: `journalctl -u {unit}`" if unit else "look at its log",
                log=systemd.journal(unit, name) if unit else [],
            )
        host.sleep(pause)
        pause = min(pause * 1.6, 2.0)
    if health.settled:
        _await_settled(name, health.settled, execute, host)


def _await_settled(name: str, settled: Settled, execute: Execute, host: Host) -> None:
    """Ask its own command, with pauses, until it succeeds. Raises StepError with what it said last."""
    began = host.now()
    while not (done := execute(settled.command)).ok:
        waited = host.now() - began
        if waited > settled.timeout:
            raise StepError(
                f"{name} runs, but has not settled after {waited:.0f} s",
                why=" ".join(done.lines(3)) or f"exit code {done.code}",
                fix="nothing that depends on it was restarted; mend what is missing, then apply again",
            )
        host.sleep(2.0)


def _front(page: Page, health: Health) -> tuple[bool, str]:
    try:
        return _http(page, health, ONCE, health.front_pem)
    except (OSError, http.client.HTTPException) as error:
        return False, _told(error)


def _http(page: Page, health: Health, timeout: float, pem: str = "") -> tuple[bool, str]:
    connection: http.client.HTTPConnection
    if page.scheme == "https":
        context = _trust(health.ca, pem)
        connection = http.client.HTTPSConnection(page.host, page.port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(page.host, page.port, timeout=timeout)
    try:
        connection.request("GET", page.path)
        status = connection.getresponse().status
    finally:
        connection.close()
    return 200 <= status < 400, "" if 200 <= status < 400 else f"HTTP status {status}"


def _trust(ca: str, pem: str) -> ssl.SSLContext:
    """Trust the CA of the instance; or, with ``pem``, exactly who shows this certificate, whatever it names."""
    if not pem:
        return ssl.create_default_context(cafile=ca or None)
    context = ssl.create_default_context(cadata=pem)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context


def _told(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (
        error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    ).lower()
