"""Object storage as today's clients use it: boto3 with its default settings, against the public endpoint."""

from __future__ import annotations

import io
import os
import socket
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from proofs.deployment import Cloud
from scs_deploy.cloud import credentials
from scs_deploy.cloud.access import Access
from scs_deploy.operations import plan, values
from scs_deploy.secrets import Preview
from scs_deploy.secrets.placeholders import resolve

MIB = 1 << 20
KEYS = (
    "plain",
    "with blank",
    "plus+sign",
    "per%20cent",
    "a&b=c?d#e;f",
    "slash//twice/",
    "dots/../up/./here",
    "quotes'\"`",
    "Grüße/中文/😀",
    "k" * 1024,
)


@pytest.fixture(scope="module")
def access(cloud: Cloud) -> Iterator[Access]:
    site = cloud.site
    with Access(site.region, credentials.login(site.region, site.catalogue, cloud.vault)) as found:
        yield found


@pytest.fixture(scope="module")
def s3(access: Access) -> Iterator[Any]:
    """A client of boto3 that is told what it cannot know: endpoint, keys, and our CA. Names resolve as a region's DNS would."""
    user, resolve = access.admin(), socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        return resolve(access.names.get(host, host), *arguments, **options)

    path = f"/users/{user.user_id}/credentials/OS-EC2"
    pair = user.api.identity.post(path, json={"tenant_id": user.project_id}).json()["credential"]
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield boto3.client(
            "s3",
            endpoint_url=user.endpoint("object-store-s3"),
            aws_access_key_id=pair["access"],
            aws_secret_access_key=pair["secret"],
            verify=str(access.ca),
        )
    user.api.identity.delete(f"{path}/{pair['access']}")


@pytest.fixture
def bucket(s3: Any) -> Iterator[str]:
    name = f"clients-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    yield name
    found = s3.list_object_versions(Bucket=name)
    for one in (*found.get("Versions", ()), *found.get("DeleteMarkers", ())):
        s3.delete_object(Bucket=name, Key=one["Key"], VersionId=one["VersionId"])
    s3.delete_bucket(Bucket=name)


def test_an_object_is_put_with_a_checksum_that_is_kept(s3: Any, bucket: str) -> None:
    data = os.urandom(MIB)
    put = s3.put_object(Bucket=bucket, Key="object", Body=data)
    got = s3.get_object(Bucket=bucket, Key="object")
    assert got["Body"].read() == data  # which is held against the checksum, where there is one
    assert [key for key in put if key.startswith("Checksum")], "the gateway said nothing of the client's checksum"
    s3.put_object(Bucket=bucket, Key="stream", Body=io.BytesIO(data))
    assert s3.get_object(Bucket=bucket, Key="stream")["Body"].read() == data


def test_a_large_object_goes_up_and_down_in_parts(s3: Any, bucket: str, tmp_path: Path) -> None:
    data = os.urandom(30 * MIB)
    (tmp_path / "up").write_bytes(data)
    s3.upload_file(str(tmp_path / "up"), bucket, "large")
    assert "-" in s3.head_object(Bucket=bucket, Key="large")["ETag"], "it was not sent in parts"
    s3.download_file(bucket, "large", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data


def test_parts_are_copied(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="from", Body=b"x" * MIB)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="to")["UploadId"]
    about = {"Bucket": bucket, "Key": "to", "UploadId": upload}
    part = s3.upload_part_copy(**about, PartNumber=1, CopySource={"Bucket": bucket, "Key": "from"})["CopyPartResult"]
    s3.complete_multipart_upload(**about, MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]})
    assert s3.head_object(Bucket=bucket, Key="to")["ContentLength"] == MIB


def test_keys_of_every_kind_come_back_as_they_were(s3: Any, bucket: str) -> None:
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert sorted(one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]) == sorted(KEYS)
    for key in KEYS:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in KEYS]})
    assert sorted(one["Key"] for one in gone["Deleted"]) == sorted(KEYS)


def test_presigned_addresses_work_without_credentials(s3: Any, bucket: str, access: Access) -> None:
    about, trust = {"Bucket": bucket, "Key": "shared file"}, str(access.ca)
    sent = requests.put(s3.generate_presigned_url("put_object", about), data=b"data", verify=trust, timeout=30)
    assert sent.status_code == 200, sent.text
    address = s3.generate_presigned_url("get_object", about)
    assert requests.get(address, verify=trust, timeout=30).content == b"data"
    assert requests.get(address.replace("shared", "other"), verify=trust, timeout=30).status_code == 403
    assert requests.get(address.partition("?")[0], verify=trust, timeout=30).status_code in (403, 404)


def test_no_account_but_the_gateways_reads_the_keys_of_others(cloud: Cloud, access: Access) -> None:
    """Of the services' accounts, those that are no administrators: administrators may read all that Keystone has."""
    site, user = cloud.site, access.admin()
    desired = plan.desired(site, cloud.store, Preview(cloud.vault, site.secrets))
    resolver = values.resolver(site.region, cloud.vault, desired)
    items = [item for item in desired.items if item.owner == "keystone"]
    roles = defaultdict(set)
    for item in items:
        if item.kind == "role_assignment" and item.attrs["project"] == "service":
            roles[item.attrs["user"]].add(item.attrs["role"])
    accounts = {
        item.name: resolve(item.secret, resolver)
        for item in items
        if item.kind == "user" and item.name in roles and "admin" not in roles[item.name]
    }
    assert len(accounts) > 1
    path = f"/users/{user.user_id}/credentials/OS-EC2"
    made = user.api.identity.post(path, json={"tenant_id": user.project_id}).json()["credential"]
    try:
        told = {
            name: access.user(name, password, "service")
            .session.get(f"{user.endpoint('identity')}{path}/{made['access']}", raise_exc=False)
            .status_code
            for name, password in accounts.items()
        }
    finally:
        user.api.identity.delete(f"{path}/{made['access']}")
    assert told.pop(cloud.login_name("ceph-rgw", "ceph-rgw-keystone")) == 200
    assert set(told.values()) == {403}, told


def test_versions_of_an_object_are_kept(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first, second = (s3.put_object(Bucket=bucket, Key="object", Body=body)["VersionId"] for body in (b"1", b"2"))
    s3.delete_object(Bucket=bucket, Key="object")
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="object")
    assert s3.get_object(Bucket=bucket, Key="object", VersionId=first)["Body"].read() == b"1"
    found = s3.list_object_versions(Bucket=bucket)
    assert {one["VersionId"] for one in found["Versions"]} == {first, second}
    assert len(found["DeleteMarkers"]) == 1


def test_a_lifecycle_is_kept(s3: Any, bucket: str) -> None:
    rule = {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    (kept,) = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert {key: kept[key] for key in ("ID", "Status", "Expiration")} == {
        key: rule[key] for key in ("ID", "Status", "Expiration")
    }
    assert kept.get("Filter", {}).get("Prefix", kept.get("Prefix")) == "old/"
    s3.delete_bucket_lifecycle(Bucket=bucket)
