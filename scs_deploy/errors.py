"""The error tree: every failure a user can cause or meet, its exit code and the four facts it must tell.

    DeployError            1   something failed on a node, or a node cannot be reached
    ├── UsageError         2   wrong flags or arguments
    ├── InputError         3   region.yml, service.yml, secrets or placement are invalid (one or more findings)
    ├── LockedError        5   another apply holds the region or a node
    ├── StalePlanError     6   a saved plan no longer matches the region or the nodes
    └── Interrupted      130   Ctrl-C or SIGTERM

Exit code 0 means nothing to do or done; 4 (``CHANGES_PENDING``) is what ``plan --detailed-exitcode`` returns when the plan
is not empty. Library code raises; only ``scs_deploy.cli.main`` turns an error into text and an exit code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CHANGES_PENDING = 4

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: what, where, why and what to do.

    ``file``/``line``/``column`` are 1-based positions in the file a person edits; ``path`` is the place inside it, such as
    ``racks[1].nodes[0].addresses.api``.
    """

    what: str
    fix: str = ""
    why: str = ""
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    severity: Severity = "error"

    @property
    def where(self) -> str:
        position = self.file
        if self.file and self.line:
            position += f":{self.line}:{self.column}" if self.column else f":{self.line}"
        return " ".join(part for part in (position, self.path) if part)

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.why:
            lines.append(f"    why: {self.why}")
        if self.fix:
            lines.append(f"    fix: {self.fix}")
        return "\n".join(lines)


class DeployError(Exception):
    """Something failed on a node or in the tool; carries what, where, why and what to do."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.why, self.fix = what, where, why, fix

    def __str__(self) -> str:
        return str(Finding(self.what, fix=self.fix, why=self.why, path=self.where))


class UsageError(DeployError):
    """Flags or arguments that make no sense together."""

    exit_code = 2


class InputError(DeployError):
    """One or more findings in files that a person edits; all of them are reported at once."""

    exit_code = 3

    def __init__(self, findings: Sequence[Finding] | Finding | str, **facts: str) -> None:
        if isinstance(findings, str):
            findings = [Finding(findings, path=facts.pop("where", ""), **facts)]  # type: ignore[arg-type]
        elif isinstance(findings, Finding):
            findings = [findings]
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))

    def __str__(self) -> str:
        return self.what


class LockedError(DeployError):
    """Somebody else is changing the region or the node; names the holder."""

    exit_code = 5


class StalePlanError(DeployError):
    """A saved plan that no longer describes the difference between the region and the nodes."""

    exit_code = 6


class Interrupted(DeployError):  # noqa: N818 - an interruption is not an error of the program
    """The user asked to stop."""

    exit_code = 130
