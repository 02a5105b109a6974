"""Connections to a cloud whose names no DNS server knows, against a TLS server on loopback; files of images."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from regions import BASE, parse

from scs_deploy.cloud import imagefile
from scs_deploy.cloud.access import explained, http_session, vip_names
from scs_deploy.cloud.spec import ImageSection
from scs_deploy.errors import DeployError
from scs_deploy.secrets import pki


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    silent = 0
    """How many requests more end without a word, as a load balancer does that finds its server gone."""
    hosts: tuple[str, ...] = ()

    def _answer(self) -> None:
        Api.hosts = (*Api.hosts, self.headers["Host"])
        if Api.silent:
            Api.silent -= 1
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_DELETE = do_POST = _answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    folder = tmp_path_factory.mktemp("tls")
    authority = pki.Authority.create("t", pki.utc_now())
    made = authority.issue(pki.CertificateRequest("haproxy", ("api.t.test",), ()), pki.utc_now())
    (folder / "bundle.pem").write_text(made.cert_pem + made.key_pem)
    (folder / "ca.pem").write_text(authority.cert_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "bundle.pem")
    found = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    found.socket = context.wrap_socket(found.socket, server_side=True)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found.server_port, folder / "ca.pem"
    found.shutdown()
    found.server_close()


def test_a_name_leads_to_its_address_and_the_certificate_is_verified_against_the_name(server: tuple[int, Path]) -> None:
    port, ca = server
    session = http_session({"api.t.test": "127.0.0.1", "api.else.test": "127.0.0.1"}, ca)
    assert session.get(f"https://api.t.test:{port}/v3").text == "ok"
    assert Api.hosts[-1] == f"api.t.test:{port}"
    with pytest.raises(DeployError) as caught, explained("no answer", "there"):
        session.get(f"https://api.else.test:{port}/v3", timeout=5)
    assert "api.else.test" in caught.value.why
    session.close()


def test_a_connection_closed_without_a_word_is_asked_again_but_nothing_is_made_twice(server: tuple[int, Path]) -> None:
    port, ca = server
    session = http_session({"api.t.test": "127.0.0.1"}, ca)
    Api.silent = 1
    assert session.delete(f"https://api.t.test:{port}/v3/projects/1").text == "ok"
    Api.silent = 1
    with pytest.raises(DeployError), explained("no answer"):
        session.post(f"https://api.t.test:{port}/v3/projects")
    session.close()


def test_the_names_come_from_the_region_file() -> None:
    region = parse(BASE)
    names = vip_names(region)
    assert set(names) == {f"api.{region.domain}", f"api-int.{region.domain}"}
    assert names[f"api.{region.domain}"] == str(region.networks["public"].vip)


def image(**more: Any) -> ImageSection:
    given = {"name": "x", "format": "raw", "min_disk": 1, "min_ram": 64, "os_distro": "d", "os_version": "1"}
    return ImageSection.model_validate({**given, "description": "d", **more})


def test_a_local_file_is_checked_against_its_checksum_and_its_size(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"disk")
    right = imagefile.checksum(image(file="a.raw"), tmp_path)
    assert right.startswith("sha256:")
    assert imagefile.ready(image(file="a.raw", checksum=right), tmp_path).path == tmp_path / "a.raw"
    with pytest.raises(DeployError, match="does not match"):
        imagefile.ready(image(file="a.raw", checksum=f"sha256:{'0' * 64}"), tmp_path)
    with (tmp_path / "big.raw").open("wb") as stream:
        stream.truncate((1 << 30) + 1)
    with pytest.raises(DeployError) as caught:
        imagefile.ready(image(file="big.raw"), tmp_path)
    assert "min_disk: 2" in caught.value.fix
    with pytest.raises(DeployError, match="is missing"):
        imagefile.checksum(image(file="none.raw"), tmp_path)


@pytest.mark.parametrize(
    ("listed", "kind"),
    [
        (f"{'b' * 64} *other.img\n{'a' * 64} *disk.img\n", "sha256"),
        (f"{'b' * 128}  disk.img.json\n{'a' * 128}  disk.img\n", "sha512"),
        (f"SHA256 (disk.img) = {'a' * 64}\n", "sha256"),
    ],
)
def test_the_publishers_list_of_checksums_is_read(monkeypatch: pytest.MonkeyPatch, listed: str, kind: str) -> None:
    class Answer:
        text = listed

    monkeypatch.setattr(imagefile, "_get", lambda url: Answer)
    wanted = image(url="https://x.test/disk.img", checksum_url="https://x.test/SHA256SUMS")
    assert imagefile.checksum(wanted, Path()) == f"{kind}:{'a' * (64 if kind == 'sha256' else 128)}"
    with pytest.raises(DeployError, match="the checksum is not there"):
        imagefile.checksum(wanted.model_copy(update={"url": "https://x.test/gone.img"}), Path())
