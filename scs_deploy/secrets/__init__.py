"""The region's vault: generated secrets, the internal CA and all certificates, encrypted by Ansible Vault."""

from scs_deploy.secrets.preview import Preview
from scs_deploy.secrets.value import SecretValue
from scs_deploy.secrets.vault import Vault

__all__ = ["Preview", "SecretValue", "Vault"]
