#!/usr/bin/python3 -I
"""Says over HTTPS whether this member takes queries: 200, or 503 with the reason. For load balancers.

One connection asks the member once a second, however many ask here, and an answer never waits for it: a member that hangs is
told from one that works by the age of its last word.
"""

import asyncio
import json
import pathlib
import signal
import ssl
import sys
import threading
import time
from typing import Any

PERIOD = 1.0
"""Seconds between two questions."""
CLIENT_SECONDS = 3
CLIENTS = 64
QUESTIONS = (
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_cluster_status', 'wsrep_local_state')",
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_reject_queries', 'read_only')",
    "SELECT 'answers', 'yes'",
)
STATES = {"1": "joining", "2": "donor", "3": "joined, not synced", "4": "synced"}


def judge(found: dict[str, str]) -> str:
    """Return why a member that says this of itself must not be used; empty if it may. A donor serves: its copy is a backup."""
    if found.get("wsrep_cluster_status") != "Primary":
        return f"the member is not in a cluster with a majority ({found.get('wsrep_cluster_status', 'unknown')})"
    if found.get("wsrep_local_state") not in ("2", "4"):
        state = found.get("wsrep_local_state", "unknown")
        return f"the member is {STATES.get(state, state)}"
    if found.get("wsrep_ready") != "ON":
        return "the member is not ready for queries"
    if found.get("wsrep_reject_queries") != "NONE":
        return f"the member rejects queries ({found.get('wsrep_reject_queries', 'unknown')})"
    if found.get("read_only") not in ("OFF", "0"):
        return "the member is read-only"
    return "" if found.get("answers") == "yes" else "the member does not answer queries"


class Verdict:
    """What is known of the member, told by one thread and read by another."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._now = ("nothing is known yet", 0.0)

    def tell(self, why: str) -> None:
        self._now = (why, time.monotonic())

    def why(self) -> str:
        """Return why the member must not be used; empty if it may."""
        why, when = self._now
        age = time.monotonic() - when
        if not why and age > self.limit + PERIOD:
            return f"no word of the member for {age:.0f} s"
        return why


def watch(settings: dict[str, Any], password: str, verdict: Verdict) -> None:
    """Ask for ever."""
    said: str | None = None
    while True:
        try:
            import pymysql

            connection = pymysql.connect(
                **settings["member"],
                password=password,
                ssl={"ca": settings["ca"]},
                connect_timeout=verdict.limit,
                read_timeout=verdict.limit,
                write_timeout=verdict.limit,
                autocommit=True,
            )
            try:
                while True:
                    found: dict[str, str] = {}
                    with connection.cursor() as cursor:
                        for question in QUESTIONS:
                            cursor.execute(question)
                            found.update(cursor.fetchall())
                    said = told(verdict, judge(found), said)
                    time.sleep(PERIOD)
            finally:
                connection._force_close()  # a farewell could hang as well
        except Exception as error:  # noqa: BLE001 - whatever it is, the member cannot be asked
            text = str(error.args[-1]) if error.args else ""
            said = told(verdict, f"the member cannot be asked: {text or type(error).__name__}", said)
            time.sleep(PERIOD)


def told(verdict: Verdict, why: str, before: str | None) -> str:
    verdict.tell(why)
    if why != before:
        print(why or "the member takes queries", flush=True)
    return why


async def serve(settings: dict[str, Any], verdict: Verdict) -> None:
    """Answer until SIGTERM; SIGHUP takes a new certificate."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    clients: set[asyncio.StreamWriter] = set()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def certificate() -> None:
        context.load_cert_chain(settings["cert"], settings["key"])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.add(writer)
        try:
            if len(clients) <= CLIENTS:
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), CLIENT_SECONDS)
                why = verdict.why()
                text = f"{why or 'ok'}\n".encode()
                status = "503 Service Unavailable" if why else "200 OK"
                head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode() + text)
                await asyncio.wait_for(writer.drain(), CLIENT_SECONDS)
                writer.close()
                await asyncio.wait_for(writer.wait_closed(), CLIENT_SECONDS)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.transport.abort()
            clients.discard(writer)

    certificate()
    loop.add_signal_handler(signal.SIGTERM, done.set)
    loop.add_signal_handler(signal.SIGHUP, certificate)
    host, port = settings["listen"]
    await asyncio.start_server(
        answer, host, port, ssl=context, limit=8192, ssl_handshake_timeout=CLIENT_SECONDS, ssl_shutdown_timeout=1
    )
    await done.wait()


def main(folder: pathlib.Path) -> None:
    settings = json.loads((folder / "check.json").read_text())
    verdict = Verdict(settings["limit_seconds"])
    password = (folder / "password").read_text()
    threading.Thread(target=watch, args=(settings, password, verdict), daemon=True).start()
    asyncio.run(serve(settings, verdict))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "/etc/mariadb-check"))
