"""What settings of services may call their ``format``, beside formats that only editors know."""

from __future__ import annotations

import ipaddress
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
