"""The digest of a state does not depend on order, and differences name the place, what is there and what is to be."""

from __future__ import annotations

from proofs import canonical

STATE = {"n1": {"files": {"/etc/a": ["12ab", "100644", 0, 0]}, "databases": ["keystone", "nova"]}}


def test_the_order_of_keys_does_not_matter_and_everything_else_does() -> None:
    turned = {"n1": dict(reversed(list(STATE["n1"].items())))}
    assert canonical.digest(turned) == canonical.digest(STATE)
    for other in (
        {"n1": {**STATE["n1"], "databases": ["keystone"]}},
        {"n1": {**STATE["n1"], "files": {"/etc/a": ["12ab", "100600", 0, 0]}}},
        {"n2": STATE["n1"]},
    ):
        assert canonical.digest(other) != canonical.digest(STATE)


def test_equal_states_have_no_differences() -> None:
    assert canonical.differences(STATE, {"n1": dict(STATE["n1"])}) == []


def test_a_difference_names_the_place() -> None:
    found = {"n1": {"files": {"/etc/b": ["12ab", "100644", 0, 0]}, "databases": ["keystone", "glance"]}}
    assert canonical.differences(STATE, found) == [
        'n1 > databases: missing: "nova"',
        'n1 > databases: unexpected: "glance"',
        'n1 > files > /etc/a: missing; it is to be ["12ab", "100644", 0, 0]',
        'n1 > files > /etc/b: unexpected: ["12ab", "100644", 0, 0]',
    ]
    assert canonical.differences({"a": 1}, {"a": 2}) == ["a: 2; it is to be 1"]
    assert canonical.differences({"a": ["x", "y"]}, {"a": ["y", "x"]}) == ["a: another order"]
