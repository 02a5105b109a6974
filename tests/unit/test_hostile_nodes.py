"""A node that lies: nothing that it says names a secret, stops others or reaches the terminal as more than text."""

from __future__ import annotations

import subprocess
import sys

import pytest

from proofs.world import CERTIFICATE, World, real
from scs_deploy.errors import InputError
from scs_deploy.render.digests import content
from scs_deploy.render.scope import Given
from scs_deploy.secrets import placeholders

OTHERS = {"ca-key": "S3CRET-ca", "keystone-admin": "S3CRET-admin"}


def contents(world: World) -> dict[str, str]:
    """Every file of every node as it would be sent."""
    known = {**world.secrets, **OTHERS}

    def resolver(name: str):
        return CERTIFICATE if name.startswith("cert:") else known.get(name, "made")

    found = (file for group in world.desired.instances.values() for one in group for file in one.files)
    return {file.path: content(file, world.desired, resolver) for file in found}


def test_facts_that_look_like_references_are_sent_no_secret():
    world = real()
    world.facts_of["n1"]["os"]["codename"] = "trixie\n# \ue000ca-key|url\ue001\n# \ue000keystone-admin|url\ue001"
    sources = contents(world)["/etc/apt/scs-sources.d/debian.sources"]
    assert "ca-key" in sources, "they were printed"
    assert not [secret for secret in OTHERS.values() if secret in sources]


def test_a_secret_that_no_template_asked_for_is_in_no_payload():
    world = real()
    world.facts_of["n1"]["os"]["codename"] = f"trixie\n# {placeholders.reference('ca-key', 'url')}"
    with pytest.raises(InputError, match="would get secrets that nothing asked for: ca-key"):
        contents(world)


def test_a_template_gets_no_secret_that_nobody_declares():
    world = World()
    scope = Given(world.site.topology, world.site.templates, {}, {}, {}).scope(world.placement.placed[0])
    with pytest.raises(InputError, match="no service declares the secret ca-key"):
        scope.secret("ca-key")


_DIGESTS = """
from proofs.world import World, nothing
from scs_deploy.plan.plan import saved
world = World()
plan = world.plan({node: nothing(node, world.sealed) for node in world.desired.instances})
print(sorted(world.sealed.start.items()), sorted(world.sealed.jobs.items()), sorted(world.sealed.items.items()), saved(plan))
"""


def test_digests_and_plans_are_the_same_in_every_process():
    made = {
        subprocess.run([sys.executable, "-c", _DIGESTS], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(made) == 1
    (one,) = made
    assert '"secret": "app-database"' in one, "a plan names the secrets of accounts"
