"""No secret value is ever to be seen outside the vault, the files that need it and the processes that use it."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scs_deploy.paths import state_dir
from scs_deploy.secrets import Vault
from tests.deployment import REPOSITORY, Cloud

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
        while not over.wait(0.05):
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
def seen(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Everything that an apply which carries every secret shows; place -> text."""
    folder = tmp_path_factory.mktemp("secrets")
    cloud.on_node("echo '# mine' >> /etc/scs-deploy/keystone/etc/keystone/keystone.conf")
    cloud.on_node("rm -r /etc/scs-deploy/keystone/resources /etc/scs-deploy/mariadb/resources /etc/scs-deploy/rabbitmq")
    cloud.sql("SET PASSWORD FOR keystone = PASSWORD('x')")
    plans = cloud.run("plan", "--out", str(folder / "saved.plan")).stdout + json.dumps(cloud.plan(code=None))
    arguments: list[str] = []
    with sampling(cloud, arguments):
        done = cloud.apply()
    cloud.assert_settled()
    engine = ["podman", "history", "--no-trunc", "--format", "{{.CreatedBy}}"]
    images = subprocess.run(["podman", "images", "--quiet"], capture_output=True, text=True, check=True).stdout.split()
    images = list(dict.fromkeys(images))[:12]
    return {
        "plan": plans,
        "saved plan": (folder / "saved.plan").read_text(),
        "output of apply": done.stdout + done.stderr,
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
    }


PLACES = (
    "plan", "saved plan", "output of apply", "events", "other state", "arguments of processes", "journal", "containers",
    "environment of units", "images", "region folder",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_shown(cloud: Cloud, seen: dict[str, str], place: str) -> None:
    values = {**secret_values(cloud.folder), **of_node(cloud)}
    assert len(values) > 10
    assert seen[place], "nothing was looked at"
    assert [name for name, value in values.items() if value in seen[place]] == []


def test_the_apply_that_was_watched_carried_secrets(seen: dict[str, str]) -> None:
    assert "user keystone" in seen["plan"]
    assert "keystone.conf: changed" in seen["plan"]
    assert "ansible" in seen["arguments of processes"]


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
