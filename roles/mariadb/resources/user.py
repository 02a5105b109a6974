"""Users of services: attributes ``database`` (or ``databases``), ``host`` (default ``%``) and ``privileges`` (default ALL).

Every user must use TLS, is not locked and may not grant. The password is stored with ``mysql_native_password``, the only method that PyMySQL speaks without more
packages; the secret is compared by its hash, and statements carry the hash, never the password.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _server
from ._server import MARK, name, text

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Item, ItemChange, WantedItem

_USERS = (
    "SELECT u.User AS user, u.Host AS host, u.plugin AS plugin, u.authentication_string AS hash, u.ssl_type AS tls, "
    "u.Grant_priv AS grants, u.password_expired AS expired, "
    "(SELECT JSON_VALUE(g.Priv, '$.account_locked') FROM mysql.global_priv g WHERE g.User = u.User AND g.Host = u.Host) AS locked, "
    "EXISTS (SELECT 1 FROM mysql.roles_mapping r WHERE r.User = u.User AND r.Host = u.Host AND r.Role = 'scs_deploy') AS ours, "
    "(SELECT GROUP_CONCAT(p.PRIVILEGE_TYPE) FROM information_schema.USER_PRIVILEGES p "
    "WHERE p.GRANTEE = CONCAT('''', u.User, '''@''', u.Host, '''') AND p.PRIVILEGE_TYPE <> 'USAGE') AS everywhere "
    "FROM mysql.user u WHERE u.is_role = 'N' AND u.User NOT IN ('root', 'mysql', 'mariadb.sys')"
)
_GRANTS = "SELECT * FROM mysql.db"
_SPELT = {"CREATE TMP TABLE": "CREATE TEMPORARY TABLES"}
_PROTECTED = frozenset({"root", "mysql", "mariadb.sys", MARK})
_PLUGIN = "mysql_native_password"

LOGIN = frozenset({"TLS", "locked", "password", "plugin"})
"""Differences of how a user logs in, not of what it may do."""


def observe(context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return the wanted users that exist, and ours that are no longer wanted."""
    return items(_server.query(context, _USERS), _server.query(context, _GRANTS), wanted)


def items(users: list[dict[str, Any]], grants: list[dict[str, Any]], wanted: Sequence[WantedItem]) -> list[Item]:
    """Compare the rows of ``mysql.user`` and ``mysql.db`` with what is wanted."""
    asked = {(item["name"], _host(item.get("attrs", {}))): item for item in wanted}
    found: list[Item] = []
    for row in users:
        key = (row["user"], row["host"])
        own = {_unescape(grant["Db"]): grant for grant in grants if (grant["User"], grant["Host"]) == key}
        if key in asked:
            found.append(_compared(asked[key], row, own))
        elif row["ours"]:
            attrs = {"databases": sorted(own), "host": row["host"]}
            found.append({"name": _full_name(*key), "attrs": attrs, "secret": ""})
    return found


def _compared(item: WantedItem, row: dict[str, Any], grants: dict[str, dict[str, Any]]) -> Item:
    attrs = item.get("attrs", {})
    databases, expected = _databases(attrs), _privileges(attrs)
    held = {one: privileges(grants[one]) for one in databases if one in grants}
    wrong = {one: names for one, names in held.items() if names != expected}
    alike = sorted(grants) == databases
    actual = {
        "database": ", ".join(sorted(grants)),
        "databases": sorted(grants),
        "host": row["host"],
        "privileges": " / ".join(sorted(set(held.values()))),
    }
    same = {"database": alike, "databases": alike, "host": True, "privileges": not wrong}
    rest: list[tuple[str, str, str]] = []
    if not alike and not attrs.keys() & {"database", "databases"}:
        rest.append(("databases", actual["database"], "none"))
    if "privileges" not in attrs:
        rest += [(f"privileges on {one}", names or "none", expected) for one, names in wrong.items()]
    if row["everywhere"]:
        rest.append(("privileges everywhere", row["everywhere"], "none"))
    rest += [(f"grant option on {one}", "yes", "no") for one in sorted(grants) if grants[one]["Grant_priv"] == "Y"]
    if row["grants"] == "Y":
        rest.append(("grant option everywhere", "yes", "no"))
    return {
        "name": item["name"],
        "attrs": _server.told(attrs, actual, same),
        "differences": [{"what": what, "is": is_, "wanted": wanted} for what, is_, wanted in [*rest, *_login(row)]],
        "secret": _secret_state(item, row),
    }


