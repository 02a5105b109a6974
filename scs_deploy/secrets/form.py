"""What the values of secrets may look like: what some file, URL or program could not take is told when it is entered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from scs_deploy.catalogue.service import Secret
from scs_deploy.errors import Finding
from scs_deploy.secrets.account_names import OTHER

_FORMS: Mapping[str, tuple[str, str]] = {
    "password": (
        r"(?!.*\\\$)[!-~]([ -~]*[!-~])?",
        "printable ASCII characters, no blank at its ends and no $ behind a backslash",
    ),
    "hex": (r"[0-9A-Fa-f]+", "hexadecimal digits"),
    "uuid": (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "a UUID in lower case"),
    "cookie": (r"[A-Za-z0-9_-]{1,255}", "letters, digits, - and _"),
    "cephx": (r"[A-Za-z0-9+/]{38}==", "a key as 'ceph-authtool --gen-print-key' makes it"),
    "fernet": (r"[A-Za-z0-9_-]{43}=", "a Fernet key"),
}
"""Type -> its form, and that form in words. PyMySQL sends passwords in Latin-1 and others in UTF-8, so they are ASCII."""

HARMLESS = frozenset(_FORMS) - {"password"}
"""Types whose values no format reads as anything else."""


def check(values: Mapping[str, str | Mapping[str, str]], wanted: Mapping[str, Secret], file: str) -> Iterator[Finding]:
    """Yield what is wrong with values of secrets that services declare; never what they are."""
    for name, value in values.items():
        spec = wanted.get(name.removesuffix(OTHER))
        if spec is None or spec.type not in _FORMS:
            continue
        pattern, words = _FORMS[spec.type]
        for one in (value,) if isinstance(value, str) else value.values():
            if not re.fullmatch(pattern, one, re.DOTALL):
                yield Finding(
                    f"cannot be used as a secret of type {spec.type}",
                    why=f"it must be {words}",
                    fix="choose another value with 'scs-deploy secrets edit', or remove it there: it is then made anew",
                    path=name,
                    file=file,
                )
                break
