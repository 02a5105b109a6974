"""Secret references: what stands in rendered text instead of a value, and how the value enters when a payload is made.

A reference is printed by a template and looks like ``\\ue000nonce-name\\ue001``. The nonce is of this process, so that no text from
outside can be a reference; what outlives the process has the names instead (``named``). References of mappings carry the key
(``name/key``), derived values carry the derivation (``name|sha256-rabbit``, ``name|url``). The value is spelled for the file's format
(``scs_deploy.documents.config_formats``).
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping

from scs_deploy.documents.config_formats import FORMATS, UnfitError, url
from scs_deploy.errors import InputError

OPEN, CLOSE = f"\ue000{secrets.token_hex(8)}-", "\ue001"
_CERTIFICATE = "cert"
_PATTERN = re.compile(f"{OPEN}([^{CLOSE}]+){CLOSE}")

Resolver = Callable[[str], "str | Mapping[str, str]"]


class Reference(str):
    """A printed reference that can also be indexed: ``secret('ssh-key')['private']``."""

    __slots__ = ()

    def __getitem__(self, key: object) -> str:
        if not isinstance(key, str):
            raise TypeError("a secret is only printed, never sliced or compared")
        return reference(f"{named(self)}/{key}")

    def derived(self, derivation: str) -> Reference:
        """Return the reference of a value derived from this one."""
        return reference(named(self), derivation)


def reference(name: str, derivation: str = "") -> Reference:
    """Return the text that stands for a secret, or for a value derived from it."""
    return Reference(f"{OPEN}{name}{'|' + derivation if derivation else ''}{CLOSE}")


def certificate_name(node: str, instance: str) -> str:
    """Return the name by which an instance's certificate is referred to as a secret."""
    return f"{_CERTIFICATE}:{node}:{instance}"


def certificate_of(name: str) -> tuple[str, str] | None:
    """Return node and instance of such a name; None for any other."""
    kind, _, rest = name.partition(":")
    node, _, instance = rest.partition(":")
    return (node, instance) if kind == _CERTIFICATE else None


def find(text: str) -> Iterator[str]:
    """Yield the names (with ``/key``) of all secrets that a text refers to, whatever is derived from them."""
    return (match.group(1).partition("|")[0] for match in _PATTERN.finditer(text))


def named(text: str) -> str:
    """Return a text with the names of secrets instead of references: the same in every process."""
    return _PATTERN.sub(r"\1", str(text))


def bare(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the secrets that a text refers to as they are, each with what stands before and behind it on its line."""
    for line in text.split("\n") if OPEN in text else ():
        for match in _PATTERN.finditer(line):
            if "|" not in match.group(1):
                yield match.group(1).partition("/")[0], line[: match.start()], line[match.end() :]


def resolve(text: str, resolver: Resolver, file_format: str = "raw", where: str = "") -> str:
    """Replace every reference by its value, as the format spells it.

    Raises ``KeyError`` with the name of a secret that the resolver does not know, ``InputError`` for a value that cannot be spelled.
    """
    if OPEN not in text:
        return text

    def spelled(match: re.Match[str]) -> str:
        name, _, derivation = match.group(1).partition("|")
        try:
            return FORMATS[file_format].secret(_value(name, derivation, resolver))
        except UnfitError as error:
            raise InputError(
                f"the secret {name} cannot be written",
                where=where,
                why=str(error),
                fix="choose another one with 'scs-deploy secrets edit'",
            ) from None

    return _PATTERN.sub(spelled, text)


def _value(name: str, derivation: str, resolver: Resolver) -> str:
    name, _, key = name.partition("/")
    value = resolver(name)
    if not isinstance(value, str):
        value = value[key]
    return _DERIVATIONS[derivation](name, value) if derivation else value


def _rabbit_hash(name: str, value: str) -> str:
    """RabbitMQ's salted password hash (https://www.rabbitmq.com/docs/passwords); the salt is fixed per secret so that the
    rendered file does not change from run to run."""
    salt = hashlib.sha256(f"{name}:{value}".encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + value.encode()).digest()).decode()


_DERIVATIONS: dict[str, Callable[[str, str], str]] = {"sha256-rabbit": _rabbit_hash, "url": lambda _, value: url(value)}
