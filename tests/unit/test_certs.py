"""``scs-deploy certs``: what is shown of each certificate, and that a renewal carries out nothing else."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from proofs.opened import Opened
from proofs.world import World, answers
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import FileSeen
from scs_deploy.errors import InputError, UsageError
from scs_deploy.operations import certificates
from scs_deploy.plan.files import changes
from scs_deploy.plan.plan import Plan, Step, Wave
from scs_deploy.render.desired import File
from scs_deploy.secrets import vault as vault_module


def in_days(monkeypatch, days: int) -> None:
    now = vault_module.pki.utc_now
    monkeypatch.setattr(vault_module.Vault.__init__, "__defaults__", (lambda: now() + timedelta(days=days),))


def test_every_certificate_is_listed_with_what_its_renewal_takes(call_certs):
    done = call_certs("show", "--json")
    rows = {f"{row['node']}/{row['instance']}": row for row in json.loads(done.stdout)["certificates"]}
    assert done.exit_code == 0
    assert {row["state"] for row in rows.values()} == {"good"}
    assert rows["/internal CA"]["days"] > 3000
    app = rows["n1/app"]
    assert app["on_renewal"] == "reload"
    assert "10.60.1.11" in app["names"]
    assert 362 <= app["days"] <= 364
    assert len({row["serial"] for row in rows.values()}) == len(rows)
    assert rows["n1/front"]["on_renewal"] == "restart"


def test_one_that_is_due_is_no_failure(call_certs, monkeypatch):
    in_days(monkeypatch, 250)
    done = call_certs("show", "--json", "--service", "app")
    assert done.exit_code == 0
    assert {row["state"] for row in json.loads(done.stdout)["certificates"]} == {"renewal due"}


def test_a_renewal_is_a_change_that_says_until_when_it_has_time(known: Opened):
    path = "/etc/scs-deploy/app/etc/scs-tls/cert.pem"
    wanted = File(path, "wanted", "0644", 0, 0)
    row = next(one for one in known.certificates() if one.id == "n1/app")
    (change,) = changes([(wanted, FileSeen("differs", text=known.vault.issued("n1", "app")))])
    assert (change.how, change.diff) == (f"replaced, it ends on {row.ends[:10]}", "")
    (damaged,) = changes([(wanted, FileSeen("differs", text="-----BEGIN CERTIFICATE-----\nno\n"))])
    assert damaged.how == "changed"


@pytest.mark.parametrize(("days", "state"), [(340, "ends soon"), (366, "expired")])
def test_one_that_ends_soon_is_seen_and_is_a_failure(call_certs, monkeypatch, days: int, state: str):
    in_days(monkeypatch, days)
    done = call_certs("show")
    assert done.exit_code == 1
    assert state in done.stdout.replace("\n", " ")


def test_the_table_can_be_narrowed(call_certs):
    rows = json.loads(call_certs("show", "--json", "--node", "n2", "--service", "app").stdout)["certificates"]
    assert [(row["node"], row["instance"]) for row in rows] == [("n2", "app")]
    with pytest.raises(UsageError, match="no service nope"):
        call_certs("show", "--service", "nope")
    with pytest.raises(UsageError, match="unknown n9"):
        call_certs("renew", "--node", "n9")


def test_the_ca_is_refused_with_what_to_do(call_certs):
    with pytest.raises(InputError, match=r"CA is not renewed(.|\n)*fix: in a maintenance window"):
        call_certs("renew", "--ca")


def test_only_those_that_end_within_some_days_are_chosen(known: Opened):
    found = known.certificates()
    everywhere = set(known.site.nodes)
    assert certificates.choose(found, everywhere, (), 30) == []
    assert len(certificates.choose(found, everywhere, (), 900)) == len(found) - 1, "the CA has no node"
    assert {row.service for row in certificates.choose(found, everywhere, ("app",), None)} == {"app"}


def test_the_others_that_are_due_wait_when_one_is_renewed_by_hand(known: Opened, monkeypatch):
    """Else each renewal in the last third of a year would find other changes pending."""
    before = {row.id: row.serial for row in known.certificates()}
    in_days(monkeypatch, 250)
    later = Opened.of(known.site.folder)
    later.settle(later.plan(chosen=[("n1", "app")]))
    after = {row.id: row.serial for row in later.certificates()}
    assert {name for name in before if before[name] != after[name]} == {"n1/app"}
    everything = Opened.of(known.site.folder)
    everything.settle()
    assert all(row.state == "good" for row in everything.certificates()), "the next apply renews what is due"


def test_one_that_a_node_still_serves_near_its_end_is_told(known: Opened):
    pem = known.vault.issued("n1", "app")
    observed = World().observed()
    entry = {"state": "differs", "text": str(pem)}
    observed["n1"]["instances"]["app"]["files"] = {"/etc/scs-deploy/app/etc/scs-tls/cert.pem": entry}
    observed = answers(observed)
    now = known.vault.clock()
    assert list(certificates.ending(observed, now + timedelta(days=300))) == []
    (soon,) = certificates.ending(observed, now + timedelta(days=349, hours=1))
    assert soon == "the certificate that n1/app serves ends in 13 days: apply replaces it"
    (late,) = certificates.ending(observed, now + timedelta(days=400))
    assert "ended on" in late


def test_a_chosen_certificate_is_another_one_once_that_was_agreed_to(known: Opened):
    before = {row.id: row.serial for row in known.certificates()}
    planned = known.plan(chosen=[("n1", "app")])
    assert {row.id: row.serial for row in Opened.of(known.site.folder).certificates()} == before
    known.settle(planned)
    after = {row.id: row.serial for row in Opened.of(known.site.folder).certificates()}
    assert {name for name in before if before[name] != after[name]} == {"n1/app"}


def step(id_: str, *paths: str, action="update") -> Step:
    return Step(id_, "instance", "n1", id_.partition("/")[2], "app", action, 1, write=paths)


def test_steps_that_do_more_than_place_certificates_are_strangers(known: Opened):
    chosen = [row for row in known.certificates() if row.id in ("n1/app", "n2/app")]
    tls = "/etc/scs-deploy/app/etc/scs-tls/cert.pem"
    good = step("n1/app", tls)
    assert certificates.strangers(Plan("r", "1", (Wave(1, (good,)),)), chosen) == []
    for wrong in (
        step("n1/app", tls, "/etc/scs-deploy/app/etc/app/app.conf"),
        step("n1/front", "/etc/scs-deploy/front/etc/scs-tls/cert.pem"),
        step("n1/app", tls, action="create"),
    ):
        assert certificates.strangers(Plan("r", "1", (Wave(1, (wrong,)),)), chosen) == [wrong]
    assert certificates.missing(Plan("r", "1", (Wave(1, (good,)),)), chosen) == ["n2/app"]
