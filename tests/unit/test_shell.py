"""The operator's shell has no say: the real program, started from hostile ones, does and prints what it does from an empty one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from scs_deploy.machine import environment

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-m", "scs_deploy.cli")
UNREACHABLE = re.compile(r"n1: .*(10\.79\.1\.11|127\.0\.0\.1).*(refused|closed)")
"""What Ansible says of a node behind a closed gate; the words depend on which of two ends first."""
BARE = {"PATH": "/usr/bin:/bin", "NO_COLOR": "1", "TERM": "xterm"}

SHELLS: dict[str, Mapping[str, str]] = {
    "locale C, settings of other projects": {
        "LC_ALL": "C",
        "ANSIBLE_VAULT_PASSWORD_FILE": ".vault", "ANSIBLE_VAULT_IDENTITY_LIST": "a@b", "ANSIBLE_CONFIG": "{home}/broken.cfg",
        "OS_CLOUD": "other", "OS_AUTH_URL": "https://192.0.2.1", "OS_CLIENT_CONFIG_FILE": "/gone",
        "CONTAINER_HOST": "ssh://192.0.2.1/", "CONTAINERS_CONF_OVERRIDE": "/gone",
    },
    "locale that is not there, Ansible's words": {
        "LANG": "de_DE.UTF-8", "LC_CTYPE": "de_DE.UTF-8",
        "ANSIBLE_STRATEGY": "no-such-one", "ANSIBLE_STDOUT_CALLBACK": "none", "ANSIBLE_CALLBACKS_ENABLED": "none",
        "TMPDIR": "{home}/gone", "TERM": "dumb", "COLUMNS": "x", "LINES": "0",
    },
    "another encoding, where Ansible writes": {
        "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii",
        "ANSIBLE_LOG_PATH": "{home}/ansible.log", "ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_DEBUG": "1",
        "TMPDIR": "{home}/" + "long" * 30,
    },
    "Python of another project, connections": {
        "PYTHONPATH": "{home}/python", "PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2",
        "ANSIBLE_SSH_ARGS": "-o NoSuchOption=1", "ANSIBLE_TRANSPORT": "none",
        "SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":9",
        "GIT_DIR": "/gone", "GIT_INDEX_FILE": "/gone", "CDPATH": "/:.",
    },
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with what people have in it, and a region whose only node is behind a gate that is closed."""
    home = tmp_path / "home"
    (home / "python/yaml").mkdir(parents=True)
    (home / "python/yaml/__init__.py").write_text("raise SystemExit('the yaml of another project')\n", encoding="utf-8")
    (home / ("long" * 30)).mkdir()
    for name in (".ansible.cfg", "broken.cfg"):
        text = "[defaults]\nstrategy = no-such-one\nvault_password_file = /gone\nlog_path = " + str(
            home / "ansible.log"
        )
        (home / name).write_text(text, encoding="utf-8")
    (home / "work").mkdir()
    (home / "work/ansible.cfg").write_text("[defaults]\nstrategy = no-such-one\n", encoding="utf-8")
    region = yaml.safe_load((ROOT / "inventories/core/region.yml").read_text(encoding="utf-8"))
    region["ssh"] |= {"jump": "nobody@127.0.0.1:1"}
    (home / "region").mkdir()
    (home / "region/region.yml").write_text(yaml.safe_dump(region), encoding="utf-8")
    (home / "region/known_hosts").touch()
    return home


