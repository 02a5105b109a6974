"""Keystone's reconcilers against a fake API: list, compare, apply, twice."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import node, owners
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import OwnerAsked

FOLDER = Path(__file__).parents[2] / "roles" / "keystone" / "resources"
KINDS = ("domain", "role", "project", "user", "role_assignment", "credential", "region", "service", "endpoint")
STRICT = {"domains", "endpoints"}
"""Collections whose objects take no extra attributes (keystone 27)."""
PAGED = {"users", "projects", "domains"}
"""Collections that go on behind a marker, and end unsaid after the most that Keystone ever tells where nobody asks for a limit."""
LIMITED = {*PAGED, "services", "regions", "credentials"}
"""Collections that may be asked with a limit; the others refuse it."""


ISSUED = "2026-01-01T00:00:00.000000Z"


class FakeKeystone:
    """Enough of the v3 API over HTTP; counts logins and keeps what it was told."""

    def __init__(self) -> None:
        self.store: dict[str, list[dict[str, Any]]] = {
            name: []
            for name in ("domains", "roles", "projects", "users", "services", "endpoints", "regions", "credentials")
        }
        self.grants: list[tuple[str, ...]] = []
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[tuple[str, Any]] = []
        self.admin_password = "right"
        self.most = 1000
        self.list_limit = 0
        self.hangs_up = False
        self.broken = 0
        """How many requests more are answered by 500, as while the database is away."""
        self.tokens: dict[str, str] = {}
        self.expires = "2026-01-01T01:00:00.000000Z"
        self.connections: set[int] = set()
        self.add("domains", id="default", name="Default")
        self.add("projects", id="p-admin", name="admin", domain_id="default")
        for role in ("admin", "reader", "service"):
            self.add("roles", id=f"r-{role}", name=role, domain_id=None)

    def add(self, collection: str, **fields: Any) -> dict[str, Any]:
        fields.setdefault("id", f"{collection}-{len(self.store[collection])}")
        self.store[collection].append(fields)
        return fields

    def logins(self) -> int:
        return self.requests.count(("POST", "/auth/tokens"))

    def listed(self, collection: str, query: dict[str, str]) -> tuple[int, Any]:
        """A list as keystone 27 cuts it."""
        if "limit" in query and collection not in LIMITED:
            return 400, {"error": {"message": "'limit' was unexpected"}}
        rows = self.store[collection]
        limit = min(int(query.get("limit") or self.list_limit or self.most), self.most)
        if collection in PAGED:
            rows = sorted(rows, key=lambda one: str(one["id"]))
            rows = [one for one in rows if one["id"] > query.get("marker", "")]
        elif not self.list_limit and "limit" not in query:
            return 200, {collection: rows, "links": {"next": None}}
        rows, left = rows[:limit], len(rows) - limit
        asked = "limit" in query or self.list_limit
        cut = asked and (left >= 0 if collection in PAGED else left > 0)
        following = f"https://elsewhere/v3/{collection}?limit={limit}&marker={rows[-1]['id']}" if cut and rows else None
        return 200, {collection: rows, "links": {"next": following}} | ({"truncated": True} if cut else {})

    def handle(self, method: str, path: str, body: Any, subject: str = "") -> tuple[int, Any]:
        path, query = urlsplit(path).path, dict(parse_qsl(urlsplit(path).query))
        self.requests.append((method, path))
        self.bodies.append((method, body))
        if self.broken:
            self.broken -= 1
            return 500, {"error": {"message": "Lost connection to MySQL server"}}
        parts = path.strip("/").split("/")
        if (method, path) == ("HEAD", "/auth/tokens"):
            return (200 if subject in self.tokens else 404), None
        if path == "/auth/tokens":
            user = body["auth"]["identity"]["password"]["user"]
            users = [one for one in self.store["users"] if one.get("enabled") is not False]
            known = {one["name"]: one.get("password") for one in users} | {"admin": self.admin_password}
            if known.get(user["name"]) == user["password"]:
                token = f"token-{uuid4()}"
                self.tokens[token] = user["name"]
                return 201, {"token": {"issued_at": ISSUED, "expires_at": self.expires}, "id": token}
            return 401, {"error": {"message": "no"}}
        if parts[0] == "role_assignments":
            rows = [
                {
                    "user": {"id": user},
                    "role": {"id": role},
                    "scope": {"system": {"all": True}} if kind == "system" else {kind[:-1]: {"id": scope}},
                }
                for user, role, kind, scope in self.grants
            ]
            return 200, {"role_assignments": rows}
        if "roles" in parts and "users" in parts:
            scope = "all" if parts[0] == "system" else parts[1]
            grant = (parts[parts.index("users") + 1], parts[-1], parts[0], scope)
            if method == "PUT":
                self.grants.append(grant)
            else:
                self.grants.remove(grant)
            return 204, None
        collection = parts[0]
        if method == "GET":
            return self.listed(collection, query)
        if method == "DELETE":
            if collection == "regions" and parts[1] in {one["region_id"] for one in self.store["endpoints"]}:
                return 403, {"error": {"message": "it has endpoints"}}
            self.store[collection] = [one for one in self.store[collection] if one["id"] != parts[1]]
            return 204, None
        (fields,) = body.values()
        if collection in STRICT and "scs_deploy" in fields:
            return 400, {"error": {"message": "Additional properties are not allowed"}}
        if method == "POST":
            return 201, {collection[:-1]: self.add(collection, **fields)}
        changed = next(one for one in self.store[collection] if one["id"] == parts[1])
        changed |= fields
        if {"password", "enabled"} & set(fields):
            self.tokens = {token: name for token, name in self.tokens.items() if name != changed.get("name")}
        return 200, {collection[:-1]: changed}


@pytest.fixture
def fake() -> Iterator[FakeKeystone]:
    keystone = FakeKeystone()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            keystone.connections.add(self.client_address[1])
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            subject = self.headers.get("X-Subject-Token", "")
            status, answer = keystone.handle(self.command, self.path.removeprefix("/v3"), body, subject)
            data = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("X-Subject-Token", (answer or {}).get("id", ""))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = (
                keystone.hangs_up
            )  # without a word, as a server that is stopped or waited long enough

        do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    keystone.url = f"http://127.0.0.1:{server.server_port}/v3"  # type: ignore[attr-defined]
    yield keystone
    server.shutdown()
    server.server_close()


class Kinds:
    """Modules imported afresh whenever one is named, as each look and each change of a node does."""

    def __getitem__(self, kind: str) -> ModuleType:
        for name in [name for name in sys.modules if name.startswith("keystone_resources")]:
            del sys.modules[name]
        package = ModuleType("keystone_resources")
        package.__path__ = [str(FOLDER)]
        sys.modules["keystone_resources"] = package
        return importlib.import_module(f"keystone_resources.{kind}")


@pytest.fixture
def kinds() -> Kinds:
    return Kinds()


@pytest.fixture
def context(fake: FakeKeystone) -> dict[str, Any]:
    url = fake.url  # type: ignore[attr-defined]
    return {
        "url": url, "ca": "", "user": "admin", "project": "admin", "password": "right", "engine": "true", "container": "",
    }  # fmt: skip


def item(name: str, secret: str = "", digest: str = "", **attrs: Any) -> dict[str, Any]:
    return {"name": name, "attrs": attrs, "secret": secret, "digest": digest}


def told(seen: dict[str, Any]) -> list[str]:
    return [f"{one['what']}: {one['is']}, wanted {one['wanted']}" for one in seen.get("differences", ())]


WANTED: dict[str, list[dict[str, Any]]] = {
    "domain": [item("sales", description="Sales")],
    "role": [item("admin"), item("lb-member")],
    "project": [item("service", domain="default", description="Services"), item("sales/web", domain="sales")],
    "user": [item("nova", "pw", "d1", default_project="service")],
    "role_assignment": [
        item("nova serves", user="nova", role="service", project="service"),
        item("nova reads", user="nova", role="reader", system="all"),
        item("nova sells", user="nova", role="reader", domain="sales"),
    ],
    "credential": [item("nova-s3", "signs", "d2", user="nova", project="service")],
    "region": [item("box", description="box.test")],
    "service": [item("nova", type="compute", description="Servers")],
    "endpoint": [item("nova public", service="nova", interface="public", region="box", url="https://x:8774")],
}


def create(kinds: Kinds, context: dict[str, Any], wanted: dict[str, list[dict[str, Any]]] | None = None) -> None:
    for kind, items in (wanted or WANTED).items():
        there = {one["name"] for one in kinds[kind].observe(context, items)}
        kinds[kind].apply(context, [{**one, "op": "create"} for one in items if one["name"] not in there])


def test_nothing_is_told_before_it_exists(kinds: Kinds, context: dict[str, Any]) -> None:
    assert [kinds[kind].observe(context, WANTED[kind]) for kind in KINDS if kind != "role"] == [[]] * 8


def test_what_was_created_is_as_wanted_and_nothing_is_left_to_do(kinds: Kinds, context: dict[str, Any]) -> None:
    create(kinds, context)
    for kind in KINDS:
        seen = kinds[kind].observe(context, WANTED[kind])
        expected = [(one["name"], one["attrs"], one["digest"], []) for one in WANTED[kind]]
        found = [(one["name"], one["attrs"], one["secret"], told(one)) for one in seen]
        assert sorted(found, key=str) == sorted(expected, key=str)


Look = Callable[[dict[str, list[dict[str, Any]]]], dict[str, list[dict[str, Any]]]]


@pytest.fixture
def look(context: dict[str, Any], tmp_path: Path) -> Look:
    """Ask all kinds at once, as a node does."""
    folder = tmp_path / "resources"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "context.json").write_text(json.dumps(context))
    host = node.LocalNode.local("podman").host

    def ask(wanted: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        listed = [{**one, "kind": kind} for kind, items in wanted.items() for one in items]
        (folder / "wanted.json").write_text(json.dumps(listed))
        answer, _ = owners.observe_owner(host, "keystone", OwnerAsked(str(folder), list(KINDS)))
        assert answer.state == "ok", answer.why
        return {kind: [asdict(item) for item in items] for kind, items in answer.items.items()}

    return ask


def more(count: int) -> dict[str, list[dict[str, Any]]]:
    """What is wanted, and as many further objects of most kinds."""
    names = [f"more{number}" for number in range(count)]
    extra = {
        "domain": [item(f"d-{one}") for one in names],
        "role": [item(f"r-{one}") for one in names],
        "project": [item(f"sales/p-{one}", domain="sales") for one in names],
        "user": [item(one, default_project="service") for one in names],
        "role_assignment": [item(f"{one} serves", user=one, role="service", project="service") for one in names],
        "service": [item(one, type=one) for one in names],
        "endpoint": [
            item(f"{one} public", service=one, interface="public", region="box", url="https://x") for one in names
        ],
    }
    return {kind: [*WANTED[kind], *extra.get(kind, [])] for kind in KINDS}


@pytest.mark.parametrize("count", [0, 30])
def test_one_look_lists_every_collection_once_and_logs_in_once_per_password(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any], look: Look, count: int
) -> None:
    wanted = more(count)
    create(kinds, context, wanted)
    fake.requests.clear()
    seen = look(wanted)
    lists = [("GET", f"/{kind}s") for kind in KINDS]
    assert sorted(fake.requests) == sorted([*lists, *[("POST", "/auth/tokens")] * 2])
    expected = {kind: sorted((one["name"], one["secret"]) for one in seen[kind]) for kind in KINDS}
    assert expected == {kind: sorted((one["name"], one["digest"]) for one in wanted[kind]) for kind in KINDS}


def test_the_password_of_our_own_account_is_proved_by_our_token(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]
) -> None:
    fake.add("users", name="admin", domain_id="default", password="right")
    ours = [item("admin", "right", "d1")]
    assert [one["secret"] for one in kinds["user"].observe(context, ours)] == ["d1"]
    assert fake.logins() == 1
    assert [one["secret"] for one in kinds["user"].observe(context, [item("admin", "wrong", "d1")])] == ["differs"]


@pytest.fixture
def kept(context: dict[str, Any], tmp_path: Path) -> Path:
    """Where tokens are kept from one look to the next."""
    path = tmp_path / "run/tokens.json"
    context["tokens"] = str(path)
    return path


def test_a_second_look_logs_in_nowhere(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any], kept: Path, look: Look
) -> None:
    create(kinds, context)
    look(WANTED)
    before = fake.logins()
    assert [one["secret"] for one in look(WANTED)["user"]] == ["d1"]
    assert fake.logins() == before
    assert kept.stat().st_mode & 0o777 == 0o600
    assert len(json.loads(kept.read_text(encoding="utf-8"))) == 2
    assert '"pw"' not in kept.read_text(encoding="utf-8")


def test_a_password_that_somebody_changed_is_found_all_the_same(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any], kept: Path, look: Look
) -> None:
    create(kinds, context)
    look(WANTED)
    nova = next(one for one in fake.store["users"] if one["name"] == "nova")
    fake.handle("PATCH", f"/users/{nova['id']}", {"user": {"password": "by hand"}})
    assert [one["secret"] for one in look(WANTED)["user"]] == ["differs"]
    changed = {**WANTED, "user": [item("nova", "by hand", "d3", default_project="service")]}
    assert [one["secret"] for one in look(changed)["user"]] == ["d3"]


@pytest.mark.parametrize("broken", ["", "[]", "{", '{"x": {"token": "t", "until": 0}}'])
def test_a_file_of_tokens_that_says_nothing_costs_logins_only(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any], kept: Path, look: Look, broken: str
) -> None:
    kept.parent.mkdir()
    create(kinds, context)
    kept.write_text(broken, encoding="utf-8")
    fake.requests.clear()
    assert [one["secret"] for one in look(WANTED)["user"]] == ["d1"]
    assert fake.logins() == 2
    assert len(json.loads(kept.read_text(encoding="utf-8"))) == 2


def test_what_keystone_cannot_answer_for_a_moment_is_asked_again(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any], kept: Path, look: Look
) -> None:
    create(kinds, context)
    look(WANTED)
    fake.broken = 2
    assert [one["secret"] for one in look(WANTED)["user"]] == ["d1"]
    fake.broken = 1000
    with pytest.raises(AssertionError, match="keystone answers 500 to HEAD /auth/tokens"):
        look(WANTED)


def test_a_token_that_ends_soon_is_not_used(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any], kept: Path, look: Look
) -> None:
    fake.expires = "2026-01-01T00:05:00.000000Z"
    create(kinds, context)
    fake.requests.clear()
    look(WANTED)
    assert fake.logins() == 2
    assert not kept.exists()


def test_a_login_that_proves_a_password_asks_for_no_rights(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]
) -> None:
    create(kinds, context)
    fake.bodies.clear()
    kinds["user"].observe(context, WANTED["user"])
    scopes = [body["auth"].get("scope") for method, body in fake.bodies if method == "POST"]
    assert scopes == [{"project": {"name": "admin", "domain": {"id": "default"}}}, "unscoped"]


def test_a_change_ends_what_was_seen(fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]) -> None:
    role = kinds["role"]
    assert [one["name"] for one in role.observe(context, WANTED["role"])] == ["admin"]
    role.apply(context, [{**WANTED["role"][1], "op": "create"}])
    assert [one["name"] for one in role.observe(context, WANTED["role"])] == ["admin", "lb-member"]


@pytest.mark.parametrize("kind", sorted(PAGED))
def test_what_is_behind_the_most_that_keystone_tells_is_seen(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any], kind: str
) -> None:
    """Where nobody asks for pages, keystone 27 leaves out what is beyond ``max_db_limit``, and does not say so."""
    create(kinds, context)
    one = kind.removesuffix("s")
    name = WANTED[one][-1]["name"]
    for number in range(20):
        fake.add(kind, id=f"a{number:02}", name=f"stranger{number}", domain_id="default", password="x")
    fake.most = 3
    assert [seen["name"] for seen in kinds[one].observe(context, WANTED[one]) if seen["name"] == name] == [name]
    assert name in {seen["name"] for seen in kinds[one].observe(context, [])}


@pytest.mark.parametrize("kind", ["role", "service", "endpoint", "region", "credential"])
def test_a_list_that_keystone_cuts_is_never_taken_for_whole(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any], kind: str
) -> None:
    create(kinds, context)
    fake.add(f"{kind}s", **{**fake.store[f"{kind}s"][0], "id": "one more"})
    fake.list_limit = len(fake.store[f"{kind}s"])
    assert kinds[kind].observe(context, WANTED[kind])
    fake.list_limit -= 1
    with pytest.raises(RuntimeError, match=f"keystone keeps {kind}s back, and tells only .*: take list_limit out"):
        kinds[kind].observe(context, WANTED[kind])


def test_a_connection_is_kept_and_one_that_the_server_closed_is_replaced(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any], look: Look
) -> None:
    create(kinds, context)
    fake.connections.clear()
    assert look(WANTED)
    assert len(fake.connections) == 1
    fake.connections.clear()
    fake.hangs_up = True
    fake.requests.clear()
    assert {kind: len(items) for kind, items in look(WANTED).items()} == {kind: len(WANTED[kind]) for kind in KINDS}
    assert len(fake.connections) == len(fake.requests) == len(KINDS) + 2


def test_changes_of_a_kind_list_it_once(fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]) -> None:
    wanted = more(30)
    create(kinds, context, {kind: wanted[kind] for kind in ("domain", "role")})
    for kind, lists in (("project", ["/domains", "/projects"]), ("user", ["/projects", "/users"])):
        fake.requests.clear()
        kinds[kind].apply(context, [{**one, "op": "create"} for one in wanted[kind]])
        listed = [path for method, path in fake.requests if method == "GET"]
        assert (sorted(set(listed)), len(listed) <= 3) == (lists, True)
        fake.requests.clear()
        gone = [{"op": "delete", "name": one["name"], "attrs": {}} for one in wanted[kind][1:]]
        assert len(kinds[kind].apply(context, [*gone, {**wanted[kind][1], "op": "create"}])) == len(wanted[kind])
        assert sum(method == "GET" for method, _ in fake.requests) <= 3


def test_a_change_is_sent_once_on_a_connection_of_its_own(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]
) -> None:
    """On a kept one nobody can tell a change that was lost from one whose answer was."""
    fake.hangs_up = True
    kinds["role"].apply(context, [{**item(f"new{number}"), "op": "create"} for number in range(3)])
    assert [one["name"] for one in fake.store["roles"]][-3:] == ["new0", "new1", "new2"]
    assert fake.requests.count(("POST", "/roles")) == 3


def test_a_changed_password_differs_until_it_is_set_again(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]
) -> None:
    create(kinds, context)
    fake.store["users"][0]["password"] = "by hand"
    assert kinds["user"].observe(context, WANTED["user"])[0]["secret"] == "differs"
    kinds["user"].apply(context, [{**WANTED["user"][0], "op": "update"}])
    assert kinds["user"].observe(context, WANTED["user"])[0]["secret"] == "d1"


def test_a_changed_attribute_is_shown_with_the_value_it_has(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]
) -> None:
    create(kinds, context)
    fake.store["endpoints"][0]["url"] = "https://old"
    (seen,) = kinds["endpoint"].observe(context, WANTED["endpoint"])
    assert seen["attrs"]["url"] == "https://old"
    kinds["endpoint"].apply(context, [{**WANTED["endpoint"][0], "op": "update"}])
    assert fake.store["endpoints"][0]["url"] == "https://x:8774"
    assert len(fake.store["endpoints"]) == 1


@pytest.mark.parametrize("kind", ["domain", "project", "user", "service", "endpoint"])
def test_what_somebody_switched_off_differs_and_is_switched_on(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any], kind: str
) -> None:
    create(kinds, context)
    wanted = WANTED[kind][-1:]
    (there,) = [
        one for one in fake.store[f"{kind}s"] if one.get("name", "") in ("", wanted[0]["name"].rpartition("/")[2])
    ]
    there["enabled"] = False

    def own() -> dict[str, Any]:
        return next(one for one in kinds[kind].observe(context, wanted) if one["name"] == wanted[0]["name"])

    assert own()["attrs"] == wanted[0]["attrs"]
    assert told(own()) == ["enabled: no, wanted yes"]
    kinds[kind].apply(context, [{**wanted[0], "op": "update"}])
    assert there["enabled"] is True
    assert (own()["attrs"], told(own())) == (wanted[0]["attrs"], [])
    there["enabled"] = False
    wanted[0] = {**wanted[0], "attrs": {**wanted[0]["attrs"], "enabled": False}}
    assert (own()["attrs"], told(own())) == (wanted[0]["attrs"], [])


def test_a_disabled_user_without_attributes_is_told_and_its_password_is_not_called_wrong(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]
) -> None:
    plain = [item("glance", "pw", "d1")]
    create(kinds, context, {"user": plain})
    (there,) = fake.store["users"]
    there |= {"enabled": False, "password": "by hand"}
    (seen,) = kinds["user"].observe(context, plain)
    assert (seen["secret"], told(seen)) == ("unknown", ["enabled: no, wanted yes"])
    kinds["user"].apply(context, [{**plain[0], "op": "update"}])
    assert (there["enabled"], there["password"]) == (True, "pw")
    (seen,) = kinds["user"].observe(context, plain)
    assert (seen["secret"], told(seen)) == ("d1", [])


def test_a_user_of_a_disabled_domain_is_not_told_to_have_another_password(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]
) -> None:
    clerk = [item("sales/clerk", "pw", "d1", domain="sales")]
    create(kinds, context, {"domain": WANTED["domain"], "user": clerk})
    assert [one["secret"] for one in kinds["user"].observe(context, clerk)] == ["d1"]
    fake.store["domains"][-1]["enabled"] = False
    (seen,) = kinds["user"].observe(context, clerk)
    assert (seen["attrs"], seen["secret"], told(seen)) == (clerk[0]["attrs"], "unknown", [])


def test_only_what_differs_is_put_right(fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]) -> None:
    create(kinds, context)
    fake.store["services"][0]["enabled"] = False
    fake.store["users"][0]["options"] = {}
    fake.bodies.clear()
    for kind in ("service", "user"):
        kinds[kind].apply(context, [{**WANTED[kind][0], "op": "update"}])
    service, user = (next(iter(body.values())) for method, body in fake.bodies if method == "PATCH")
    assert service["enabled"] is True
    assert "options" not in service
    assert "enabled" not in user
    assert set(user["options"]) == {"ignore_lockout_failure_attempts", "ignore_password_expiry"}


@pytest.mark.parametrize("kind", ["domain", "role", "project", "user", "service"])
def test_only_objects_of_ours_are_offered_for_removal_and_removed(
    kind: str, fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]
) -> None:
    fake.add(f"{kind}s", name="by-hand", domain_id="default", password="x", type="x")
    create(kinds, context)
    unwanted = [one["name"] for one in kinds[kind].observe(context, [])]
    ours = [one["name"] for one in WANTED[kind] if one["name"] != "admin"]
    assert sorted(unwanted) == sorted(ours)
    kinds[kind].apply(context, [{"op": "delete", "name": name, "attrs": {}} for name in unwanted])
    left = [one["name"] for one in fake.store[f"{kind}s"]]
    assert "by-hand" in left
    assert not {name.rpartition("/")[2] for name in ours} & set(left)


def test_a_right_that_nobody_wants_is_revoked(fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]) -> None:
    create(kinds, context)
    fake.grants.append(("somebody", "r-admin", "projects", "p-admin"))
    keep = WANTED["role_assignment"][:1]
    unwanted = kinds["role_assignment"].observe(context, keep)[1:]
    assert {one["name"] for one in unwanted} == {"nova reader all", "nova reader sales"}
    kinds["role_assignment"].apply(context, [{"op": "delete", "name": one["name"], "attrs": {}} for one in unwanted])
    assert [grant[0] for grant in fake.grants] == [fake.store["users"][0]["id"], "somebody"]


def test_credentials_are_made_anew_and_those_of_others_stay(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]
) -> None:
    create(kinds, context)
    fake.add(
        "credentials", id="other", type="ec2", user_id="u", project_id="p", blob='{"access": "by hand", "secret": "x"}'
    )
    changed = [item("nova-s3", "signs again", "d3", user="nova", project="service")]
    credential = kinds["credential"]
    assert [one["secret"] for one in credential.observe(context, changed)] == ["differs"]
    credential.apply(context, [{**changed[0], "op": "update"}])
    assert [one["secret"] for one in credential.observe(context, changed)] == ["d3"]
    ours = next(one for one in fake.store["credentials"] if one["id"] != "other")
    namesake = fake.add("users", id="namesake", name="nova", domain_id="sales")
    ours |= {"user_id": namesake["id"], "project_id": "p-admin"}
    credential = kinds["credential"]
    assert [one["attrs"] for one in credential.observe(context, changed)] == [{"user": "namesake", "project": "admin"}]
    assert [one["name"] for one in credential.observe(context, [])] == ["nova-s3"]
    credential.apply(context, [{"op": "delete", "name": "nova-s3", "attrs": {}}])
    assert [json.loads(one["blob"])["access"] for one in fake.store["credentials"]] == ["by hand"]


def test_endpoints_of_other_regions_are_left_alone(fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]) -> None:
    create(kinds, context)
    service = fake.store["services"][0]["id"]
    fake.add("endpoints", service_id=service, interface="public", region_id="elsewhere", url="u")
    fake.add("endpoints", service_id=service, interface="admin", region_id="box", url="u")
    seen = kinds["endpoint"].observe(context, WANTED["endpoint"])
    assert [one["name"] for one in seen] == ["nova public", "nova admin box"]


def test_a_region_that_got_another_name_leaves_nothing_behind(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]
) -> None:
    fake.add("regions", id="elsewhere")
    create(kinds, context)
    service = fake.store["services"][0]["id"]
    fake.add("endpoints", service_id=service, interface="public", region_id="elsewhere", url="u")
    regions = [item("RegionOne", description="box.test")]
    endpoints = [{**WANTED["endpoint"][0], "attrs": {**WANTED["endpoint"][0]["attrs"], "region": "RegionOne"}}]
    for kind, wanted in (("region", regions), ("endpoint", endpoints)):
        kinds[kind].apply(context, [{**wanted[0], "op": "create"}])
    assert [one["name"] for one in kinds["endpoint"].observe(context, endpoints)] == ["nova public", "nova public box"]
    assert [one["name"] for one in kinds["region"].observe(context, regions)] == ["RegionOne", "box"]
    kinds["region"].apply(context, [{"op": "delete", "name": "box", "attrs": {}}])
    assert [one["name"] for one in kinds["endpoint"].observe(context, endpoints)] == ["nova public"]
    assert [one["name"] for one in kinds["region"].observe(context, regions)] == ["RegionOne"]
    assert [one["region_id"] for one in fake.store["endpoints"]] == ["elsewhere", "RegionOne"]
    assert [one["id"] for one in fake.store["regions"]] == ["elsewhere", "RegionOne"]


def test_nobody_locks_our_accounts_by_wrong_passwords(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]
) -> None:
    create(kinds, context)
    options = fake.store["users"][0]["options"]
    assert options["ignore_lockout_failure_attempts"] is True
    options["ignore_lockout_failure_attempts"] = False
    (seen,) = kinds["user"].observe(context, WANTED["user"])
    assert seen["attrs"] == {"default_project": "service"}
    assert told(seen) == ["ignore_lockout_failure_attempts: off, wanted on"]
    kinds["user"].apply(context, [{**WANTED["user"][0], "op": "update"}])
    assert fake.store["users"][0]["options"]["ignore_lockout_failure_attempts"] is True
    assert [told(one) for one in kinds["user"].observe(context, WANTED["user"])] == [[]]


def test_a_password_that_is_right_is_not_set_again(fake: FakeKeystone, kinds: Kinds, context: dict[str, Any]) -> None:
    """It would end all tokens of the account, and one of them is the reconciler's own."""
    create(kinds, context)
    own = {**WANTED["user"][0], "op": "update", "attrs": {"description": "changed"}}
    fake.bodies.clear()
    kinds["user"].apply(context, [own])
    (sent,) = [body["user"] for method, body in fake.bodies if method == "PATCH"]
    assert sent["description"] == "changed"
    assert "password" not in sent


