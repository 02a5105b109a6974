"""The script that brings sshd and sudo into force: who is at work on the node can always come again."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "roles/node/programs/access.py"
OPEN = {"pubkeyauthentication": ["yes"], "permitrootlogin": ["without-password"], "authenticationmethods": ["any"]}


@pytest.fixture
def access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("access")
    exec(compile(SCRIPT.read_text(encoding="utf-8"), str(SCRIPT), "exec"), module.__dict__)  # noqa: S102 - our own script
    keys = tmp_path / "scs-authorized-keys"
    keys.write_text("# Written by scs-deploy\n", encoding="utf-8")
    for name, value in {
        "KEYS": str(keys),
        "LAST_GOOD": tmp_path / "good",
        "SSHD_RUN": tmp_path / "run",
        "FILES": (str(keys), str(tmp_path / "sshd")),
    }.items():
        monkeypatch.setitem(module.__dict__, name, value)
    return module


@pytest.mark.parametrize("user", ["a.b", ".*", "x", "axb"])
def test_an_account_has_its_own_keys_and_no_others(user: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(
        "# a comment\naxb ssh-ed25519 AAAA axb's\nb ssh-ed25519 BBBB axb\naxb sk-x CCCC\n", encoding="utf-8"
    )
    text = (SCRIPT.parents[1] / "templates/sshd.conf.j2").read_text(encoding="utf-8")
    (line,) = [one for one in text.splitlines() if one.startswith("AuthorizedKeysCommand ")]
    argv = [part.replace("%u", user) for part in shlex.split(line)[1:-1]]
    done = subprocess.run([*argv, str(keys)], capture_output=True, text=True, check=True)
    assert done.stdout == ("ssh-ed25519 AAAA axb's\nsk-x CCCC\n" if user == "axb" else "")


def test_the_visitor_is_found_above_sudo(access: ModuleType, tmp_path: Path) -> None:
    for pid, above, env in (
        (9, 8, "USER=root"),
        (8, 7, "USER=ann\0SSH_CONNECTION=10.0.0.5 4711 10.0.0.1 22"),
        (7, 1, ""),
    ):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "environ").write_text(env, encoding="utf-8")
        (folder / "status").write_text(f"Name:\tx\nPPid:\t{above}\n", encoding="utf-8")
    assert access.visitor(9, tmp_path) == ("ann", "10.0.0.5", "4711", "10.0.0.1", "22")
    assert access.visitor(7, tmp_path) is None


@pytest.mark.parametrize(
    ("user", "change", "why"),
    [
        ("root", {}, ""),
        ("ann", {"permitrootlogin": ["no"]}, ""),
        ("root", {"permitrootlogin": ["no"]}, "PermitRootLogin is no"),
        ("ann", {"pubkeyauthentication": ["no"]}, "PubkeyAuthentication is off"),
        ("ann", {"authenticationmethods": ["publickey,keyboard-interactive"]}, "AuthenticationMethods are"),
        ("ann", {"authenticationmethods": ["publickey password"]}, ""),
        ("ann", {"allowusers": ["bob", "ann@10.*"]}, ""),
        ("ann", {"allowusers": ["bob ann@192.168.*"]}, "allowusers is"),
        ("ann", {"allowgroups": ["admins"]}, "allowgroups is"),
        ("ann", {"allowgroups": ["staff"]}, ""),
        ("ann", {"denyusers": ["a*"]}, "denyusers is"),
    ],
)
def test_an_account_that_sshd_would_refuse_is_named(access: ModuleType, user: str, change: dict, why: str) -> None:
    told = access.account_refused({**OPEN, **change}, user, "10.0.0.5", ["staff"])
    assert told.startswith(why)
    assert bool(told) == bool(why)


def keypair(folder: Path, name: str) -> tuple[str, str]:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shown = subprocess.run(["ssh-keygen", "-lf", folder / name], capture_output=True, text=True, check=True).stdout
    return (folder / f"{name}.pub").read_text(encoding="utf-8"), shown.split()[1]


def test_keys_of_files_and_of_our_list_count(access: ModuleType, tmp_path: Path) -> None:
    (one, first), (two, second) = keypair(tmp_path, "one"), keypair(tmp_path, "two")
    (tmp_path / "home/.ssh").mkdir(parents=True)
    (tmp_path / "home/.ssh/authorized_keys").write_text(f'no-pty,from="10.*" {one}', encoding="utf-8")
    Path(access.KEYS).write_text(f"# Written\nann {two}bob {one}", encoding="utf-8")
    settings = {"authorizedkeysfile": [".ssh/authorized_keys .ssh/authorized_keys2"]}
    assert access.keys_of("ann", settings, str(tmp_path / "home")) == {first, second}
    assert access.keys_of("ann", {"authorizedkeysfile": ["none"]}, str(tmp_path / "home")) == {second}
    assert access.keys_of("eve", {}, str(tmp_path)) == set()


def test_what_is_refused_is_put_back_and_never_loaded(access: ModuleType, tmp_path: Path, monkeypatch, capsys) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setitem(access.__dict__, "run", lambda *argv, **_: asked.append(argv) or "")
    monkeypatch.setitem(access.__dict__, "check", lambda: None)
    (tmp_path / "sshd").write_text("good", encoding="utf-8")
    assert access.main() == 0
    assert ("systemctl", "reload-or-restart", "ssh.service") in asked

    def refuse() -> None:
        raise access.Refused("ann would not get in again")

    asked.clear()
    monkeypatch.setitem(access.__dict__, "check", refuse)
    (tmp_path / "sshd").write_text("bad", encoding="utf-8")
    assert access.main() == 1
    assert (tmp_path / "sshd").read_text(encoding="utf-8") == "good"
    assert not [argv for argv in asked if argv[0] == "systemctl"]
    assert "ann would not get in again" in capsys.readouterr().err
