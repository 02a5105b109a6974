"""The dashboard in a real browser, over TLS: login, a server and its screen, and a picture of each page that stays."""

from __future__ import annotations

import base64
import hashlib
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Page, expect, sync_playwright

from proofs.deployment import REPOSITORY, Cloud

PICTURES = REPOSITORY / ".state" / "tests" / "pictures"
PATIENCE = 60_000
"""Milliseconds for a page: the machine may be busy with servers."""


@pytest.fixture(scope="module")
def page(cloud: Cloud, tmp_path_factory: Any) -> Iterator[Page]:
    """A page of Debian's Chromium that knows the region's name and trusts one key: that of the certificate checked here."""
    topology = cloud.site.topology
    name, address = topology.vip_name("public"), topology.vip("public")
    arguments = [
        f"--host-resolver-rules=MAP {name} {address}",
        f"--ignore-certificate-errors-spki-list={_pin(cloud)}",
    ]
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("browser"),
            executable_path=shutil.which("chromium"),
            args=[*arguments, "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            base_url=f"https://{name}",
            viewport={"width": 1280, "height": 900},
        )
        context.set_default_timeout(PATIENCE)
        context.set_default_navigation_timeout(PATIENCE)
        yield context.new_page()
        context.close()


def _pin(cloud: Cloud) -> str:
    """Check the certificate of the address against the region's CA and name; return its key as Chromium takes it."""
    topology = cloud.site.topology
    trust = ssl.create_default_context(cadata=cloud.vault.ca_pem)
    with (
        socket.create_connection((topology.vip("public"), 443), 30) as plain,
        trust.wrap_socket(plain, server_hostname=topology.vip_name("public")) as link,
    ):
        certificate = x509.load_der_x509_certificate(link.getpeercert(True) or b"")
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


def _keep(page: Page, name: str) -> Path:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"horizon-{name}.png", full_page=True)
    return PICTURES / f"horizon-{name}.png"


def test_a_person_logs_in_over_tls(page: Page, cloud: Cloud) -> None:
    page.goto("/auth/login/?next=/identity/")
    _keep(page, "login")
    page.fill("#id_domain", "Default")
    page.fill("#id_username", "admin")
    page.fill("#id_password", str(cloud.vault.get("keystone-admin")))
    page.click("#loginBtn")
    page.wait_for_url("**/identity/**")
    expect(page.locator("body")).to_contain_text("service")
    assert _keep(page, "projects").stat().st_size > 10_000


def test_the_server_is_there_and_its_screen_is_shown(page: Page, smoke: dict[str, Any]) -> None:
    assert smoke["address"], "a server runs"
    page.goto("/admin/instances/")
    table = page.locator("#instances")
    expect(table).to_contain_text("Running")
    _keep(page, "servers")
    table.locator("tbody a[href*='/instances/']").first.click()
    page.locator("a[data-target$='__console']").click()
    screen = page.frame_locator("#console_embed")
    expect(screen.locator("canvas")).to_be_visible(timeout=PATIENCE)
    expect(screen.get_by_text("Connected to")).to_be_visible(timeout=PATIENCE)
    _keep(page, "console")
