"""MariaDB's reconcilers: rows and statements, without a server."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "roles" / "mariadb" / "resources"


def load(kind: str) -> ModuleType:
    package = ModuleType("mariadb_resources")
    package.__path__ = [str(FOLDER)]
    sys.modules["mariadb_resources"] = package
    return importlib.import_module(f"mariadb_resources.{kind}")


database, user = load("database"), load("user")

ALL_RIGHTS = {f"{one}_priv": "Y" for one in ("Select", "Insert", "Create_tmp_table", "Show_view")}


def wanted_user(**attrs: Any) -> dict[str, Any]:
    return {"kind": "user", "name": "nova", "attrs": attrs, "secret": "pw", "digest": "d1"}


def row(**changes: Any) -> dict[str, Any]:
    given = {"user": "nova", "host": "%", "plugin": "mysql_native_password", "hash": user.native_hash("pw")}
    there = {"tls": "ANY", "ours": 1, "everywhere": None, "grants": "N", "expired": "N", "locked": None}
    return {**given, **there, **changes}


def grant(name: str, **changes: str) -> dict[str, Any]:
    return {"User": "nova", "Host": "%", "Db": name, **ALL_RIGHTS, "Grant_priv": "N", **changes}


def test_the_hash_is_the_one_mysql_stores() -> None:
    assert user.native_hash("password") == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"  # SELECT PASSWORD('password')


def test_a_user_that_is_as_wanted_is_told_in_the_words_of_the_wanted_item() -> None:
    wanted = wanted_user(databases=["nova_api", "nova"], privileges="all")
    (item,) = user.items([row()], [grant("nova"), grant(r"nova\_api")], [wanted])
    assert item == {"name": "nova", "attrs": wanted["attrs"], "differences": [], "secret": "d1"}


LESS = "CREATE TEMPORARY TABLES, SELECT, SHOW VIEW"
NAMED = {"database": "nova", "privileges": "ALL"}


@pytest.mark.parametrize(
    ("attrs", "grants", "seen"),
    [
        (NAMED, [], {"database": "", "privileges": "ALL"}),
        (NAMED, [grant("nova"), grant("keystone")], {"database": "keystone, nova", "privileges": "ALL"}),
        (NAMED, [grant("nova", Insert_priv="N")], {"database": "nova", "privileges": LESS}),
        ({"databases": ["nova"]}, [grant("keystone")], {"databases": ["keystone"]}),
    ],
    ids=["no grant", "one too many", "not all", "another one"],
)
def test_rights_that_the_item_names_are_told_as_its_attributes(
    attrs: dict[str, Any], grants: list[dict[str, Any]], seen: dict[str, Any]
) -> None:
    (item,) = user.items([row()], grants, [wanted_user(**attrs)])
    assert item == {"name": "nova", "attrs": seen, "differences": [], "secret": "d1"}


@pytest.mark.parametrize(
    ("attrs", "changes", "grants", "told"),
    [
        ({"database": "nova"}, {}, [grant("nova", Insert_priv="N")], f"privileges on nova: {LESS}, wanted ALL"),
        ({"database": "nova"}, {"everywhere": "SUPER"}, [grant("nova")], "privileges everywhere: SUPER, wanted none"),
        (NAMED, {"everywhere": "SUPER"}, [grant("nova")], "privileges everywhere: SUPER, wanted none"),
        (NAMED, {}, [grant("nova", Grant_priv="Y")], "grant option on nova: yes, wanted no"),
        (NAMED, {"grants": "Y"}, [grant("nova")], "grant option everywhere: yes, wanted no"),
        ({}, {}, [grant("keystone")], "databases: keystone, wanted none"),
        ({}, {"tls": ""}, [], "TLS: not required, wanted required"),
        (NAMED, {"tls": ""}, [grant("nova")], "TLS: not required, wanted required"),
        (NAMED, {"tls": "X509"}, [grant("nova")], "TLS: X509, wanted required"),
        (NAMED, {"locked": "1"}, [grant("nova")], "locked: yes, wanted no"),
        (NAMED, {"locked": "0", "expired": "Y"}, [grant("nova")], "password: expired, wanted valid"),
    ],
)
def test_what_the_item_does_not_name_is_told_by_its_name_and_not_as_another_secret(
    attrs: dict[str, Any], changes: dict[str, Any], grants: list[dict[str, Any]], told: str
) -> None:
    (item,) = user.items([row(**changes)], grants, [wanted_user(**attrs)])
    assert (item["attrs"], item["secret"]) == (attrs, "d1")
    assert [f"{one['what']}: {one['is']}, wanted {one['wanted']}" for one in item["differences"]] == [told]


def test_another_password_is_another_secret_and_one_that_cannot_be_compared_is_unknown() -> None:
    def told(**changes: Any) -> tuple[list[str], str]:
        (item,) = user.items([row(**changes)], [grant("nova")], [wanted_user(database="nova")])
        return [one["what"] for one in item["differences"]], item["secret"]

    assert told(hash="*0") == ([], "differs")
    assert told(plugin="unix_socket", hash="") == (["plugin"], "unknown")


def test_only_our_own_accounts_are_told_when_nobody_wants_them() -> None:
    rows = [row(user="old"), row(user="old", host="10.%"), row(user="by-hand", ours=0)]
    assert [item["name"] for item in user.items(rows, [], [])] == ["old", "old@10.%"]


def test_partial_privileges_are_named_as_sql_names_them() -> None:
    held = {**ALL_RIGHTS, "Select_priv": "N", "Grant_priv": "N"}
    assert user.privileges(held) == "CREATE TEMPORARY TABLES, INSERT, SHOW VIEW"


def test_statements_carry_no_password_and_escape_names() -> None:
    change = {"op": "create", "name": "o'neil", "attrs": {"database": "nova_api"}, "secret": "pw'"}
    text = "\n".join(user.statements(change))
    assert "pw'" not in text
    assert user.native_hash("pw'") in text
    assert r"ON `nova\_api`.* TO 'o''neil'@'%'" in text
    assert re.search("ALTER USER .* REQUIRE SSL ACCOUNT UNLOCK", text)


def test_who_had_other_rights_connects_anew_and_who_had_another_password_does_not() -> None:
    change = {"op": "update", "name": "nova", "attrs": {"database": "nova"}, "secret": "pw", "digest": "d1"}

    def told(grants: list[dict[str, Any]], op: str = "update", **changes: Any) -> list[str]:
        return user.reconnecting({**change, "op": op}, user.items([row(**changes)], grants, [change]))

    assert told([grant("nova", Insert_priv="N")]) == ["KILL USER 'nova'@'%'"]
    assert told([grant("nova"), grant("keystone")]) == ["KILL USER 'nova'@'%'"]
    assert told([grant("nova")], everywhere="SELECT") == ["KILL USER 'nova'@'%'"]
    assert told([grant("nova", Grant_priv="Y")]) == ["KILL USER 'nova'@'%'"]
    assert told([grant("nova")], hash="*0") == []
    assert told([grant("nova")], tls="", locked="1", plugin="unix_socket", expired="Y") == []
    assert told([], "delete") == []
    assert user.reconnecting({**change, "op": "create"}, []) == []


def test_the_servers_own_accounts_and_users_without_secret_are_refused() -> None:
    with pytest.raises(ValueError, match="account of the server"):
        user.statements({"op": "delete", "name": "root", "attrs": {}})
    with pytest.raises(ValueError, match="no secret"):
        user.statements({"op": "create", "name": "nova", "attrs": {}, "secret": ""})


def test_a_deleted_account_of_another_host_is_that_one_only() -> None:
    change = {"op": "delete", "name": "old@10.%", "attrs": {"host": "10.%"}}
    assert user.statements(change) == ["DROP USER IF EXISTS 'old'@'10.%'"]


def schema(name: str, comment: str = "scs_deploy", charset: str = "utf8mb4") -> dict[str, Any]:
    return {"name": name, "charset": charset, "collation": f"{charset}_general_ci", "comment": comment}


def test_databases_compare_what_is_asked_for() -> None:
    rows = [schema("a"), schema("b", charset="latin1"), schema("mysql", ""), schema("old"), schema("by_hand", "")]
    wanted = [{"name": name, "attrs": {"charset": "utf8mb4"}} for name in ("a", "b", "c")]
    found = {item["name"]: item["attrs"] for item in database.items(rows, wanted)}
    assert found["a"] == {"charset": "utf8mb4"}
    assert found["b"] == {"charset": "latin1"}
    assert set(found) == {"a", "b", "old"}


def test_a_database_is_dropped_only_when_told_and_never_a_system_one() -> None:
    assert database.statements({"op": "delete", "name": "a`b"}) == ["DROP DATABASE IF EXISTS `a``b`"]
    assert not any("DROP" in one for one in database.statements({"op": "update", "name": "a", "attrs": {}}))
    with pytest.raises(ValueError, match="server itself"):
        database.statements({"op": "delete", "name": "MySQL"})
