"""Written by scs-deploy: brings accounts, sudo and sshd into force, unless they would lock out who is at work here right now."""

import fnmatch
import grp
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

SUDOERS, KEYS, SSHD = (
    "/etc/sudoers.d/scs-deploy",
    "/etc/ssh/scs-authorized-keys",
    "/etc/ssh/sshd_config.d/00-scs-deploy.conf",
)
FILES = (SUDOERS, KEYS, SSHD)
SSHD_RUN = Path("/run/sshd")
LAST_GOOD = Path("/var/lib/scs-deploy/access")
"""What was in force last."""


class Refused(Exception):
    pass


class Visitor(NamedTuple):
    user: str
    address: str
    port: str
    here: str
    own_port: str


def run(*argv: str, check: bool = True, what: str = "") -> str:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    if check and done.returncode:
        raise Refused(f"{what or ' '.join(argv)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout if done.returncode == 0 else ""


def visitor(pid: int | None = None, proc: Path = Path("/proc")) -> Visitor | None:
    """Of the SSH connection that this process came by, or None."""
    pid = pid or os.getpid()
    while pid > 1:
        pairs = (proc / str(pid) / "environ").read_text(errors="replace").split("\0")
        env = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if env.get("SSH_CONNECTION") and env.get("USER"):
            return Visitor(env["USER"], *env["SSH_CONNECTION"].split())
        (pid,) = map(int, re.findall(r"^PPid:\s+(\d+)", (proc / str(pid) / "status").read_text(), re.M))
    return None


def effective(who: Visitor) -> dict[str, list[str]]:
    """What sshd, with the files as they are now, would hold true for a connection like this one."""
    place = f"user={who.user},host={who.address},addr={who.address},laddr={who.here},lport={who.own_port}"
    found: dict[str, list[str]] = {}
    for line in run("sshd", "-T", "-C", place).splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


def account_refused(settings: dict[str, list[str]], user: str, address: str, groups: list[str]) -> str:
    """Why sshd would refuse an account at once, or nothing."""
    first = {key: values[0] for key, values in settings.items()}
    if first.get("pubkeyauthentication") != "yes":
        return "PubkeyAuthentication is off"
    if user == "root" and first.get("permitrootlogin") not in ("yes", "without-password", "prohibit-password"):
        return f"PermitRootLogin is {first.get('permitrootlogin')}"
    methods = " ".join(settings.get("authenticationmethods", ["any"])).split()
    if methods != ["any"] and "publickey" not in methods:
        return f"AuthenticationMethods are {' '.join(methods)}"
    for key, words, denies in (
        ("denyusers", [user], 1),
        ("allowusers", [user], 0),
        ("denygroups", groups, 1),
        ("allowgroups", groups, 0),
    ):
        patterns = " ".join(settings.get(key, [])).split()
        met = any(_matches(pattern, word, address) for pattern in patterns for word in words)
        if patterns and met == bool(denies):
            return f"{key} is {' '.join(patterns)}"
    return ""


def _matches(pattern: str, word: str, address: str) -> bool:
    name, _, place = pattern.partition("@")
    return fnmatch.fnmatchcase(word, name) and (not place or fnmatch.fnmatchcase(address, place))


def key_in_use(user: str, address: str, port: str) -> str:
    """Fingerprint of the key that the connection was opened with, as sshd logged it, or nothing when the log is gone."""
    what = f"Accepted publickey for {re.escape(user)} from {re.escape(address)} port {port} "
    said = run(
        "journalctl", "-q", "-o", "cat", "-n", "1", "-t", "sshd", "-t", "sshd-session", "--grep", what, check=False
    )
    found = re.search(r"SHA256:\S+", said)
    return found.group() if found else ""


def keys_of(user: str, settings: dict[str, list[str]], home: str) -> set[str]:
    """Fingerprints that sshd would accept for a user: of the files it reads, and of our own list."""
    texts = []
    for name in " ".join(settings.get("authorizedkeysfile", [])).split():
        path = Path(home, name.replace("%h", home).replace("%u", user).replace("%%", "%"))
        if name != "none" and path.is_file():
            texts.append(path.read_text(errors="replace"))
    mine = [line.partition(" ") for line in Path(KEYS).read_text().splitlines() if not line.startswith("#")]
    texts += [key for name, _, key in mine if name == user]
    with tempfile.NamedTemporaryFile("w", suffix=".pub") as file:
        file.write("\n".join(texts) + "\n")
        file.flush()
        return set(re.findall(r"SHA256:\S+", run("ssh-keygen", "-l", "-f", file.name, check=False)))


def check() -> None:
    """Raise Refused when a file is wrong, or when the present visitor could not come again."""
    run("visudo", "--check", f"--file={SUDOERS}")
    run("sshd", "-t")
    who = visitor()
    if who is None:
        return
    user, address, port = who[:3]
    account = pwd.getpwnam(user)
    groups = [grp.getgrgid(number).gr_name for number in os.getgrouplist(user, account.pw_gid)]
    settings = effective(who)
    if why := account_refused(settings, user, address, groups):
        raise Refused(f"{user} from {address}, who applies this, would not get in again: {why}")
    if settings.get("trustedusercakeys", ["none"]) == ["none"]:
        used, accepted = key_in_use(user, address, port), keys_of(user, settings, account.pw_dir)
        if not accepted or (used and used not in accepted):
            raise Refused(
                f"{user}, who applies this, would not get in again: no list has the key {used or 'in use'}; "
                f"name it in services.node.settings.users, or put it into {account.pw_dir}/.ssh/authorized_keys"
            )
    if user != "root":
        run(
            "runuser",
            "-u",
            user,
            "--",
            "sudo",
            "-n",
            "true",
            what=f"{user}, who applies this, could not become root again",
        )


def put_back() -> None:
    """Without a copy from before, rules of sshd go, and accounts and keys stay: more of those lock nobody out."""
    for name in FILES:
        kept = LAST_GOOD / Path(name).name
        if kept.exists():
            shutil.copy2(kept, name)
        elif name == SSHD or (name == SUDOERS and not run("visudo", "--check", f"--file={SUDOERS}", check=False)):
            Path(name).unlink(missing_ok=True)


def main() -> int:
    SSHD_RUN.mkdir(exist_ok=True)
    run("systemd-sysusers", "/etc/sysusers.d/scs-deploy.conf")
    run("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/scs-deploy-homes.conf")
    try:
        check()
    except (Refused, OSError, LookupError, ValueError) as why:
        put_back()
        print(f"{why}\nwhat was in force before was put back", file=sys.stderr)
        return 1
    run("systemctl", "reload-or-restart", "ssh.service")
    LAST_GOOD.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy2(name, LAST_GOOD)
    return 0


if __name__ == "__main__":
    sys.exit(main())
