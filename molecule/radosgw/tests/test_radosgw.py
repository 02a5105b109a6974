"""ceph-rgw on a node: objects by Swift with a token and by S3 with an EC2 credential, and nothing for strangers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from engine import ENGINE

CLIENT = r"""
import datetime, hashlib, hmac, json, ssl, sys, urllib.request
folder, identity, store = sys.argv[1:]
trust = ssl.create_default_context(cafile=f"{folder}/ceph-rgw/etc/scs-tls/ca.pem")

def call(method, url, body=None, **headers):
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers={"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, context=trust, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, {}, error.read().decode()

def s3(method, path, body=b"", access="", secret=""):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    digest, host = hashlib.sha256(body).hexdigest(), store.partition("//")[2]
    # Whatever kind the content has must be signed too, or the answer is AccessDenied (from 20.2 on).
    signed = {"content-type": "application/json", "host": host, "x-amz-content-sha256": digest, "x-amz-date": now}
    names = ";".join(signed)
    lines = "".join(f"{key}:{value}\n" for key, value in signed.items())
    canonical = f"{method}\n{path}\n\n{lines}\n{names}\n{digest}"
    scope = f"{now[:8]}/us-east-1/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = f"Credential={access}/{scope}, SignedHeaders={names}, Signature={hmac.digest(key, text.encode(), 'sha256').hex()}"
    headers = {"x_amz_date": now, "x_amz_content_sha256": digest, "Authorization": f"AWS4-HMAC-SHA256 {credential}"}
    return call(method, store + path, body or None, **headers)[::2]

password = open(f"{folder}/keystone/etc/keystone/bootstrap/admin").read().strip()
domain = {"id": "default"}
user = {"name": "admin", "domain": domain, "password": password}
scope = {"project": {"name": "admin", "domain": domain}}
asked = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
_, headers, text = call("POST", f"{identity}/v3/auth/tokens", json.dumps(asked).encode())
token = json.loads(text)["token"]
login = {"X_Auth_Token": next(value for key, value in headers.items() if key.lower() == "x-subject-token")}
swift = f"{store}/swift/v1/AUTH_{token['project']['id']}"
made = call("POST", f"{identity}/v3/users/{token['user']['id']}/credentials/OS-EC2",
            json.dumps({"tenant_id": token["project"]["id"]}).encode(), **login)[2]
pair = {key: json.loads(made)["credential"][key] for key in ("access", "secret")}
found = {
    "types": sorted(entry["type"] for entry in token["catalog"]),
    "swift": [call("PUT", f"{swift}/molecule-a", b"", **login)[0], call("PUT", f"{swift}/molecule-a/o", b"hello", **login)[0],
              call("GET", f"{swift}/molecule-a/o", **login)[2]],
    "s3": [s3("PUT", "/molecule-b", **pair)[0], s3("PUT", "/molecule-b/o", b"data", **pair)[0], s3("GET", "/molecule-b/o", **pair)[1]],
    "unknown": s3("GET", "/", access="nobody", secret="x"),
    "wrong": s3("GET", "/", **{**pair, "secret": "x"}),
    "anonymous": call("GET", f"{store}/molecule-b/o")[0],
}
for path in ("molecule-a/o", "molecule-a", "molecule-b/o", "molecule-b"):
    call("DELETE", f"{swift}/{path}", **login)
call("DELETE", f"{identity}/v3/users/{token['user']['id']}/credentials/OS-EC2/{pair['access']}", **login)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(host: Any) -> dict[str, Any]:
    if host.run(f"{ENGINE} inspect ceph-rgw").rc:
        pytest.skip("this region does not deploy ceph-rgw")
    name = host.check_output("sed -n 's/.* \\(api-int\\.[^ ]*\\).*/\\1/p' /etc/hosts").strip()
    told = host.check_output(
        "python3 -c %s /etc/scs-deploy %s %s", CLIENT, f"https://{name}:5000", f"https://{name}:6780"
    )
    answer: dict[str, Any] = json.loads(told)
    return answer


def test_both_kinds_of_object_storage_are_in_the_catalogue(found: dict[str, Any]) -> None:
    assert {"object-store", "object-store-s3"} <= set(found["types"])


def test_objects_by_swift_with_a_token(found: dict[str, Any]) -> None:
    assert found["swift"] == [201, 201, "hello"]


def test_objects_by_s3_with_an_ec2_credential(found: dict[str, Any]) -> None:
    assert found["s3"] == [200, 200, "data"]


def test_strangers_get_nothing_and_the_right_error(found: dict[str, Any]) -> None:
    assert found["unknown"][0] == found["wrong"][0] == 403
    assert found["anonymous"] in (403, 404)  # a bucket of a project has no name outside it
    assert "InvalidAccessKeyId" in found["unknown"][1]
    assert "SignatureDoesNotMatch" in found["wrong"][1]
