"""Just enough of S3 to prove it: signed requests (AWS Signature Version 4) for buckets and objects.

By hand, since botocore would bring 14 MB for one page of arithmetic that has not changed since 2012; a test holds it against
the published example.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as Xml

from scs_deploy.errors import DeployError

SERVICE = "s3"


class S3:
    """A user's view of an object store; ``http`` is a requests session."""

    def __init__(self, http: Any, url: str, access: str, secret: str, region: str = "us-east-1") -> None:
        self._http, self._url, self._access, self._secret, self._region = http, url.rstrip("/"), access, secret, region

    def call(self, method: str, path: str, body: bytes = b"") -> Any:
        """One request; raises ``DeployError`` with the server's code and message."""
        url = f"{self._url}{quote(path)}"
        headers = sign(method, url, {}, body, datetime.now(UTC), self._access, self._secret, self._region)
        answer = self._http.request(method, url, data=body, headers=headers, timeout=60)
        if answer.status_code >= 300:
            why = f"HTTP {answer.status_code}: {_message(answer.text)}"
            raise DeployError(f"object store: {method} {path} was refused", where=url, why=why)
        return answer

    def buckets(self) -> list[str]:
        return _texts(self.call("GET", "/").text, "Name")

    def objects(self, bucket: str) -> list[str]:
        return _texts(self.call("GET", f"/{bucket}").text, "Key")

    def remove_bucket(self, bucket: str) -> None:
        for key in self.objects(bucket):
            self.call("DELETE", f"/{bucket}/{key}")
        self.call("DELETE", f"/{bucket}")


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    access: str,
    secret: str,
    region: str,
) -> dict[str, str]:
    """The headers of a request with its signature. The path of ``url`` is already quoted; its query must be empty."""
    parts = urlsplit(url)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    digest = hashlib.sha256(body).hexdigest()
    all_headers = {**headers, "Host": parts.netloc, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    ordered = sorted((name.lower(), value.strip()) for name, value in all_headers.items())
    names = ";".join(name for name, _ in ordered)
    canonical = "\n".join(
        [method, parts.path or "/", parts.query, *(f"{name}:{value}" for name, value in ordered), "", names, digest]
    )
    scope = f"{day}/{region}/{SERVICE}/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in (day, region, SERVICE, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}".encode(), "sha256").hex()
    all_headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access}/{scope},SignedHeaders={names},Signature={signature}"
    )
    return all_headers


def _message(text: str) -> str:
    return ": ".join(_texts(text, "Code") + _texts(text, "Message")) or text[:200]


def _texts(text: str, tag: str) -> list[str]:
    try:
        root = Xml.fromstring(text)  # noqa: S314 - from our own object store
    except Xml.ParseError:
        return []
    return [str(one.text) for one in root.iter() if one.tag.rpartition("}")[2] == tag and one.text]
