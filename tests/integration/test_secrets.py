"""No secret value is ever to be seen outside the vault, the files that need it and the processes that use it."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from proofs.deployment import REPOSITORY, Cloud, until
from proofs.kills.process import kill
from scs_deploy.machine.paths import state_dir
from scs_deploy.secrets import Vault, keys

ROLES = Path(__file__).parent / "fixtures" / "rotation"
TRIES = "/var/lib/scs-deploy/data/prober/count/tries.jsonl"
ARGUMENTS = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f 2>/dev/null; echo; done"


def secret_values(folder: Path) -> dict[str, str]:
    """Every value of the vault, and a line out of the middle of each private key."""
    vault = Vault.open(folder)
    found: dict[str, str] = {}
    for name in vault.names:
        value = vault.get(name)
        parts = value.items() if not isinstance(value, str) else [("", value)]
        found.update({f"{name} {key}".strip(): str(part).strip() for key, part in parts})
    found = {name: text for name, text in found.items() if "-----BEGIN CERTIFICATE" not in text}
    for name, text in list(found.items()):
        if "-----BEGIN" in text:
            found[name] = text.splitlines()[len(text.splitlines()) // 2]
    return {name: text for name, text in found.items() if len(text) >= 16}


def of_node(cloud: Cloud) -> dict[str, str]:
    keys = cloud.on_node("for f in /etc/scs-deploy/*/etc/scs-tls/key.pem; do sed -n 3p $f; done").splitlines()
    return {f"private key {number}": line for number, line in enumerate(keys) if len(line) >= 16}


@contextmanager
def sampling(cloud: Cloud, into: list[str]) -> Iterator[None]:
    """Collect the arguments of all processes, here and on the node, while the body runs."""
    over = threading.Event()

    def here() -> None:
        while not over.wait(0.1):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    into.append(path.read_text(errors="replace"))
                except OSError:
                    continue

    def there() -> None:
        while not over.wait(0.3):
            into.append(cloud.try_on_node(ARGUMENTS).stdout)

    threads = [threading.Thread(target=one) for one in (here, there)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def rotated(cloud: Cloud) -> Iterator[Cloud]:
    """The deployment with a consumer of all backends in it, which counts its logins."""
    with pytest.MonkeyPatch.context() as patch, cloud.services(keystone={"settings": {"notifications": True}}):
        patch.setenv("SCS_DEPLOY_ROLES", str(ROLES))
        yield cloud
        with cloud.services(prober={"enabled": False}):
            cloud.run("apply", "--yes", "--purge")


@pytest.fixture(scope="module")
def seen(rotated: Cloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Everything that an apply which carries every secret and a rotation that is killed and goes on show; place -> text."""
    cloud, folder = rotated, tmp_path_factory.mktemp("secrets")
    cloud.on_node("echo '# mine' >> /etc/scs-deploy/keystone/etc/keystone/keystone.conf")
    cloud.on_node("rm -r /etc/scs-deploy/keystone/resources /etc/scs-deploy/mariadb/resources /etc/scs-deploy/rabbitmq")
    cloud.sql(f"SET PASSWORD FOR '{cloud.login_name('keystone', 'keystone-database')}' = PASSWORD('x')")
    shown = cloud.run("plan", code=0).stdout
    assert "user keystone" in shown
    assert "keystone.conf: changed" in shown
    plans = planned(cloud, folder / "drift")
    arguments: list[str] = []
    with sampling(cloud, arguments):
        shown += cloud.apply().stdout
        before = secret_values(cloud.folder)
        until(lambda: {"mariadb", "rabbitmq", "keystone"} <= {one["backend"] for one in tries(cloud)}, "all log in")
        shown += killed_in_phase_two(cloud)
        middle = planned(cloud, folder / "middle")
        until(lambda: ended(cloud), "a rotation after the kill went through", 180)
        shown += signing_keys_rotated(cloud)
    cloud.assert_settled()
    engine = ["podman", "history", "--no-trunc", "--format", "{{.CreatedBy}}"]
    images = subprocess.run(["podman", "images", "--quiet"], capture_output=True, text=True, check=True).stdout.split()
    images = list(dict.fromkeys(images))[:12]
    return {
        **{f"{place} {number}": text for number, found in enumerate((plans, middle)) for place, text in found.items()},
        "output": shown,
        "events": "".join(path.read_text() for path in cloud.events()),
        "other state": "".join(
            path.read_text(errors="replace")
            for path in state_dir().rglob("*")
            if path.is_file() and "labs" not in path.parts
        ),
        "arguments of processes": "\n".join(arguments),
        "journal": cloud.on_node("journalctl --no-pager --output=cat"),
        "containers": cloud.on_node("podman inspect $(podman ps --all --quiet)"),
        "environment of units": cloud.on_node("systemctl show --property=Environment,ExecStart '*'"),
        "images": "".join(
            subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for image in images
            for command in ([*engine, image], ["podman", "inspect", image])
        ),
        "region folder": "".join(path.read_text(errors="replace") for path in cloud.folder.glob("*") if path.is_file()),
        "git": subprocess.run(
            ["git", "status", "--short", "--untracked-files=all"], cwd=REPOSITORY, capture_output=True, text=True
        ).stdout,
        "values before": json.dumps(before),
    }


