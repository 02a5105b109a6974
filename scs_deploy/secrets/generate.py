"""Makes new secrets of the types that a ``service.yml`` can ask for."""

from __future__ import annotations

import base64
import secrets
import string
import struct
import time
import uuid

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scs_deploy.catalogue.service import Secret
from scs_deploy.secrets.value import SecretValue, Value

MAPPINGS = ("fernet", "ssh-key")
"""Types whose value is a mapping; the others are one text."""


def generate(name: str, wanted: Secret) -> Value:
    """Return a new value; ``name`` becomes the comment of an SSH key."""
    if wanted.type == "fernet":
        return _fernet(wanted.count)
    if wanted.type == "ssh-key":
        return _ssh_key(name)
    if wanted.type == "uuid":
        return SecretValue(uuid.uuid4())
    if wanted.type == "cephx":
        return _cephx()
    alphabet = {
        "password": string.ascii_letters + string.digits,
        "hex": string.digits + "abcdef",
        "cookie": string.ascii_uppercase,  # Erlang's own choice for ~/.erlang.cookie
    }[wanted.type]
    return SecretValue("".join(secrets.choice(alphabet) for _ in range(wanted.length)))


def _fernet(count: int) -> Value:
    """A key repository as ``keystone-manage fernet_setup`` makes it: 0 is the staged key, the highest number the primary one."""
    return {
        str(number): SecretValue(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()) for number in range(count)
    }


def _cephx() -> Value:
    """A key as Ceph makes it: type 1 (AES), seconds and nanoseconds of its birth, length, 16 random bytes."""
    key = secrets.token_bytes(16)
    return SecretValue(base64.b64encode(struct.pack("<HIIH", 1, int(time.time()), 0, len(key)) + key).decode())


def _ssh_key(name: str) -> Value:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return {"private": SecretValue(private.decode()), "public": SecretValue(f"{public.decode()} {name}\n")}
