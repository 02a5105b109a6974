"""Ids are values with parts, and the text that they always were."""

from __future__ import annotations

import copy
import json

from proofs.world import World
from scs_deploy.catalogue.ids import Id, ResourcesId, image_id, read
from scs_deploy.plan import drift


def test_their_text_is_as_old_as_the_first_region():
    assert Id("n1", "app") == "n1/app"
    assert Id("n1", "app").files == "n1/app#files"
    assert ResourcesId("n1", "store", "app") == "n1/store resources of app"
    assert image_id("n1", "localhost/app:1") == "n1/image localhost/app:1"
    assert json.dumps({Id("n1", "app"): Id("n1", "b")}) == '{"n1/app": "n1/b"}'


def test_what_a_record_holds_is_read_with_its_parts():
    found = read("n1/store resources of app")
    assert isinstance(found, ResourcesId)
    assert (found.node, found.owner, found.service) == ("n1", "store", "app")
    plain = read("n1/ceph-osd.sdb")
    assert (type(plain), plain.node, plain.name) == (Id, "n1", "ceph-osd.sdb")


def test_a_copy_keeps_the_parts():
    for one in (Id("n1", "app"), ResourcesId("n1", "store", "app")):
        for copied in (copy.deepcopy(one), copy.copy(one)):
            assert (type(copied), copied, copied.node, copied.name) == (type(one), one, one.node, one.name)


def test_every_text_of_an_identity_is_read_as_what_it_was():
    for one in drift.identities(World().sealed):
        again = read(str(one))
        assert (type(again), again, again.node, again.name) == (type(one), one, one.node, one.name)
