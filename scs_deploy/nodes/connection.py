"""How the controller reaches a node: one set of connection data for OpenSSH commands of our own and for Ansible."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from scs_deploy.errors import DeployError
from scs_deploy.machine import paths
from scs_deploy.region.rack import Node

_PERSIST_SECONDS = 300  # as in ansible.cfg, whose connections are the same ones
_UNREACHABLE = 255  # ssh's own exit code for everything that is not the remote command's
_SOCKET_LIMIT = 107  # bytes of sun_path without its end; ssh adds a dot and 16 characters while it opens the socket
LINE = 64 * 1024
"""Characters of one line that a node may say at a time."""
SAID = 65 * 1024 * 1024
"""Bytes that a node may answer: a text of the wire, and what a login shell says before it."""
_CLOSED = re.compile(
    r"^(Shared c|C)onnection to \S+ closed\.\r?$|^Pseudo-terminal will not be allocated|^Killed by signal"
)


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """A command that ended: its exit code and its output."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Connection:
    """Access to one node; ``name`` is for messages, ``jump`` is ``[user@]host[:port]``, empty texts mean ssh's own defaults."""

    name: str
    host: str
    known_hosts: str
    user: str = "root"
    port: int = 22
    key: str = ""
    jump: str = ""
    become: bool = False

    @classmethod
    def for_node(cls, node: Node, folder: Path | None = None) -> Connection:
        """Read the region model; relative paths count from ``folder``, the region's.

        Raises ``DeployError`` for a relative path without a folder to count from.
        """
        addresses = node.addresses.get("api") or next(iter(node.addresses.values()))
        ssh = node.ssh
        return cls(
            name=node.name,
            host=str(addresses.first),
            known_hosts=_absolute(folder, ssh.host_keys),
            user=ssh.user,
            port=ssh.port,
            key=_absolute(folder, ssh.key) if ssh.key else "",
            jump=ssh.jump or "",
            become=ssh.become,
        )

    def argv(self, command: Sequence[str], *, tty: bool = False, log: str = "") -> list[str]:
        """Return the OpenSSH command; ``log`` is a file for ssh's own messages, which then stay out of stderr."""
        remote = ["sudo", "-n", "--", *command] if self.become else list(command)
        return [
            *("ssh", *(("-E", log) if log else ()), "-t" if tty else "-T", *self._options()),
            *(
                "-o",
                f"ControlPath={_quoted(self.control_path)}",
                "-o",
                "ControlMaster=auto",
                "-o",
                f"ControlPersist={_PERSIST_SECONDS}s",
            ),
            *("-p", str(self.port), "-l", self.user, "--", self.host, shlex.join(remote)),
        ]

    def run(
        self,
        command: Sequence[str],
        *,
        tty: bool = False,
        stdin: bytes | IO[bytes] | None = None,
        check_exit: bool = False,
    ) -> int:
        """Run a command with our stdout and stderr and return its exit code.

        ``stdin``: bytes or an open file; by default the terminal's with ``tty``, else nothing. Raises ``DeployError`` when the
        node cannot be reached, and with ``check_exit`` when the command fails.
        """
        with _log() as log:
            given: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
            if stdin is None and not tty:
                given = {"stdin": subprocess.DEVNULL}
            code = subprocess.run(self.argv(command, tty=tty, log=log.name), check=False, **given).returncode
            self._check(code, log.read())
        if check_exit and code:
            raise self._failed(command, code, "")
        return code

    def lines(self, command: Sequence[str], told: Callable[[str], object]) -> int:
        """Run a command, tell each line of its output, also on stderr, as it comes, and return the exit code.

        A line that is longer than 64 KiB is told in parts. Raises ``DeployError`` when the node cannot be reached.
        """
        said: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "errors": "replace"}
        with _log() as log:
            with subprocess.Popen(self.argv(command, log=log.name), stdin=subprocess.DEVNULL, **said) as process:
                try:
                    while process.stdout and (line := process.stdout.readline(LINE)):
                        told(line)
                except BaseException:
                    process.kill()
                    raise
            self._check(process.returncode, log.read())
        return process.returncode

    def output(self, command: Sequence[str], *, timeout: float | None = None) -> str:
        """Return the standard output of a command; raises ``DeployError`` when it fails, or takes more than ``timeout`` seconds."""
        with _log() as log:
            argv = self.argv(command, log=log.name)
            try:
                done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=timeout)
            except subprocess.TimeoutExpired as error:
                what = f"no answer within {timeout:g} s: {shlex.join(command)}"
                raise DeployError(what, where=self.name, fix="look at the node's load and log") from error
            proxy = done.stderr.decode(errors="replace") if self.jump else ""
            self._check(done.returncode, log.read(), proxy)
        if done.returncode:
            raise self._failed(command, done.returncode, done.stderr.decode(errors="replace").strip())
        return done.stdout.decode(errors="replace")

    def talk(
        self,
        command: Sequence[str],
        stdin: bytes,
        started: Callable[[subprocess.Popen[bytes]], AbstractContextManager[None]],
    ) -> CommandOutput:
        """Give ``stdin`` to a command and return what it said, whatever its exit code.

        ``started`` surrounds the time in which the process lives, so that others can end it. Raises ``DeployError`` when the
        node cannot be reached.
        """
        pipe = subprocess.PIPE
        with (
            _log() as log,
            subprocess.Popen(self.argv(command, log=log.name), stdin=pipe, stdout=pipe, stderr=pipe) as process,
            started(process),
        ):
            out, err = (said.decode(errors="replace") for said in _said(process, stdin))
            self._check(process.wait(), log.read(), err if self.jump else "")
        return CommandOutput(process.returncode, out, err)

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a command, such as ``journalctl -f``; exit code 255 means that ssh failed, its message is on stderr."""
        return subprocess.Popen(self.argv(command), stdin=options.pop("stdin", subprocess.DEVNULL), **options)

    def unreachable(self, message: str) -> DeployError:
        """The error for a message of ssh, whoever started it (Ansible prints the same texts)."""
        return DeployError(
            f"cannot reach node {self.name}",
            where=f"{self.user}@{self.host} port {self.port}" + (f" via {self.jump}" if self.jump else ""),
            why=message.strip() or "ssh gave no reason",
            fix=self._fix(message),
        )

    def ansible_vars(self) -> dict[str, Any]:
        """The same connection as host variables of Ansible; it shares our open connections."""
        options = [*self._options(), "-o", f"ControlPath={_quoted(self.control_path)}"]
        return {
            "ansible_connection": "ssh",
            "ansible_host": self.host,
            "ansible_user": self.user,
            "ansible_port": self.port,
            **({"ansible_ssh_private_key_file": self.key} if self.key else {}),
            "ansible_ssh_common_args": shlex.join(options),
            "ansible_become": self.become,
            **({"ansible_become_method": "sudo"} if self.become else {}),
        }

    @property
    def control_path(self) -> str:
        """Socket that commands to the same node share; other keys or known hosts never use it."""
        data = (self.host, self.port, self.user, self.key, self.jump, self.known_hosts)
        return f"{_control_folder()}/{hashlib.sha256(repr(data).encode()).hexdigest()[:12]}"

    def _options(self) -> list[str]:
        options = [
            *self._trust(),
            "-o",
            "ServerAliveInterval=15",
            "-o",
            "ServerAliveCountMax=4",
            "-o",
            "ConnectTimeout=10",
        ]
        return [*options, "-o", f"ProxyCommand={self._proxy_command()}"] if self.jump else options

    def _trust(self) -> list[str]:
        """Nobody is asked, the node must show a verified key, only the configured key is offered, and whatever the operator's own
        configuration says, a node gets no way back to this machine."""
        trust = [
            *("-o", "ForwardAgent=no", "-o", "ForwardX11=no", "-o", "ClearAllForwardings=yes"),
            *("-o", "PermitLocalCommand=no"),
            *("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"),
            *("-o", f"UserKnownHostsFile={_quoted(self.known_hosts)}", "-o", "GlobalKnownHostsFile=none"),
        ]
        return [*trust, "-o", "IdentitiesOnly=yes", "-o", f"IdentityFile={_quoted(self.key)}"] if self.key else trust

    def _proxy_command(self) -> str:
        """Not ProxyJump: that would use neither our key nor our known hosts for the jump host."""
        user, _, place = self.jump.rpartition("@")
        host, _, port = place.partition(":")
        inner = ["ssh", *self._trust(), *(("-l", user) if user else ()), *(("-p", port) if port else ())]
        return f"{shlex.join(inner).replace('%', '%%')} -W '[%h]:%p' -- {shlex.quote(host)}"

    def _check(self, code: int, log: str, proxy: str = "") -> None:
        """Raise when ssh itself failed: it says so in its log; ``proxy`` is what the jump host's ssh said."""
        lines = [line for line in log.splitlines() if line.strip() and not _CLOSED.match(line)]
        if code == _UNREACHABLE and lines:
            raise self.unreachable("; ".join([*proxy.splitlines()[-2:], *lines[-3:]]))

    def _failed(self, command: Sequence[str], code: int, stderr: str) -> DeployError:
        what = f"exit code {code}: {shlex.join(command)}"
        return DeployError(what, where=self.name, why=stderr, fix="run it on the node by hand to see more")

    def _fix(self, message: str) -> str:
        known = shlex.quote(self.known_hosts)
        if (
            "IDENTIFICATION HAS CHANGED" in message
            or "Host key verification failed" in message
            or "host key is known" in message
        ):
            return (
                f"compare the node's host key on its console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then put it into "
                f"{known}: ssh-keyscan -p {self.port} {self.host} (ssh-keygen -R removes an old one)"
            )
        if "Too many authentication failures" in message:
            return (
                "the agent has more keys than the server lets try: name the right one as ssh.key in region.yml, or remove "
                "the others from the agent (ssh-add -d)"
            )
        if "Permission denied" in message:
            key = self.key or "the agent's key"
            return (
                f"check that user {self.user} exists on the node and accepts {key} (ssh.user and ssh.key in region.yml)"
            )
        if "sudo" in message:
            return f"allow user {self.user} sudo without a password"
        if "refused" in message:
            return f"the node answers, but nothing listens on port {self.port}: start sshd, or correct ssh.port"
        return "check that the node is on and its address is right; or set it to 'state: maintenance'"


