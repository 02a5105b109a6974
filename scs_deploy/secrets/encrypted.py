"""One file that Ansible Vault encrypts as a whole, read and written so that a crash at any moment loses nothing."""

from __future__ import annotations

import hashlib
import hmac
import os
from binascii import unhexlify
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from scs_deploy.errors import InputError
from scs_deploy.machine.files import write_atomic
from scs_deploy.secrets import value

_HEADER = b"$ANSIBLE_VAULT"
_ROUNDS, _KEY, _BLOCK = 10_000, 32, 16
"""Iterations of PBKDF2, bytes of each key and of a block of AES, as in the format AES256 of Ansible Vault 1.1 and 1.2."""


class EncryptedFile:
    """A mapping of names to values behind a password; ``ansible-vault view`` opens the same file."""

    def __init__(self, path: Path, password: str) -> None:
        self.path = path.resolve()  # a symbolic link stays one when the file is replaced
        self._password = password.encode()

    def __repr__(self) -> str:
        return f"EncryptedFile({str(self.path)!r})"

    def exists(self) -> bool:
        return self.path.exists()

    def fingerprint(self) -> bytes:
        """The encrypted bytes, to notice that somebody else wrote meanwhile; empty if there is no file."""
        return self._bytes() if self.exists() else b""

    def read(self) -> dict[str, value.Value]:
        """Return the clear values; raises ``InputError`` for a wrong password or a file that is damaged or no vault."""
        return value.load(self.text(), str(self.path))

    def text(self) -> str:
        data = self._bytes()
        if not data.startswith(_HEADER):
            raise InputError(
                "is not encrypted by Ansible Vault",
                where=str(self.path),
                why="its first line does not start with $ANSIBLE_VAULT",
                fix="restore it from version control, or encrypt it: ansible-vault encrypt --vault-password-file FILE",
            )
        try:
            return _decrypted(data, self._password).decode("utf-8")
        except ValueError:
            pass
        raise InputError(
            "cannot be decrypted",
            where=str(self.path),
            why="the password is wrong, or the file is damaged",
            fix="give the right password (--vault-password-file), or restore the file from version control",
        )

    def write(self, values: Mapping[str, value.Value]) -> None:
        """Encrypt and replace the file at once, mode 0600."""
        # Imported here: ansible takes longer than all else that a plan imports.
        from ansible.parsing.vault import VaultLib, VaultSecret

        salt = os.urandom(32)  # never the fixed salt that ansible.cfg may set
        data = VaultLib().encrypt(value.dump(values), secret=VaultSecret(self._password), salt=salt)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(self.path, data)

    def _bytes(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            raise InputError(
                "cannot be read",
                where=str(self.path),
                why=error.strerror or "",
                fix="run 'scs-deploy secrets init'" if missing else "make it readable for yourself",
            ) from error


def _decrypted(data: bytes, password: bytes) -> bytes:
    """Read what Ansible Vault writes, without it: importing ansible costs every plan an eighth of its time.

    Raises ``ValueError`` for another password and for what is not whole.
    """
    header, *lines = data.splitlines()
    if header.rstrip().split(b";")[2:3] != [b"AES256"]:
        raise ValueError("not of a known format")
    salt, digest, content = (unhexlify(part) for part in unhexlify(b"".join(lines)).split(b"\n"))
    derived = hashlib.pbkdf2_hmac("sha256", password, salt, _ROUNDS, 2 * _KEY + _BLOCK)
    key, check, counter = derived[:_KEY], derived[_KEY : 2 * _KEY], derived[2 * _KEY :]
    if not hmac.compare_digest(hmac.digest(check, content, "sha256"), digest):
        raise ValueError("not encrypted with this password, or not whole")
    decryptor, unpadder = Cipher(algorithms.AES(key), modes.CTR(counter)).decryptor(), PKCS7(8 * _BLOCK).unpadder()
    padded = decryptor.update(content) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize()