def run(home: Path, shell: Mapping[str, str], *words: str, **options: Any) -> tuple[int, str, str]:
    env = {**BARE, "HOME": str(home), "SCS_DEPLOY_STATE_DIR": str(home.parent / "state")}
    env |= {name: value.format(home=home) for name, value in shell.items()}
    command = [*PROGRAM, *words]
    done = subprocess.run(
        command, cwd=home / "work", env=env, capture_output=True, encoding="utf-8", check=False,
        **{"stdin": subprocess.DEVNULL, **options},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def files(home: Path) -> set[str]:
    """All but the catalogue that is kept in the cache."""
    found = {str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir()}
    return {path for path in found if not path.startswith(".cache/scs-deploy/catalogue-")}


@pytest.mark.parametrize("name", SHELLS)
def test_no_shell_changes_what_is_done(home: Path, name: str) -> None:
    shell = {**SHELLS[name], "SCS_DEPLOY_REGION": str(home / "region")}
    before = files(home)
    code, out, err = run(home, shell, "secrets", "init")
    assert (code, bool(re.search(r"\d+ secrets, \d+ new", out))) == (0, True), err
    assert run(home, shell, "secrets", "show", "ca-cert")[1].startswith("-----BEGIN CERTIFICATE-----")
    code, out, err = run(home, shell, "preflight")
    assert (code, out) == (1, "0 nodes looked at: 0 errors, 0 other findings\n")
    assert UNREACHABLE.search(err), err
    made = {"region/secrets.yml", ".config/scs-deploy/region.vault-password"}
    kept = {name for name in files(home) if name.startswith(".cache/scs-deploy/")}
    assert files(home) - before - kept <= made


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_closed_standard_stream_is_nobody_to_ask_or_tell(home: Path, number: int) -> None:
    shell = {"SCS_DEPLOY_REGION": str(home / "region")}
    code, _, err = run(home, shell, "preflight", preexec_fn=lambda: os.close(number), stdin=None)
    assert code == 1
    assert "Traceback" not in err
    assert number == 2 or UNREACHABLE.search(err)


def test_what_is_printed_in_a_poor_locale_never_raises(home: Path) -> None:
    code, _, err = run(home, {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii:strict"}, "validate", "-r", "grün\udcff")
    assert code == 2  # no such region: told, not raised
    assert "grün" in err
    assert "Traceback" not in err


def test_secrets_stay_private_and_the_rest_readable_whatever_the_umask(home: Path) -> None:
    shell = {"SCS_DEPLOY_REGION": str(home / "region")}
    assert run(home, shell, "secrets", "init", umask=0)[0] == 0
    assert (home / "region/secrets.yml").stat().st_mode & 0o777 == 0o600
    assert (home / ".config/scs-deploy/region.vault-password").stat().st_mode & 0o777 == 0o600


def test_programs_of_the_operator_get_the_shell_as_it_is(home: Path) -> None:
    shell = {
        "SCS_DEPLOY_REGION": str(home / "region"),
        "PYTHONPATH": "/mine",
        "LC_ALL": "C",
        "ANSIBLE_LOG_PATH": "/mine",
    }
    seen = home.parent / "seen"
    editor = home.parent / "editor"
    editor.write_text(f"#!/bin/sh\nenv >{seen}\n", encoding="utf-8")
    editor.chmod(0o755)
    assert run(home, shell, "secrets", "init")[0] == 0
    assert run(home, {**shell, "EDITOR": str(editor)}, "secrets", "edit")[0] == 0
    got = dict(line.split("=", 1) for line in seen.read_text(encoding="utf-8").splitlines())
    assert (got["PYTHONPATH"], got["LC_ALL"], got["ANSIBLE_LOG_PATH"]) == ("/mine", "C", "/mine")


def test_a_user_without_an_account_has_a_home() -> None:
    command = "import os; os.getuid = lambda: 4242; from scs_deploy.machine import environment as e; e.adopt(); print(os.environ['HOME'])"
    env = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run(
        [sys.executable, "-c", command], env=env, cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert done.stdout == "/\n", done.stderr


def test_the_page_names_every_variable_that_counts() -> None:
    page = (ROOT / "docs/environment.md").read_text(encoding="utf-8")
    missing = [name for names in environment.KEPT.values() for name in names if f"`{name}`" not in page]
    assert not missing


@pytest.mark.parametrize(
    "shell", [{"CDPATH": "/:."}, {"GIT_DIR": "/gone", "POSIXLY_CORRECT": "1"}, {"LC_ALL": "de_DE"}, {}]
)
def test_the_scripts_find_their_place_from_any_shell(shell: Mapping[str, str], tmp_path: Path) -> None:
    command = "set -u; . ./prepare.sh && echo $ROOT $(umask) $LC_ALL ${HOME:?} ${GIT_DIR-none}"
    env = {"PATH": os.environ["PATH"], **shell}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT / "tools",
        env=env,
        umask=0,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.stdout.startswith(f"{ROOT} 0022 C.UTF-8 /"), done.stderr
    assert done.stdout.endswith(" none\n")
    closed = subprocess.run(
        ["bash", "-c", "exec <&- >&- 2>&-; . tools/prepare.sh && say all && die nothing"],
        cwd=ROOT,
        env=env,
        check=False,
    )
    assert closed.returncode == 1


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_scripts_open_a_standard_stream_that_is_closed(number: int) -> None:
    command = f"exec {number}>&-; . tools/prepare.sh; [ /proc/$$/fd/{number} -ef /dev/null ]"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, stdin=subprocess.PIPE, capture_output=True, check=False)
    assert done.returncode == 0


def test_sudo_passes_on_what_counts(tmp_path: Path) -> None:
    for name, text in (("id", "echo 1000"), ("sudo", 'echo "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    shell = {"SCS_DEPLOY_VAULT_PASSWORD_FILE": "/x", "UV_INDEX_URL": "x", "PIP_TRUSTED_HOST": "x", "SECRET": "x"}
    done = subprocess.run(
        ["bash", "-uc", ". tools/prepare.sh; become_root"],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": "/", **shell},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    kept = re.findall("--preserve-env=(.*?) --", done.stdout)[0].split(",")
    assert {*shell, "HTTPS_PROXY", "https_proxy"} - set(kept) == {"SECRET"}, done
    assert "PIP_USER" not in kept


ASK = "from scs_deploy.machine import environment as e; e.settle(); from scs_deploy.cli.change import confirm; confirm(False, 'Go?')"


@pytest.mark.parametrize("stdin", ["closed", "/dev/null"])
def test_without_a_terminal_the_way_to_go_on_is_told(stdin: str) -> None:
    close = (lambda: os.close(0)) if stdin == "closed" else None
    given = None if stdin == "closed" else subprocess.DEVNULL
    done = subprocess.run(
        [sys.executable, "-c", ASK], stdin=given, preexec_fn=close, capture_output=True, encoding="utf-8", check=False
    )
    assert re.search("UsageError: there is no terminal to ask on(.|\n)*--yes", done.stderr), done.stderr
