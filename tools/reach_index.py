"""Is the package index that pip and uv are set to use within reach? Standard library only: runs before there is a venv."""

from __future__ import annotations

import configparser
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

TIMEOUT_SECONDS = 10
DEFAULT = "https://pypi.org/simple"
VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")


def index_url() -> str:
    """The index by environment, then by pip's files, the user's last."""
    for variable in VARIABLES:
        if os.environ.get(variable):
            return (
                os.environ[variable].split("=", 1)[-1] if "://" in os.environ[variable].split("=", 1)[-1] else DEFAULT
            )
    files = configparser.ConfigParser(interpolation=None)
    files.read([Path(name).expanduser() for name in FILES])
    return next(
        (files[part]["index-url"] for part in ("install", "global") if files.has_option(part, "index-url")), DEFAULT
    )


def without_login(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def main() -> int:
    url = index_url().rstrip("/") + "/pip/"
    try:
        with urllib.request.urlopen(without_login(url), timeout=TIMEOUT_SECONDS):  # noqa: S310 - the user's own setting
            return 0
    except urllib.error.HTTPError:
        return 0  # it answers; whether it lets us in, pip will say
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        sys.stderr.write(
            f"error: the Python package index cannot be reached: {without_login(url)}\n    why: {why}\n"
            "    fix: check the network, DNS and https_proxy, or set PIP_INDEX_URL to an index within reach\n"
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