def test_a_keystone_that_is_down_is_named(kinds: Kinds, context: dict[str, Any]) -> None:
    with pytest.raises(ConnectionError, match=r"keystone at http://127\.0\.0\.1:1/v3 does not answer"):
        kinds["role"].observe({**context, "url": "http://127.0.0.1:1/v3"}, [])


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("AccountLocked", "the account is locked by wrong passwords; wait for"),
        ("AssertionError", "the password is wrong: somebody changed it"),
        ("UserNotFound", "there is no such account; give admin a new password"),
        ("Accepted", "it has no role in project admin"),
        ("", "its log says why; scs-deploy logs keystone"),
    ],
)
def test_a_refused_login_says_whether_it_is_locked_or_wrong(
    fake: FakeKeystone, kinds: Kinds, context: dict[str, Any], tmp_path: Path, answer: str, told: str
) -> None:
    """``engine`` is asked for Keystone's own word; the password is not in its arguments."""
    fake.admin_password = "other"
    engine = tmp_path / "engine"
    engine.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\ncat >/dev/null\necho {answer}\n')
    engine.chmod(0o755)
    with pytest.raises(RuntimeError, match="refuses the login of admin: ") as caught:
        kinds["role"].observe({**context, "engine": str(engine), "container": "keystone"}, [])
    assert told in str(caught.value)
    assert (tmp_path / "arguments").read_text(encoding="utf-8") == "exec --interactive keystone python3 -I -\n"


def test_an_unknown_project_is_named(kinds: Kinds, context: dict[str, Any]) -> None:
    with pytest.raises(LookupError, match="no project named nowhere"):
        kinds["user"].apply(context, [{**item("nova", default_project="nowhere"), "op": "create"}])
