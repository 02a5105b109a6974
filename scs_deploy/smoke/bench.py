"""What the steps of one run share: whose cloud it is, what was made so far, and how to wait for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from scs_deploy.cloud.access import CloudApi
from scs_deploy.errors import DeployError
from scs_deploy.machine.waiting import wait_for
from scs_deploy.region.region import Region
from scs_deploy.smoke.tenant import Tenant

T = TypeVar("T")
CONSOLE_LINES = 400
LAST_LINES = 15


@dataclass(slots=True)
class SmokeServer:
    """A server of ours and how it is reached."""

    id: str
    name: str
    port: str
    fixed: str
    floating: str = ""
    """Its address outside."""


@dataclass(slots=True)
class Bench:
    region: Region
    cloud: CloudApi
    """As the plain user."""
    admin: CloudApi
    tenant: Tenant
    guest: Callable[[], Path]
    """Gives the guest's disk image, built when there is none."""
    say: Callable[[str], None]
    made: dict[str, Any] = field(default_factory=dict)
    """Ids and objects, by what they are for."""

    @property
    def api(self) -> Any:
        return self.cloud.api

    def name(self, what: str) -> str:
        return f"{self.tenant.name}-{what}"

    def server(self, which: str = "server") -> SmokeServer:
        found: SmokeServer = self.made[which]
        return found

    def wait(
        self,
        what: str,
        probe: Callable[[], T | None],
        seconds: float,
        *,
        state: Callable[[], str] | None = None,
        every: float = 1.0,
        fix: str = "",
    ) -> T:
        """Ask until ``probe`` gives something; ``state`` says how things stand when time is up."""
        limit = seconds * self.region.patience
        found = wait_for(probe, limit, every)
        if found is None:
            why = "; ".join(filter(None, [f"waited {limit:.0f} s", state() if state else ""]))
            raise DeployError(f"{what} did not come", where=self.tenant.name, why=why, fix=fix)
        return found

    def until(
        self, what: str, get: Callable[[], Any], good: str | tuple[str, ...], seconds: float, fix: str = ""
    ) -> Any:
        """Wait until an object has a status; one that ends in error tells why."""
        wanted = (good,) if isinstance(good, str) else good
        last: list[str] = [""]

        def probe() -> Any:
            found = get()
            last[0] = str(getattr(found, "status", "") or getattr(found, "provisioning_status", ""))
            if last[0].lower() in wanted:
                return found
            if last[0].lower().startswith("error"):
                raise DeployError(f"{what} went into {last[0]}", where=self.tenant.name, why=fault(found), fix=fix)
            return None

        return self.wait(what, probe, seconds, state=lambda: f"its status is {last[0] or 'unknown'}", fix=fix)

    def console(self, server: SmokeServer) -> str:
        answer = self.api.compute.get_server_console_output(server.id, length=CONSOLE_LINES)
        return str(answer.get("output") or "")

    def last_words(self, server: SmokeServer) -> str:
        """The end of its console, for errors."""
        try:
            lines = [line.rstrip() for line in self.console(server).splitlines() if line.strip()]
        except Exception as error:  # noqa: BLE001 - what it is for counts more
            return f"its console cannot be read: {error}"
        return "\n".join(["last lines of its console:", *lines[-LAST_LINES:]]) if lines else "its console is empty"

    def seen(
        self, server: SmokeServer, pattern: str, seconds: float, what: str, fix: str = "", skip: int = 0
    ) -> re.Match[str]:
        """Wait for a line on the console, the ``skip`` first ones that match left aside."""

        def probe() -> re.Match[str] | None:
            found = list(re.finditer(pattern, self.console(server), re.MULTILINE))
            return found[skip] if len(found) > skip else None

        return self.wait(what, probe, seconds, state=lambda: self.last_words(server), every=2, fix=fix)

    def count(self, server: SmokeServer, pattern: str) -> int:
        return len(re.findall(pattern, self.console(server), re.MULTILINE))


def fault(found: Any) -> str:
    """What an object in error says of itself."""
    text = getattr(found, "fault", None)
    if isinstance(text, dict):
        return str(text.get("message") or text)
    return str(getattr(found, "fail_reason", "") or "the API gives no reason; see scs-deploy logs of the service")
