"""The connection to the local server, as root through its socket, and the little that both kinds share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

MARK = "scs_deploy"
"""Comment of the databases and role of the users that were made by us: only these are ever reported as no longer wanted."""

SYSTEM = frozenset({"information_schema", "mysql", "performance_schema", "sys"})


def query(context: Mapping[str, Any], text: str) -> list[dict[str, Any]]:
    """Return the rows of one query."""
    import pymysql.cursors

    with closing(_connect(context)) as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute(text)
        return list(cursor.fetchall())


def execute(context: Mapping[str, Any], statements: Iterable[str]) -> None:
    """Carry out statements on one connection, in order; raises ``RuntimeError`` that never shows a hash or password."""
    import pymysql

    with closing(_connect(context)) as connection, connection.cursor() as cursor:
        for statement in statements:
            try:
                cursor.execute(statement)
            except pymysql.MySQLError as error:
                raise RuntimeError(f"{statement.partition(' IDENTIFIED ')[0]}: {error.args[-1]}") from error


def _connect(context: Mapping[str, Any]) -> Any:
    import pymysql

    return pymysql.connect(
        unix_socket=context["socket"],
        user="root",
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=5,
        read_timeout=30,
    )


def name(identifier: str) -> str:
    """Return an identifier in backticks."""
    return "`" + identifier.replace("`", "``") + "`"


def text(value: str) -> str:
    """Return a string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def told(wanted: Mapping[str, Any], actual: Mapping[str, Any], same: Mapping[str, bool]) -> dict[str, Any]:
    """Return attributes as the wanted item spells them where they mean the same, else the actual ones."""
    return {key: value if same.get(key, False) else actual.get(key) for key, value in wanted.items()}
