"""Connection data: what OpenSSH itself makes of our options, what a failure says, and that Ansible is told the same."""

from __future__ import annotations

import ipaddress
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from scs_deploy.errors import DeployError
from scs_deploy.nodes.connection import Connection
from scs_deploy.region.host import Ssh
from scs_deploy.region.network import Addresses


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv("SCS_DEPLOY_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def fake_ssh(tmp_path, monkeypatch):
    """Puts an ``ssh`` first in PATH that writes ``log`` where ``-E`` says, runs ``script`` and keeps its arguments."""

    def install(script: str, log: str = "") -> Path:
        (tmp_path / "bin").mkdir()
        program = tmp_path / "bin/ssh"
        program.write_text(
            f"#!{sys.executable}\nimport sys, pathlib, subprocess\nargv = sys.argv[1:]\n"
            f"pathlib.Path({str(tmp_path / 'argv')!r}).write_text('\\0'.join(argv))\n"
            f"pathlib.Path(argv[argv.index('-E') + 1]).write_text({log!r})\n"
            f"sys.exit(subprocess.run(['sh', '-c', {script!r}]).returncode)\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        return tmp_path / "argv"

    return install


def connection(**changes):
    return Connection(**{"name": "n1", "host": "10.77.1.11", "known_hosts": "/r/known_hosts"} | changes)


def effective(argv):
    """What OpenSSH understood, from ``ssh -G``."""
    done = subprocess.run(["ssh", "-G", "-F", "none", *argv[1:]], capture_output=True, text=True, check=True)
    return dict(line.partition(" ")[::2] for line in done.stdout.splitlines())


def test_openssh_understands_the_options():
    got = effective(
        connection(user="deploy", port=2222, key="/keys/my key%1", known_hosts="/r 1/known%hosts").argv(["id"])
    )
    assert (got["hostname"], got["user"], got["port"]) == ("10.77.1.11", "deploy", "2222")
    assert got["stricthostkeychecking"] == "true"
    assert got["batchmode"] == "yes"
    assert got["controlmaster"] == "auto"
    shared = (Path(__file__).parents[2] / "ansible.cfg").read_text()
    assert f"ControlPersist={got['controlpersist']}s" in shared, "Ansible uses the same connections"
    assert got["identitiesonly"] == "yes"
    assert int(got["serveraliveinterval"]) > 0
    assert got["identityfile"].replace("%%", "%") == "/keys/my key%1"
    assert got["userknownhostsfile"].replace("%%", "%") == "/r 1/known%hosts"
    assert (
        got["controlpath"]
        == connection(user="deploy", port=2222, key="/keys/my key%1", known_hosts="/r 1/known%hosts").control_path
    )


def test_the_operators_own_configuration_opens_no_way_back(tmp_path):
    config = tmp_path / "config"
    config.write_text(
        "ForwardAgent yes\nForwardX11 yes\nLocalForward 4711 localhost:22\nPermitLocalCommand yes\nLocalCommand id\n"
    )
    for jump in ("", "gate"):
        argv = connection(jump=jump).argv(["id"])
        done = subprocess.run(["ssh", "-G", "-F", config, *argv[1:]], capture_output=True, text=True, check=True)
        got = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
        assert {got[name] for name in ("forwardagent", "forwardx11", "permitlocalcommand")} == {"no"}
        assert got["clearallforwardings"] == "yes"
        assert got.get("proxycommand", "none").count("ForwardAgent=no") == bool(jump)


def test_ipv6_and_a_key_of_the_agent():
    got = effective(connection(host="fd00:77:1::11").argv(["id"]))
    assert got["hostname"] == "fd00:77:1::11"
    assert got["identitiesonly"] == "no"


def test_a_jump_host_is_verified_with_the_same_keys():
    one = connection(jump="hop@gate.example:2200", key="/keys/my key%1")
    proxy = effective(one.argv(["id"]))["proxycommand"].replace("%%", "%")
    inner = shlex.split(proxy)
    assert inner[-4:] == ["-W", "[%h]:%p", "--", "gate.example"]
    got = effective([*inner[:-4], "gate.example"])
    assert (got["user"], got["port"], got["stricthostkeychecking"]) == ("hop", "2200", "true")
    assert got["userknownhostsfile"] == "/r/known_hosts"
    assert got["identityfile"].replace("%%", "%") == "/keys/my key%1"


def test_the_remote_shell_sees_the_arguments_unchanged(fake_ssh):
    argv = fake_ssh("exit 7")
    command = ["printf", "%s", "a b", "$HOME", "it's", ""]
    assert connection().run(command) == 7
    assert shlex.split(argv.read_text().split("\0")[-1]) == command
    connection(become=True).run(command)
    assert shlex.split(argv.read_text().split("\0")[-1]) == ["sudo", "-n", "--", *command]
    connection().run(command, tty=True)
    assert "-t" in argv.read_text().split("\0")


def test_stdin_is_nothing_unless_given(fake_ssh, capfd):
    fake_ssh("cat")
    assert connection().run(["cat"]) == 0
    assert connection().run(["cat"], stdin=b"given") == 0
    assert capfd.readouterr().out == "given"
    assert connection().output(["cat"]) == ""


@pytest.mark.parametrize(
    ("log", "fix"),
    [
        ("ssh: connect to host 10.77.1.11 port 22: Connection refused\n", "start sshd"),
        ("ssh: connect to host 10.77.1.11 port 22: No route to host\n", "maintenance"),
        ("root@10.77.1.11: Permission denied (publickey).\n", "ssh.key"),
        (
            "Received disconnect from 10.77.1.11 port 22:2: Too many authentication failures\n",
            "name the right one as ssh.key",
        ),
        (
            "No ED25519 host key is known for 10.77.1.11\nHost key verification failed.\n",
            "ssh-keyscan -p 22 10.77.1.11",
        ),
    ],
)
def test_unreachable_names_host_message_and_fix(fake_ssh, log, fix):
    fake_ssh("exit 255", log)
    for call in (connection(jump="gate").run, connection(jump="gate").output):
        with pytest.raises(DeployError) as caught:
            call(["true"])
        text = str(caught.value)
        assert all(part in text for part in ("n1", "root@10.77.1.11 port 22 via gate", log.splitlines()[-1], fix))


@pytest.mark.parametrize("log", ["", "Shared connection to 10.77.1.11 closed.\n"])
def test_a_command_that_itself_ends_with_255_is_no_unreachable_node(fake_ssh, log):
    fake_ssh("exit 255", log)
    assert connection().run(["false"], tty=True) == 255


def test_a_command_that_fails_is_told(fake_ssh):
    fake_ssh("echo no such unit >&2; exit 4")
    with pytest.raises(DeployError, match="no such unit") as caught:
        connection().output(["systemctl", "status", "x y"])
    assert "exit code 4: systemctl status 'x y'" in str(caught.value)
    with pytest.raises(DeployError, match="exit code 4"):
        connection().run(["false"], check_exit=True)


def test_a_command_that_takes_too_long_is_told(fake_ssh):
    fake_ssh("exec sleep 5")
    with pytest.raises(DeployError, match=r"no answer within 0\.3 s"):
        connection().output(["sleep"], timeout=0.3)


def test_a_closed_port_with_the_real_ssh(tmp_path):
    with pytest.raises(DeployError, match="Connection refused"):
        connection(host="127.0.0.1", port=1, known_hosts=str(tmp_path / "none")).run(["true"])


def test_ansible_is_told_the_same(tmp_path):
    one = connection(user="deploy", port=2222, key="/keys/my key", jump="hop@gate", become=True)
    given = one.ansible_vars()
    assert given["ansible_host"] == "10.77.1.11"
    assert (given["ansible_user"], given["ansible_port"]) == ("deploy", 2222)
    assert (given["ansible_ssh_private_key_file"], given["ansible_become"]) == ("/keys/my key", True)
    ours = effective(one.argv(["id"]))
    asked = ["ssh", *shlex.split(given["ansible_ssh_common_args"]), "-p", "2222", "-l", "deploy", "10.77.1.11"]
    theirs = effective(asked)
    for option in (
        "controlpath",
        "proxycommand",
        "userknownhostsfile",
        "stricthostkeychecking",
        "batchmode",
        "identitiesonly",
    ):
        assert theirs[option] == ours[option]


def test_the_control_path_is_short_private_and_own_per_identity(tmp_path, monkeypatch):
    paths = {
        connection(**changes).control_path for changes in ({}, {"key": "/k"}, {"known_hosts": "/other"}, {"port": 23})
    }
    assert len(paths) == 4
    monkeypatch.setenv("SCS_DEPLOY_STATE_DIR", str(tmp_path / ("deep/" * 30)))
    long = Path(connection().control_path)
    for path in [*map(Path, paths), long]:
        assert len(str(path)) + 17 <= 107
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    long.parent.rmdir()


def node(**ssh):
    addresses = {
        "tunnel": Addresses(ipaddress.IPv4Address("10.77.2.11")),
        "api": Addresses(ipaddress.IPv4Address("10.77.1.11")),
    }
    return SimpleNamespace(name="n1", addresses=addresses, ssh=Ssh(**ssh))


def test_a_node_is_reached_at_its_api_address_with_files_of_its_region_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/op")
    got = Connection.for_node(
        node(user="deploy", port=2222, become=True, jump="hop", key="~/.ssh/id"), Path("/regions/box")
    )
    assert got == Connection(
        "n1", "10.77.1.11", "/regions/box/known_hosts", "deploy", 2222, "/home/op/.ssh/id", "hop", become=True
    )
    with pytest.raises(DeployError, match="known_hosts"):
        Connection.for_node(node())
    assert Connection.for_node(node(host_keys="/etc/keys")).known_hosts == "/etc/keys"


def test_what_a_jump_host_says_is_told(fake_ssh):
    fake_ssh("echo No ED25519 host key is known for gate >&2; exit 255", "Connection closed by UNKNOWN port 65535\n")
    with pytest.raises(DeployError, match="host key is known for gate"):
        connection(jump="gate").output(["true"])
