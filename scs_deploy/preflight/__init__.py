"""Judges whether nodes are fit for what the region wants of them, from what one observe said: pure functions, no I/O."""

from scs_deploy.preflight.evaluate import evaluate
from scs_deploy.preflight.subject import Subject, WantedPort

__all__ = ["Subject", "WantedPort", "evaluate"]
