"""Digests: what a start takes, what a reload takes, what a job depends on; secrets count, and never show."""

from __future__ import annotations

import hashlib
import json

import pytest

from proofs.world import World
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Health
from scs_deploy.render.desired import Desired, File, HostInstance
from scs_deploy.render.digests import content, seal

BASE = {"path": "/etc/x", "text": "one", "mode": "0640", "uid": 0, "gid": 0}


def digests(**changes) -> tuple[str, str]:
    """Start and reload digest of an instance with one file of each effect."""
    effect = changes.pop("effect", "restart")
    instance = changes.pop("instance", {})
    others = [File(f"/etc/{name}", name, "0640", 0, 0, name) for name in ("restart", "reload", "none")]
    file = File(**{**BASE, **changes}, effect=effect)
    made = HostInstance(
        node="n1",
        name="a",
        service="s",
        component="a",
        unit="a.service",
        files=(*others, file),
        health=Health(),
        **{"packages": ("p",), **instance},
    )
    sealed = seal(Desired({"n1": (made,)}, (), (), {}, {}, ()), {"x": "1", "y": "2"}.__getitem__)
    return sealed.start["n1/a"], sealed.reload["n1/a"]


@pytest.mark.parametrize("change", [{"text": "two"}, {"mode": "0600"}, {"uid": 5}, {"gid": 5}, {"path": "/etc/y"}])
@pytest.mark.parametrize("effect", ["restart", "reload", "none"])
def test_a_file_counts_for_its_effect_only(effect, change):
    before, after = digests(effect=effect), digests(effect=effect, **change)
    assert (before[0] != after[0]) == (effect == "restart")
    assert (before[1] != after[1]) == (effect == "reload")


@pytest.mark.parametrize("change", [{"packages": ("q",)}, {"apply": ("run",)}])
def test_what_a_start_takes_besides_files(change):
    before, after = digests(), digests(instance=change)
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_packages_and_apply_do_not_run_into_each_other():
    assert digests(instance={"packages": ("p", "q")})[0] != digests(instance={"apply": ("q",)})[0]


def test_the_image_counts():
    base, other = World(), World(image="other")
    assert base.sealed.start["n1/app"] != other.sealed.start["n1/app"]
    assert base.sealed.start["n1/ground-clock"] == other.sealed.start["n1/ground-clock"]


def test_the_value_of_a_secret_counts_and_is_nowhere():
    base, other = World(), World()
    other.secrets["app-database"] = "S3CRET-new"
    path = "/etc/scs-deploy/app/etc/app/app.conf"
    assert base.sealed.files["n1/app"][path] != other.sealed.files["n1/app"][path]
    assert base.sealed.start["n1/app"] != other.sealed.start["n1/app"]
    assert base.sealed.items["store.user app"] != other.sealed.items["store.user app"]
    assert "S3CRET" not in repr(other.sealed)


def test_equal_secrets_do_not_show_as_equal():
    world = World(
        secrets=dict.fromkeys(("store-root", "app-database", "app-admin"), "same") | {"app-keys": {"0": "same"}}
    )
    assert world.sealed.items["store.user app"] != hashlib.sha256(b"same").hexdigest()


def test_file_digest_is_that_of_the_content_on_the_node():
    world = World()
    path = "/etc/scs-deploy/app/etc/app/admin"
    assert world.sealed.files["n1/app"][path] == hashlib.sha256(b"S3CRET-admin").hexdigest()


def test_wanted_items_carry_the_digests_that_reconcilers_compare():
    world = World()
    wanted = json.loads(content(world.file("n1/store", "wanted.json"), world.desired, world.resolve))
    digests = {one["name"]: one["digest"] for one in wanted if one["kind"] == "user"}
    assert digests["app"] == world.sealed.items["store.user app"]
    assert digests["app-one"] == ""


def identity(job: str, **fields) -> str:
    secrets = fields.pop("secrets", {})
    changes = fields.pop("changes", ())
    world = World.changed(*changes, **fields)
    world.secrets |= secrets
    return world.sealed.jobs[f"n1/{job}"]


def test_a_job_runs_again_for_what_it_depends_on_and_nothing_else():
    debug = [("services: {}", "services: {app: {settings: {debug: true}}}")]
    for job in ("app-sync", "app-bootstrap"):
        assert identity(job) != identity(job, packages="packages-2")
        assert identity(job) == identity(job, image="other"), "same packages in another build"
        assert identity(job) == identity(job, changes=debug), "config is not among what it depends on"
    admin = {"app-admin": "other"}
    assert identity("app-sync") == identity("app-sync", secrets=admin)
    assert identity("app-bootstrap") != identity("app-bootstrap", secrets=admin)
    domain = [("domain: world.test", "domain: moved.test")]
    assert identity("app-bootstrap") != identity("app-bootstrap", changes=domain), "its script differs"


def test_a_renewed_certificate_runs_no_job_again(monkeypatch: pytest.MonkeyPatch):
    before = World().sealed
    monkeypatch.setattr("proofs.world.CERTIFICATE", dict.fromkeys(("ca", "cert", "key", "bundle"), "renewed"))
    after = World().sealed
    assert after.reload["n1/app"] != before.reload["n1/app"]
    assert after.jobs == before.jobs
