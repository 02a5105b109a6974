"""What settings of services may call their ``format``, beside formats that only editors know."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import jsonschema

from scs_deploy.documents.fields import wrong

FORMATS = jsonschema.FormatChecker(formats=())
"""Its errors are ``ValueError``, with a ``context`` that may say what to do (``scs_deploy.documents.fields.wrong``)."""


@FORMATS.checks("cidr", raises=ValueError)
def _is_cidr(value: Any) -> bool:
    """A network of either family, or one address."""
    if isinstance(value, str):
        if "%" in value:  # of a scope anything may be the name
            raise wrong(f"{value} has a scope", "write the network without what begins with %")
        network = ipaddress.ip_network(value, strict=False)
        if "/" in value and ipaddress.ip_address(value.partition("/")[0]) != network.network_address:
            raise wrong(f"{value} is an address inside a network", f"write {network}")
    return True


_GENERATED = "aZ09" * 8
"""What passwords of services are made of."""


@FORMATS.checks("password-pattern", raises=ValueError)
def _is_password_pattern(value: Any) -> bool:
    """A regular expression that passwords of services meet too, as an option of oslo.config can say it; or nothing."""
    if isinstance(value, str) and value:
        if "\\$" in value:  # there it is another way to write $$
            raise wrong(f"{value} has a dollar behind a backslash, which would not arrive", "write [$]")
        try:
            pattern = re.compile(value)
        except re.error as error:
            raise wrong(
                f"{value} is no regular expression: {error}", 'such as "^(?=.*[0-9])(?=.*[a-z]).{12,}$"'
            ) from error
        if not pattern.match(_GENERATED):
            raise wrong(
                f"{value} refuses the passwords of services, which are letters and digits",
                "ask for no other kind of character",
            )
    return True
