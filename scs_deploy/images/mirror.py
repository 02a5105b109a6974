"""Which package sources a build uses: the mirror is asked before anything is started, so that no network is one clear error."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable

from scs_deploy.errors import DeployError, InputError
from scs_deploy.images.script import sources

TIMEOUT_SECONDS = 10
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy")


def proxies() -> dict[str, str]:
    """This machine's proxy settings for apt inside a build; they are never part of an image."""
    both = {name: os.environ.get(name) or os.environ.get(name.upper(), "") for name in PROXY_VARIABLES}
    return {name: value for name, value in both.items() if value}


def usable_sources(mirror: str, suite: str, *, security: bool, warn: Callable[[str], None]) -> tuple[str, ...]:
    """The lines of sources.list that the mirror really has.

    Raises DeployError when the suite itself cannot be had; missing updates or security only warn (sid has none).
    """
    if not re.fullmatch(r"https?://[^\s/]+/+[^\s/]\S*", mirror):
        raise InputError(
            f"the package mirror {mirror} is not an http or https address with a path", fix="such as http://HOST/debian"
        )
    first, *others = sources(mirror, suite, security=security)
    why = _missing(first)
    if why:
        raise DeployError(
            f"the package mirror does not give the suite {suite}",
            where=mirror,
            why=why,
            fix="check the network, DNS and http_proxy, or name another mirror: --mirror URL or `mirror` in region.yml",
        )
    found = [first]
    for line in others:
        why = _missing(line)
        if why:
            warn(f"{line.split()[2]} is left out: {why}")
        else:
            found.append(line)
    return tuple(found)


def _missing(line: str) -> str:
    _, mirror, suite, _ = line.split()
    url = f"{mirror}/dists/{suite}/InRelease"
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the scheme is checked above
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310
            return ""
    except urllib.error.HTTPError as error:
        return f"{url}: HTTP {error.code} {error.reason}"
    except OSError as error:
        return f"{url}: {getattr(error, 'reason', error)}"
