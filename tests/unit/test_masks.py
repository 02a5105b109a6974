"""Secrets that are on a node, or were, in plans of every format: also of what is switched off, and of what an earlier version wrote."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from node_fakes import FakeNode, sent
from node_fakes import observe as observed_on

from proofs.world import World, real
from scs_deploy.ansible_collections.scs.node.plugins.module_utils import records
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.mask import mask
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Question, Recorded
from scs_deploy.cli.common import Terminal
from scs_deploy.cli.plan_page import page
from scs_deploy.cli.plan_text import print_plan
from scs_deploy.nodes import messages
from scs_deploy.plan.plan import saved
from scs_deploy.render.digests import content, seal
from scs_deploy.secrets import pki


def secret(name: str):
    if name.startswith("cert:"):
        return {
            part: f"-S3CRET-{part}-" if part in ("key", "bundle") else part for part in ("ca", "cert", "key", "bundle")
        }
    made = f"S3CRET-{name}"
    return (
        dict.fromkeys(("0", "private", "public"), made) if name.endswith(("fernet", "-keys", "-ssh", "kek")) else made
    )


def turned(off: str) -> World:
    return real(("services:\n", "services:\n" + "".join(f"  {one}: {{enabled: false}}\n" for one in off.split())))


def everything_shown(before: World, after: World, root: Path, recorded: bool) -> str:
    """A plan of ``after`` in every format, by what the node tells on which ``before`` is in place; its masks may be ``recorded``."""
    node = FakeNode(root)
    for one in before.desired.on("n1"):
        for file in one.files:
            path = node.host.path(file.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content(file, before.desired, secret))
        hidden = messages._hidden(one) if recorded else {}
        records.settle(node.host, one.name, Recorded(one.unit, one.kind, [file.path for file in one.files], **hidden))
    after.__dict__["sealed"] = seal(after.desired, secret)
    asked = messages.observe("n1", "podman", after.sealed, "", resources=False)
    plan = after.plan({"n1": observed_on(sent(Question, asked), node)})
    assert any(change.diff for step in plan.steps for change in step.changes)
    printed = io.StringIO()
    print_plan(Terminal(file=printed, width=400), plan)
    return "\n".join([printed.getvalue(), json.dumps(plan.as_json()), saved(plan), page(plan, pki.utc_now())])


@pytest.fixture(scope="module")
def before() -> World:
    return real()


@pytest.mark.parametrize("off", ["radosgw", "nova", "ceph cinder radosgw", "cinder", "barbican", "horizon"])
def test_what_is_switched_off_shows_no_secret_of_what_stays(off: str, before: World, tmp_path: Path):
    assert "S3CRET" not in everything_shown(before, turned(off), tmp_path, recorded=True)


@pytest.mark.parametrize("off", ["radosgw", "nova"])
def test_what_an_earlier_version_wrote_is_masked_by_what_keys_are_called(off: str, before: World, tmp_path: Path):
    assert "S3CRET" not in everything_shown(before, turned(off), tmp_path, recorded=False)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("old_pin = 1\npin = 2\n", "old_pin = 1\npin = ***\n"),
        ("db_password = x\nport = 1\n", "db_password = ***\nport = 1\n"),
        ('{"api_token": "a\\"b", "port": 1}', '{"api_token": "***", "port": 1}'),
        ("  SECRET_KEY: >\n    one\n    two\n  port: 1\n", "  SECRET_KEY: ***\n    ***\n    ***\n  port: 1\n"),
        ("run --cookie=abc", "run --cookie=***"),
        ("kek=\nport=1", "kek=\nport=1"),
        ("for key in keys:\n    print(1)\n", "for key in keys:\n    print(1)\n"),
        ("see https://keys.test:443/x", "see https://keys.test:443/x"),
        ("a\n-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\n",
         "a\n-----BEGIN RSA PRIVATE KEY-----\n***\n-----END RSA PRIVATE KEY-----\n"),
        ("u = jdbc:x://a/b://u:p@h", "u = jdbc:x://a/b://u:***@h"),
    ],
)  # fmt: skip
def test_what_sounds_like_a_secret_is_masked(text: str, shown: str):
    assert mask(text, ["pin"]) == shown


def test_masks_of_a_write_that_was_cut_short_are_both_kept(tmp_path: Path):
    host = FakeNode(tmp_path).host
    old = Recorded("a.service", "container", ["/a"], mask={"/a": ["pin"]}, opaque=["/b"])
    records.settle(host, "a", old)
    new = Recorded("a.service", "container", ["/a"], mask={"/a": ["code"]})
    records.widen(host, "a", new)
    both = records.manifest(host)["a"]
    assert (both.mask, both.opaque) == ({"/a": ["code", "pin"]}, ["/b"])
    records.settle(host, "a", new)
    assert (records.manifest(host)["a"].mask, records.manifest(host)["a"].opaque) == ({"/a": ["code"]}, [])
