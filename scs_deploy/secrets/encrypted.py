"""One file that Ansible Vault encrypts as a whole, read and written so that a crash at any moment loses nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from scs_deploy.errors import InputError
from scs_deploy.machine.files import write_atomic
from scs_deploy.secrets import value


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
        # Importing ansible takes half a second: only commands that open the vault pay for it.
        from ansible.errors import AnsibleError
        from ansible.parsing.vault import VaultLib, VaultSecret, is_encrypted

        data = self._bytes()
        if not is_encrypted(data):
            raise InputError(
                "is not encrypted by Ansible Vault",
                where=str(self.path),
                why="its first line does not start with $ANSIBLE_VAULT",
                fix="restore it from version control, or encrypt it: ansible-vault encrypt --vault-password-file FILE",
            )
        try:
            clear: bytes = VaultLib([("default", VaultSecret(self._password))]).decrypt(data)
            return clear.decode("utf-8")
        except (AnsibleError, UnicodeDecodeError, ValueError):
            pass
        raise InputError(
            "cannot be decrypted",
            where=str(self.path),
            why="the password is wrong, or the file is damaged",
            fix="give the right password (--vault-password-file), or restore the file from version control",
        )

    def write(self, values: Mapping[str, value.Value]) -> None:
        """Encrypt and replace the file at once, mode 0600."""
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
