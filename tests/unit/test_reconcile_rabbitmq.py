"""RabbitMQ's reconcilers against a fake management API."""

from __future__ import annotations

import base64
import hashlib
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "roles" / "rabbitmq" / "resources"


def load(kind: str) -> ModuleType:
    package = ModuleType("rabbitmq_resources")
    package.__path__ = [str(FOLDER)]
    sys.modules["rabbitmq_resources"] = package
    return importlib.import_module(f"rabbitmq_resources.{kind}")


user, vhost = load("user"), load("vhost")

WANTED = {"kind": "user", "name": "nova", "attrs": {"vhost": "/", "tags": "b,a"}, "secret": "pw", "digest": "d1"}


class FakeApi:
    """Keeps what was sent; answers with what a test put there."""

    def __init__(self, answers: dict[tuple[str, ...], Any]) -> None:
        self.answers, self.calls = answers, list[tuple[Any, ...]]()

    def __enter__(self) -> FakeApi:
        return self

    def __exit__(self, *_: object) -> None: ...

    def get(self, *path: str) -> Any:
        return self.answers[path]

    def put(self, *path: str, body: dict[str, Any]) -> None:
        self.calls.append(("put", *path, body))

    def delete(self, *path: str) -> None:
        self.calls.append(("delete", *path))


def row(word: str = "pw", **changes: Any) -> dict[str, Any]:
    salt = b"salt"
    stored = base64.b64encode(salt + hashlib.sha256(salt + word.encode()).digest()).decode()
    given = {"name": "nova", "password_hash": stored, "hashing_algorithm": "rabbit_password_hashing_sha256"}
    return {**given, "tags": ["scs-deploy", "a", "b"], **changes}


def rights(name: str = "nova", on: str = "/", **changes: str) -> dict[str, str]:
    return {"user": name, "vhost": on, "configure": ".*", "write": ".*", "read": ".*", **changes}


def test_a_user_that_is_as_wanted_is_told_in_the_words_of_the_wanted_item() -> None:
    (item,) = user.items([row()], [rights(), rights("other")], [WANTED])
    assert item == {"name": "nova", "attrs": WANTED["attrs"], "differences": [], "secret": "d1"}


@pytest.mark.parametrize(
    ("tags", "permissions", "told"),
    [
        (["administrator"], [rights()], ["tags: administrator, wanted none"]),
        (["scs-deploy", "administrator"], [rights()], ["tags: administrator, wanted none"]),
        ([], [], ["vhost: none, wanted /"]),
        ([], [rights(), rights(on="second")], ["vhost: / and second, wanted /"]),
        ([], [rights(on="second")], ["vhost: second, wanted /"]),
        ([], [rights(write="^$", read="")], ["write: ^$, wanted .*", "read: none, wanted .*"]),
    ],
    ids=["tags", "tags beside ours", "no rights", "a second vhost", "another vhost", "fewer rights"],
)
@pytest.mark.parametrize("secret", [{"secret": "pw", "digest": "d1"}, {}], ids=["secret", "without"])
def test_what_the_item_does_not_name_is_told_by_its_name_and_not_as_another_secret(
    tags: list[str], permissions: list[dict[str, str]], told: list[str], secret: dict[str, str]
) -> None:
    (item,) = user.items([row(tags=tags)], permissions, [{"name": "nova", **secret}])
    assert item["secret"] == secret.get("digest", "differs")
    assert [f"{one['what']}: {one['is']}, wanted {one['wanted']}" for one in item["differences"]] == told


@pytest.mark.parametrize(
    ("attrs", "tags", "permissions"),
    [
        ({"tags": "b,a"}, ["a"], [rights()]),
        ({"vhost": "/"}, [], []),
        ({"vhost": "/"}, [], [rights(), rights(on="second")]),
        ({"write": ".*"}, [], [rights(write="")]),
    ],
    ids=["tags", "no rights", "rights on a second vhost", "fewer rights"],
)
def test_what_the_item_names_is_told_as_its_attribute(
    attrs: dict[str, Any], tags: list[str], permissions: list[dict[str, str]]
) -> None:
    (item,) = user.items([row(tags=tags)], permissions, [{**WANTED, "attrs": attrs}])
    assert item["attrs"].keys() == attrs.keys()
    assert item["attrs"] != attrs
    assert not {one["what"] for one in item["differences"]} & attrs.keys()
    assert item["secret"] == "d1"


@pytest.mark.parametrize(
    "found",
    [row("other"), row(hashing_algorithm="rabbit_password_hashing_md5"), row(password_hash="")],
    ids=["password", "algorithm", "no password"],
)
def test_another_password_is_another_secret_and_nothing_else(found: dict[str, Any]) -> None:
    (item,) = user.items([found], [rights()], [WANTED])
    assert item == {"name": "nova", "attrs": WANTED["attrs"], "differences": [], "secret": "differs"}


def test_only_our_own_users_and_vhosts_are_told_when_nobody_wants_them() -> None:
    rows = [row(name="old"), row(name="admin", tags=["administrator"])]
    assert [item["name"] for item in user.items(rows, [], [])] == ["old"]
    hosts = [
        {"name": "/", "tags": ["scs-deploy"]},
        {"name": "old", "tags": ["scs-deploy"]},
        {"name": "by-hand", "tags": []},
    ]
    assert [item["name"] for item in vhost.items(hosts, [])] == ["old"]


def test_a_user_gets_its_rights_on_one_vhost_and_loses_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi({("users", "nova", "permissions"): [rights(), rights(on="second")]})
    monkeypatch.setattr(user, "Api", lambda context: api)
    assert user.apply({}, [{**WANTED, "op": "update"}]) == ["user nova: updated"]
    assert api.calls == [
        ("put", "users", "nova", {"password": "pw", "tags": "scs-deploy,a,b"}),
        ("put", "permissions", "/", "nova", {"configure": ".*", "write": ".*", "read": ".*"}),
        ("delete", "permissions", "second", "nova"),
    ]


def test_a_user_without_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user, "Api", lambda context: FakeApi({}))
    with pytest.raises(ValueError, match="no secret"):
        user.apply({}, [{"op": "create", "name": "nova", "attrs": {}, "secret": ""}])


def test_vhosts_are_created_with_quorum_queues_and_deleted_only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi({})
    monkeypatch.setattr(vhost, "Api", lambda context: api)
    vhost.apply({}, [{"op": "create", "name": "a", "attrs": {}}, {"op": "delete", "name": "b", "attrs": {}}])
    assert api.calls == [
        ("put", "vhosts", "a", {"default_queue_type": "quorum", "tags": "scs-deploy"}),
        ("delete", "vhosts", "b"),
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [("quorum", "quorum"), ("rabbit_quorum_queue", "quorum"), ("classic", "classic"), ("undefined", "")],
)
def test_the_queue_type_has_one_spelling(given: str, told: str) -> None:
    wanted = [{"name": "a", "attrs": {"default_queue_type": "quorum"}}]
    (item,) = vhost.items([{"name": "a", "default_queue_type": given}], wanted)
    assert item["attrs"] == {"default_queue_type": told}