def _login(row: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what differs in how the account logs in, but for its password: what, is, wanted."""
    found = [
        ("TLS", {"": "not required", "ANY": "required"}.get(row["tls"], row["tls"]), "required"),
        ("locked", "yes" if row["locked"] == "1" else "no", "no"),
        ("password", "expired" if row["expired"] == "Y" else "valid", "valid"),
        ("plugin", row["plugin"] or "none", _PLUGIN),
    ]
    return [(what, is_, wanted) for what, is_, wanted in found if is_ != wanted]


def _secret_state(item: WantedItem, row: dict[str, Any]) -> str:
    if not item.get("secret"):
        return ""
    if row["plugin"] != _PLUGIN:
        return "unknown"
    return str(item.get("digest", "")) if row["hash"] == native_hash(item["secret"]) else "differs"


def apply(context: dict[str, Any], changes: Sequence[ItemChange]) -> list[str]:
    """Create, alter or drop."""
    there = items(_server.query(context, _USERS), _server.query(context, _GRANTS), changes)
    wanted = [(*statements(change), *reconnecting(change, there)) for change in changes]
    _server.execute(context, [statement for group in wanted for statement in group])
    past = {"create": "created", "update": "updated", "delete": "dropped"}
    return [f"user {change['name']}: {past[change['op']]}" for change in changes]


def statements(change: ItemChange) -> list[str]:
    """Return the SQL of one change; running it twice does no harm.

    Raises ``ValueError`` for an account of the server itself.
    """
    attrs = change.get("attrs", {})
    host = _host(attrs)
    user = change["name"].removesuffix(f"@{host}")
    if user in _PROTECTED:
        raise ValueError(f"{user} is an account of the server itself")
    account = f"{text(user)}@{text(host)}"
    if change["op"] == "delete":
        return [f"DROP USER IF EXISTS {account}"]
    if not change.get("secret"):
        raise ValueError(f"user {user} has no secret: it could not log in, or anybody could")
    how = f"IDENTIFIED VIA {_PLUGIN} USING {text(native_hash(change['secret']))} REQUIRE SSL ACCOUNT UNLOCK"
    return [
        f"CREATE USER IF NOT EXISTS {account} {how}",
        f"ALTER USER {account} {how}",
        f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}",
        f"GRANT {name(MARK)} TO {account}",
        *(f"GRANT {_privileges(attrs)} ON {name(_escape(database))}.* TO {account}" for database in _databases(attrs)),
    ]


def reconnecting(change: ItemChange, there: Sequence[Item]) -> list[str]:
    """Return the SQL that ends the connections of a user whose rights are others than wanted.

    A connection keeps the rights that it found when it chose its database, and services keep connections for an hour. Where only
    the login differs, nothing is ended: connections that are open go on, and new ones with the old password would be refused.
    """
    attrs = change.get("attrs", {})
    found = [one for one in there if one["name"] == change["name"]]
    if change["op"] != "update" or not found:
        return []
    if found[0]["attrs"] == attrs and LOGIN.issuperset(one["what"] for one in found[0]["differences"]):
        return []
    host = _host(attrs)
    return [f"KILL USER {text(change['name'].removesuffix(f'@{host}'))}@{text(host)}"]


def native_hash(password: str) -> str:
    """Return what ``mysql_native_password`` stores: SHA1 of SHA1, in hexadecimal behind an asterisk."""
    inner = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()


def privileges(grant: dict[str, Any]) -> str:
    """Return the privileges of a row of ``mysql.db``: ``ALL``, or their sorted names."""
    columns = {key: value for key, value in grant.items() if key.endswith("_priv") and key != "Grant_priv"}
    held = [key for key, value in columns.items() if value == "Y"]
    if len(held) == len(columns):
        return "ALL"
    names = (key.removesuffix("_priv").upper().replace("_", " ") for key in held)
    return ", ".join(sorted(_SPELT.get(one, one) for one in names))


def _privileges(attrs: dict[str, Any]) -> str:
    given = attrs.get("privileges", "ALL")
    listed = given.split(",") if isinstance(given, str) else given
    names = sorted(" ".join(one.upper().split()) for one in listed)
    return "ALL" if names in (["ALL"], ["ALL PRIVILEGES"]) else ", ".join(names)


def _databases(attrs: dict[str, Any]) -> list[str]:
    single = [attrs["database"]] if attrs.get("database") else []
    return sorted({*single, *attrs.get("databases", [])})


def _host(attrs: dict[str, Any]) -> str:
    return str(attrs.get("host", "%"))


def _full_name(user: str, host: str) -> str:
    return user if host == "%" else f"{user}@{host}"


def _escape(database: str) -> str:
    """In a grant ``_`` and ``%`` stand for any character."""
    return database.replace("_", "\\_").replace("%", "\\%")


def _unescape(database: str) -> str:
    return database.replace("\\_", "_").replace("\\%", "%")