def planned(cloud: Cloud, saved: Path) -> dict[str, str]:
    """A plan in every form that a program or a browser reads; place -> text."""
    page = saved.with_suffix(".html")
    shown = cloud.run("plan", "--json", "--out", str(saved), "--html", str(page), code=0).stdout
    return {"plan": shown, "saved plan": saved.read_text(encoding="utf-8"), "page": page.read_text()}


def killed_in_phase_two(cloud: Cloud) -> str:
    """Rotate everything, and kill the program when it has begun to give consumers what is new; return what it printed."""
    process = cloud.start("secrets", "rotate", "--yes", stderr=subprocess.STDOUT)
    lines: list[str] = []
    assert process.stdout
    for line in process.stdout:
        lines.append(line)
        if "waves" in line and any("Phase 2 of 3" in one for one in lines) and "Plan:" not in line:
            break
    kill(process)
    assert "Phase 2 of 3" in "".join(lines), "".join(lines)
    return "".join(lines)


def ended(cloud: Cloud) -> bool:
    """The same command once more: refused by name while the module of the killed run is still at work on the node."""
    done = cloud.run("secrets", "rotate", "--yes")
    assert done.returncode == 0 or "another run is changing this node" in done.stderr, done.stdout + done.stderr
    if done.returncode == 0:
        assert "Going on with" in done.stdout
        assert "Phase 1 of 3" not in done.stdout
    return done.returncode == 0


def signing_keys_rotated(cloud: Cloud) -> str:
    """Rotate what signs tokens, and wait until the token that the consumer has since its start was asked about."""
    Vault.open(cloud.folder).change(lambda values: {name: values[name] for name in values if name != keys.ENTRY})
    starts = cloud.starts()
    shown = cloud.run("secrets", "rotate", "--yes", "keystone-fernet", code=0).stdout
    assert cloud.restarted(starts) == set()
    asked = [one for one in tries(cloud) if one["backend"] == "keystone"][-1]["time"]
    until(lambda: any(one["time"] > asked + 1 for one in tries(cloud) if one["backend"] == "keystone"), "it was asked")
    again = cloud.run("secrets", "rotate", "--yes", "keystone-fernet", code=3)
    assert "cannot be rotated again before" in again.stderr
    return shown


def tries(cloud: Cloud) -> list[dict[str, Any]]:
    """What the consumer tells of its logins: ``count`` those that went well, ``away`` nobody answered, ``refused`` a no."""
    return [json.loads(line) for line in cloud.on_node(f"cat {TRIES}").splitlines()]


