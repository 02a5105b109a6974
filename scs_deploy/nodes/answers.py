"""What comes back from nodes, whoever asked them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

AT_A_TIME = 50
"""Nodes that are spoken with side by side, whoever speaks."""

T = TypeVar("T")
OnNode = Callable[[str, str], None]
"""Called with node and one of ``ok``, ``failed``, ``unreachable`` as answers come in."""


@dataclass(frozen=True, slots=True)
class Answers(Generic[T]):
    """Node -> its answer; nodes that could not be reached, with the reason."""

    answers: Mapping[str, T]
    unreachable: Mapping[str, str]
    failed: Mapping[str, str]
    """Reached, but the module itself gave no answer: node -> why."""
    lost: Mapping[str, str] = field(default_factory=dict)
    """Not heard of, since Ansible itself ended too early: node -> its last words."""
