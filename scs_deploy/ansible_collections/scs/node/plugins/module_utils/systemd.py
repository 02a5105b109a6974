"""systemd and its journal: one question for all units, and the few verbs that converge needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from .failure import StepError
from .host import TIMED_OUT, Done, Host

_PROPERTIES = "LoadState,ActiveState,SubState,UnitFileState,InvocationID,NRestarts,ActiveEnterTimestamp"
LOG_LINES = 15
_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Unit:
    """What systemd knows about a unit; ``since`` in seconds of the epoch, 0 when it is not active."""

    load: str = "not-found"
    active: str = "inactive"
    sub: str = "dead"
    file_state: str = ""
    invocation: str = ""
    restarts: int = 0
    since: float = 0.0

    @property
    def present(self) -> bool:
        return self.load not in ("not-found", "")

    @property
    def running(self) -> bool:
        return self.active in ("active", "reloading")

    @property
    def enabled(self) -> str:
        """``enabled``, ``generated``, ``disabled``, … or ``absent``."""
        return (self.file_state or "static") if self.present else "absent"


class Systemd:
    """Calls of systemctl and journalctl on this host; failing verbs raise StepError with the last log lines."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.loaded = False
        """False until this process reloaded systemd: units on disk may be newer than what it knows."""

    def show(self, units: Iterable[str]) -> dict[str, Unit]:
        """Return the state of all units with one call."""
        wanted = list(dict.fromkeys(units))
        if not wanted:
            return {}
        done = self.host.run(["systemctl", "show", "--timestamp=unix", f"--property={_PROPERTIES}", "--", *wanted])
        blocks = done.out.split("\n\n") if done.ok else []
        return {name: _unit(blocks[index] if index < len(blocks) else "") for index, name in enumerate(wanted)}

    def unit(self, name: str) -> Unit:
        return self.show([name])[name]

    def daemon_reload(self) -> None:
        done = self.host.run(["systemctl", "daemon-reload"], timeout=120)
        if not done.ok:
            raise StepError(
                "systemd cannot read its units", why=_why(done), fix="run `systemctl daemon-reload` on the node"
            )
        self.loaded = True

    def restart(self, unit: str, timeout: float) -> None:
        """Start or restart a unit and wait until systemd calls it started."""
        self.host.run(["systemctl", "reset-failed", unit])
        self._verb("restart", unit, timeout)

    def stop(self, unit: str, timeout: float) -> None:
        self._verb("stop", unit, timeout)

    def enable(self, unit: str) -> None:
        self._verb("enable", unit, 60)

    def unmask(self, unit: str) -> None:
        self._verb("unmask", unit, 60)

    def disable(self, unit: str) -> None:
        self._verb("disable", unit, 60)

    def reload(self, unit: str) -> None:
        self._verb("reload", unit, 60)

    def kill(self, unit: str, signal: str) -> None:
        done = self.host.run(["systemctl", "kill", f"--signal={signal}", "--kill-whom=main", unit])
        if not done.ok:
            raise StepError(f"cannot send {signal} to {unit}", why=_why(done), log=self.journal(unit))

    def journal(self, unit: str, container: str = "", lines: int = LOG_LINES) -> list[str]:
        """Return the last lines that a unit, or its container, said."""
        matches = [f"_SYSTEMD_UNIT={unit}", "+", f"UNIT={unit}"]
        matches += ["+", f"CONTAINER_NAME={container}"] if container else []
        command = ["journalctl", "--no-pager", "--quiet", "--output=json", f"--lines={lines * 4}", *matches]
        said = [_said(line) for line in self.host.run(command, timeout=20).out.splitlines()]
        return [text for text in said if text][-lines:]

    def generator_log(self, unit: str) -> list[str]:
        """Return what Podman's generator has against the unit file of ``unit``."""
        lines = self.host.run(["/usr/libexec/podman/quadlet", "-dryrun"]).err.splitlines()
        source = f"{unit.removesuffix('.service')}.container"
        found = [line.partition(": ")[2] or line for line in lines if "Loading source unit file" not in line]
        return [line for line in found if source in line or unit in line][-LOG_LINES:] or found[-LOG_LINES:]

    def _verb(self, verb: str, unit: str, timeout: float) -> None:
        done = self.host.run(["systemctl", verb, unit], timeout=timeout)
        if done.ok:
            return
        why = f"not done after {timeout:.0f} s" if done.code == TIMED_OUT else _why(done)
        raise StepError(
            f"systemctl {verb} {unit} failed",
            why=why,
            fix=f"the log lines say why; on the node: `systemctl status {unit}`, `journalctl -u {unit}`",
            log=self.journal(unit, unit.removesuffix(".service")),
        )


def _unit(block: str) -> Unit:
    facts = dict(line.split("=", 1) for line in block.strip().splitlines() if "=" in line)
    stamp = facts.get("ActiveEnterTimestamp", "").lstrip("@")
    active = facts.get("ActiveState", "inactive")
    return Unit(
        load=facts.get("LoadState", "not-found"),
        active=active,
        sub=facts.get("SubState", "dead"),
        file_state=facts.get("UnitFileState", ""),
        invocation=facts.get("InvocationID", ""),
        restarts=int(facts.get("NRestarts") or 0),
        since=float(stamp) if stamp.isdigit() and active in ("active", "reloading") else 0.0,
    )


def _said(line: str) -> str:
    """Return the message of a journal entry, nothing for the engine's own chatter about a container's life."""
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    message = entry.get("MESSAGE") or ""
    text = bytes(message).decode(errors="replace") if isinstance(message, list) else str(message)
    chatter = entry.get("SYSLOG_IDENTIFIER") in ("podman", "conmon") or _CONTAINER_ID.fullmatch(text.strip())
    return "" if chatter else text.rstrip()


def _why(done: Done) -> str:
    return " ".join(done.lines(3)) or f"exit code {done.code}"