PLACES = (
    "plan 0", "saved plan 0", "page 0", "plan 1", "saved plan 1", "page 1", "output", "events", "other state", "arguments of processes", "journal", "containers",
    "environment of units", "images", "region folder",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_shown(cloud: Cloud, seen: dict[str, str], place: str) -> None:
    before = {f"previous {name}": value for name, value in json.loads(seen["values before"]).items()}
    values = {**before, **secret_values(cloud.folder), **of_node(cloud)}
    assert len(values) > 20
    assert before["previous keystone-database"] != values["keystone-database"]
    assert seen[place], "nothing was looked at"
    assert [name for name, value in values.items() if value in seen[place]] == []


def test_what_was_watched_carried_secrets(seen: dict[str, str]) -> None:
    assert "ansible" in seen["arguments of processes"]
    assert "rotation under way, phase 2 of 3" in seen["plan 1"]


def test_during_a_rotation_every_login_of_what_runs_succeeds(cloud: Cloud, seen: dict[str, str]) -> None:
    """Nobody is refused at any moment, with what its process was started with; nor is a token that it got at its start."""
    found = tries(cloud)
    assert [one for one in found if "refused" in one] == []
    for backend in ("mariadb", "rabbitmq", "keystone"):
        users = [one["user"] for one in found if one["backend"] == backend and "count" in one]
        assert set(users) == {"prober", "prober~b"}
        assert len(list(groupby(users))) == 2, "first those of its start, then the new ones"


def test_afterwards_the_old_accounts_and_values_are_gone(cloud: Cloud, seen: dict[str, str]) -> None:
    old = {"prober", "prober~b"} - {cloud.login_name("prober", "prober-database")}
    apis = cloud.state()["end"]["apis"]
    accounts = apis["mariadb"]["users"]
    assert "prober" in str(accounts)
    for place in (accounts, [json.loads(row)[0] for row in apis["rabbitmq"]["users"]], keystone_users(cloud)):
        names = {str(one).split("\t")[0] for one in place}
        assert not old & names, names
        assert {"prober", "prober~b"} & names, names
    before = json.loads(seen["values before"])
    held = Vault.open(cloud.folder)
    kept = {str(held.get(name)) for name in held.names if isinstance(held.get(name), str)}
    assert not [name for name in ("keystone-database", "keystone-rabbitmq", "prober-keystone") if before[name] in kept]
    old_values = "\n".join(
        before[name] for name in before if name.partition("-")[2] in ("database", "rabbitmq", "keystone")
    )
    assert cloud.try_on_node("grep -rlFf /dev/stdin /etc /run /var/lib/scs-deploy/state", old_values).stdout == ""


def keystone_users(cloud: Cloud) -> list[str]:
    return cloud.sql("SELECT name FROM keystone.local_user").splitlines()


def test_what_cannot_be_rotated_is_refused_with_the_reason(cloud: Cloud, seen: dict[str, str]) -> None:
    done = cloud.run("secrets", "rotate", "--yes", "rabbitmq-cookie", "keystone-credential", "nonsense", code=3)
    assert "rabbitmq-cookie: cannot be rotated" in done.stderr
    assert "keystone-credential: cannot be rotated" in done.stderr
    assert "there is no secret nonsense" in done.stderr
    cloud.assert_settled()


def test_no_value_is_in_the_repository(cloud: Cloud, seen: dict[str, str]) -> None:
    values = [*json.loads(seen["values before"]).values(), *secret_values(cloud.folder).values()]
    command = ["git", "grep", "--untracked", "-lFf", "/dev/stdin"]
    found = subprocess.run(command, cwd=REPOSITORY, input="\n".join(values), capture_output=True, text=True)
    assert (found.stdout, found.stderr) == ("", "")


def test_nothing_of_a_run_stays(cloud: Cloud, seen: dict[str, str]) -> None:
    assert cloud.private_folders() == []
    assert not [line for line in seen["git"].splitlines() if line.endswith(("secrets.yml", ".pem", "clouds.yaml"))]
    assert cloud.on_node("ls -A /root/.ansible/tmp 2>/dev/null || true") == ""


def test_files_with_secrets_are_closed_to_others(cloud: Cloud) -> None:
    """Not wider than 0640 wherever a value lies, on the node as on the controller."""
    values = list(secret_values(cloud.folder).values())
    found = cloud.on_node("grep -rlFf /dev/stdin /etc /var/lib/scs-deploy/state /run/scs-deploy", "\n".join(values))
    modes = cloud.on_node("xargs stat --format='%a %n'", found).splitlines()
    assert len(modes) > 5
    assert [line for line in modes if int(line.split()[0], 8) & 0o027] == []
