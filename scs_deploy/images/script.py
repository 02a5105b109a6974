"""The shell script that turns a parent into an image; it runs as one container and reports its steps and packages on stdout."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping, Sequence

from scs_deploy.documents.fields import security_mirror
from scs_deploy.images.recipe import FRAGMENTS, Recipe

STEP = "@@scs-step "
PACKAGES = "@@scs-packages"
PACKAGES_FILE = "/usr/share/scs-deploy/packages.json"
APT_ARCHIVES = "/var/cache/apt/archives"
APT_LISTS = "/var/lib/apt/lists"

# Sent on stdin, since an argument or a mount would stay visible in the image; commands must not read it, so it is a file first.
ENTRY = ("sh", "-c", "cat > /tmp/.scs-build && exec sh -eu /tmp/.scs-build < /dev/null")

_LIST = r"""dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' | LC_ALL=C sort -u |
 awk 'BEGIN { print "{" } $1 == "installed" { printf "%s\"%s\": \"%s\"", (n++ ? ",\n" : ""), $2, $3 } END { print "\n}" }'"""


def sources(mirror: str, suite: str, *, security: bool) -> tuple[str, ...]:
    """Lines of sources.list."""
    mirror = mirror.rstrip("/")
    lines = [f"deb {mirror} {suite} main"]
    if security:
        lines += [f"deb {mirror} {suite}-updates main", f"deb {security_mirror(mirror)} {suite}-security main"]
    return tuple(lines)


def build_script(recipe: Recipe, apt_sources: Sequence[str], proxies: Mapping[str, str]) -> str:
    """Files and users first, then packages, then commands; what fails is the step printed last."""
    lines = [*_prologue(proxies)]
    if recipe.users or recipe.files:
        lines.append(_step("users and files"))
        lines += [_append(path, text) for path, text in recipe.users.items()]
        lines += [_place(path, text) for path, text in recipe.files.items()]
    if recipe.packages:
        lines += _update(apt_sources)
        lines.append(_step(f"packages: {' '.join(recipe.packages)}"))
        lines.append(f"apt-get -qy --no-install-recommends install {shlex.join(recipe.packages)}")
    for command in recipe.commands:
        lines += [_step(f"command: {command.splitlines()[0]}"), f"(\n{command}\n)"]
    lines += [_step("cleaning up"), (FRAGMENTS / "clean.sh").read_text()]
    lines += [f"mkdir -p {PACKAGES_FILE.rpartition('/')[0]}", f"{_LIST} > {PACKAGES_FILE}"]
    lines += [f"echo {PACKAGES}", f"cat {PACKAGES_FILE}"]
    return "\n".join(lines) + "\n"


def upgrade_script(apt_sources: Sequence[str], proxies: Mapping[str, str]) -> str:
    """Prints ``Inst ...`` and ``Conf ...`` lines for each package of the image that the mirror has in a newer version."""
    lines = [*_prologue(proxies), *_update(apt_sources), "apt-get -s -qq dist-upgrade"]
    return "\n".join(lines) + "\n"


def _prologue(proxies: Mapping[str, str]) -> list[str]:
    exports = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "HOME": "/root", **proxies}
    return [f"export {name}={shlex.quote(value)}" for name, value in exports.items()]


def _update(apt_sources: Sequence[str]) -> list[str]:
    return [_step("package lists"), _place("/etc/apt/sources.list", "\n".join(apt_sources) + "\n"), "apt-get -q update"]


def _step(text: str) -> str:
    return f"echo {shlex.quote(STEP + text)}"


def _place(path: str, text: str) -> str:
    mode = "0755" if text.startswith("#!") else "0644"
    where = shlex.quote(path)
    folder = shlex.quote(path.rpartition("/")[0] or "/")
    return f"mkdir -p {folder}; {_decoded(text)} > {where}; chmod {mode} {where}"


def _append(path: str, text: str) -> str:
    return f"{_decoded(text)} >> {shlex.quote(path)}"


def _decoded(text: str) -> str:
    return f"echo {base64.b64encode(text.encode()).decode()} | base64 -d"