def _said(process: subprocess.Popen[bytes], given: bytes) -> list[bytes]:
    """Give a process its input and return its stdout and stderr; one that says more than ``SAID`` on either is killed."""

    def read(stream: IO[bytes] | None) -> bytes:
        assert stream  # noqa: S101 - a pipe
        said = stream.read(SAID)
        if len(said) == SAID:
            process.kill()
            stream.close()  # which ends what else writes to it
        return said

    with ThreadPoolExecutor(2) as pool:
        reading = [pool.submit(read, stream) for stream in (process.stdout, process.stderr)]
        assert process.stdin  # noqa: S101 - a pipe
        with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(given)
        return [one.result() for one in reading]


def _absolute(folder: Path | None, path: str) -> str:
    expanded = Path(path).expanduser()
    if folder is None and not expanded.is_absolute():
        raise DeployError(
            "a relative path without its folder", where=path, fix="give an absolute path in ssh of region.yml"
        )
    return str((folder or Path("/")).absolute() / expanded)


def _quoted(path: str) -> str:
    """A path as an ssh option's value: percent signs are doubled, blanks need quotes."""
    path = path.replace("%", "%%")
    return f'"{path}"' if re.search(r"\s", path) else path


def _control_folder() -> Path:
    """``ssh`` in the state folder, or a short private folder where that path would be too long for a socket."""
    folder = paths.state_dir() / "ssh"
    if len(os.fsencode(folder)) + len("/") + 12 + 17 > _SOCKET_LIMIT:
        digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
        folder = Path(tempfile.gettempdir(), f"scs-ssh-{os.getuid()}-{digest}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        raise DeployError("belongs to somebody else", where=str(folder), fix="remove it, or set SCS_DEPLOY_STATE_DIR")
    return folder


def _log() -> Any:
    return tempfile.NamedTemporaryFile("r", encoding="utf-8", prefix="scs-ssh-", errors="replace")
