"""Objects by S3, with credentials that the user makes; and a secret in the key manager."""

from __future__ import annotations

import secrets

from scs_deploy.cloud.access import CloudApi
from scs_deploy.errors import DeployError
from scs_deploy.smoke.bench import Bench
from scs_deploy.smoke.s3 import S3
from scs_deploy.smoke.steps import SmokeStep

KIND = "passphrase"


def objects(bench: Bench) -> str:
    store, bucket = client(bench.cloud), bench.name("bucket")
    data = secrets.token_bytes(1 << 20)
    store.call("PUT", f"/{bucket}")
    store.call("PUT", f"/{bucket}/object", data)
    got = store.call("GET", f"/{bucket}/object").content
    if got != data:
        raise DeployError("the object store gave back other data", where=f"{bucket}/object", why=f"{len(got)} bytes")
    if bucket not in store.buckets():
        raise DeployError("the bucket is not in the list of buckets", where=bucket)
    store.remove_bucket(bucket)
    return "1 MiB put, got and deleted"


def secret(bench: Bench) -> str:
    api, payload = bench.api.key_manager, secrets.token_hex(16)
    made = api.create_secret(
        name=bench.name("secret"), payload=payload, payload_content_type="text/plain", secret_type=KIND
    )
    number = str(made.secret_ref or made.id).rpartition("/")[2]
    got = api.get(f"/secrets/{number}/payload", headers={"Accept": "text/plain"})
    got.raise_for_status()
    if got.text != payload:
        raise DeployError("the key manager gave back another secret", where=number)
    api.delete(f"/secrets/{number}").raise_for_status()
    return "stored, read and deleted"


def client(cloud: CloudApi) -> S3:
    """S3 as this user, with EC2 credentials: those it has, else new ones."""
    path = f"/users/{cloud.user_id}/credentials/OS-EC2"
    found = [one for one in _listed(cloud) if one["tenant_id"] == cloud.project_id]
    if not found:
        answer = cloud.api.identity.post(path, json={"tenant_id": cloud.project_id})
        answer.raise_for_status()
        found = [answer.json()["credential"]]
    url = cloud.endpoint("object-store-s3")
    return S3(cloud.http, url, found[0]["access"], found[0]["secret"])


def forget(cloud: CloudApi) -> None:
    """Delete the user's EC2 credentials."""
    for one in _listed(cloud):
        cloud.api.identity.delete(f"/users/{cloud.user_id}/credentials/OS-EC2/{one['access']}").raise_for_status()


def _listed(cloud: CloudApi) -> list[dict[str, str]]:
    answer = cloud.api.identity.get(f"/users/{cloud.user_id}/credentials/OS-EC2")
    answer.raise_for_status()
    found: list[dict[str, str]] = answer.json()["credentials"]
    return found


STEPS = (
    SmokeStep("s3", "S3: put and get", objects, ("login",), ("object-store-s3",)),
    SmokeStep("secret", "secret in the key manager", secret, ("login",), ("key-manager",)),
)
