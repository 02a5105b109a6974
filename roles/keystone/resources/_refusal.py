"""Why Keystone refuses a login: no client is told, so Keystone itself is asked, inside its container on this node."""

from __future__ import annotations

import json
import subprocess
from typing import Any

SECONDS = 30
"""How long it may take: Keystone's libraries need about 3 s, and all kinds together have 45."""

_SCRIPT = """
import json
import keystone.conf
from keystone import exception
from keystone.common import provider_api, sql
from keystone.server import backends
given = json.loads(GIVEN)
sql.initialize()
keystone.conf.configure()
keystone.conf.CONF([], project="keystone", default_config_files=["/etc/keystone/keystone.conf"])
backends.load_backends()
identity = provider_api.ProviderAPIs.identity_api
try:
    user = identity.get_user_by_name(given["user"], "default")
    identity.driver.authenticate(user["id"], given["password"])
    print("Accepted")
except (exception.Error, AssertionError) as error:
    print(type(error).__name__)
"""

_RENEW = "give {user} a new password with 'scs-deploy secrets edit' and apply: the bootstrap job sets it"

_MEANING = {
    "AccountLocked": (
        "the account is locked by wrong passwords",
        "wait for keystone.settings.lockout_seconds; nobody but a person took its option ignore_lockout_failure_attempts",
    ),
    "AssertionError": ("the password is wrong: somebody changed it in Keystone, or in the vault", _RENEW),
    "UserNotFound": ("there is no such account", _RENEW),
    "UserDisabled": ("the account is disabled", _RENEW),
    "PasswordExpired": ("the password has expired", _RENEW),
    "Accepted": ("account and password are right, but it has no role in project {project}", _RENEW),
}


def why(context: dict[str, Any]) -> str:
    """Return why the login of ``context`` is refused, and what to do; the password goes by standard input."""
    given = json.dumps({"user": context["user"], "password": context["password"]})
    try:
        done = subprocess.run(
            [context["engine"], "exec", "--interactive", context["container"], "python3", "-I", "-"],
            input=f"GIVEN = {given!r}\n{_SCRIPT}",
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        words = done.stdout.split()
    except (OSError, subprocess.SubprocessError):
        words = []
    what, remedy = _MEANING.get(words[-1] if words else "", ("its log says why", "scs-deploy logs keystone"))
    return f"{what}; {remedy}".format(user=context["user"], project=context["project"])
