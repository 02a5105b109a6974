"""Secrets as a plain member uses them: stored, read back by the owner, closed to others; the master key is not in the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from engine import ENGINE

FOLDER = "/etc/scs-deploy/barbican/etc/barbican"
PAYLOAD = "correct horse battery staple"


@pytest.fixture(params=["member", "reader"])
def user(request: Any, cloud: Any) -> Iterator[Any]:
    with cloud.person(request.param) as person:
        yield request.param, person


def test_a_member_keeps_secrets_and_a_reader_does_not(cloud: Any, user: Any) -> None:
    role, person = user
    body = {"name": "molecule", "payload": PAYLOAD, "payload_content_type": "text/plain"}
    made = person.ask("POST", "key-manager", "/v1/secrets", body)
    if role == "reader":
        assert made.status == 403
        return
    assert made.status == 201, made.body
    reference = made.json["secret_ref"]
    assert reference.startswith("https://")
    path = "/v1/secrets/" + reference.rpartition("/")[2]
    assert person.ask("GET", "key-manager", f"{path}/payload", Accept="text/plain").body.decode() == PAYLOAD
    assert person.ask("DELETE", "key-manager", path).status == 204


def test_keys_are_made_on_order(cloud: Any) -> None:
    meta = {"algorithm": "aes", "bit_length": 256, "mode": "xts", "payload_content_type": "application/octet-stream"}
    ordered = cloud.ask("POST", "key-manager", "/v1/orders", {"type": "key", "meta": meta})
    assert ordered.status == 202, ordered.body
    order = "/v1/orders/" + ordered.json["order_ref"].rpartition("/")[2]
    shown = cloud.ask("GET", "key-manager", order).json
    assert shown["status"] == "ACTIVE", shown
    path = "/v1/secrets/" + shown["secret_ref"].rpartition("/")[2]
    key = cloud.ask("GET", "key-manager", f"{path}/payload", Accept="application/octet-stream").body
    assert len(key) == 256 // 8
    assert cloud.ask("DELETE", "key-manager", path).status == 204


def test_the_master_key_is_in_a_file_that_only_barbican_reads(host: Any, vault: Any, site: Any) -> None:
    key = vault.get("barbican-kek")["0"]
    file = host.file(f"{FOLDER}/barbican.conf.d/kek.conf")
    assert (file.mode, file.uid) == (0o400, site.topology.users.uid("barbican"))
    assert key in file.content_string
    assert key not in host.file(f"{FOLDER}/barbican.conf").content_string
    dump = host.check_output(f"{ENGINE} exec mariadb mariadb-dump --single-transaction barbican")
    assert "kek_data" in dump
    assert key not in dump


def test_without_a_token_it_is_closed(cloud: Any) -> None:
    assert cloud.send("GET", cloud.urls["key-manager", "public"] + "/v1/secrets").status == 401
