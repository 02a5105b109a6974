"""Puts all checks of a node together, the gravest findings first."""

from __future__ import annotations

from scs_deploy.errors import Finding
from scs_deploy.preflight import declared, machine, network, now
from scs_deploy.preflight.subject import Subject

_GRAVITY = ("error", "warning", "info")
_CHECKS = (*machine.CHECKS, *declared.CHECKS, *network.CHECKS, *now.CHECKS)


def evaluate(subject: Subject) -> list[Finding]:
    """Return what is wrong with a node or worth knowing; its name is the ``path`` of each finding."""
    findings = [finding for check in _CHECKS for finding in check(subject)]
    return sorted(findings, key=lambda finding: _GRAVITY.index(finding.severity))
