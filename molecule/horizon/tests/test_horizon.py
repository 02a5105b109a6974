"""The dashboard as a browser meets it: static files, a login over TLS, and cookies that nobody else gets."""

from __future__ import annotations

import re
import ssl
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from typing import Any

import pytest

_FIELD = re.compile(r"<input\b[^>]*>")
_ATTRIBUTE = re.compile(r'(name|value)="([^"]*)"')


class Browser:
    """Keeps cookies, follows redirections, and trusts the region's CA alone."""

    def __init__(self, ca: str, base: str) -> None:
        self.base, self.cookies = base, CookieJar()
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cadata=ca))
        self._opener = urllib.request.build_opener(tls, urllib.request.HTTPCookieProcessor(self.cookies))

    def get(self, path: str, data: dict[str, str] | None = None) -> Any:
        request = urllib.request.Request(self.base + path, headers={"Referer": self.base + path})  # noqa: S310
        return self._opener.open(request, urllib.parse.urlencode(data).encode() if data else None, timeout=60)

    def log_in(self, password: str) -> Any:
        page = self.get("/auth/login/").read().decode()
        fields = [dict(_ATTRIBUTE.findall(field)) for field in _FIELD.findall(page)]
        form = {one["name"]: one.get("value", "") for one in fields if "name" in one}
        return self.get(
            "/auth/login/",
            form | {"username": "admin", "password": password, "domain": "Default", "next": "/identity/"},
        )


@pytest.fixture
def browser(site: Any, vault: Any) -> Browser:
    return Browser(vault.ca_pem, f"https://{site.topology.vip('public')}")


def test_login_page_brings_its_style_sheets(browser: Browser) -> None:
    page = browser.get("/auth/login/").read().decode()
    sheets = re.findall(r'href="(/static/[^"]+\.css)"', page)
    assert sheets
    for sheet in sheets:
        answer = browser.get(sheet)
        assert answer.status == 200
        assert len(answer.read()) > 1000


def test_the_administrator_logs_in_and_sees_the_projects(browser: Browser, vault: Any) -> None:
    browser.log_in(str(vault.get("keystone-admin")))
    page = browser.get("/identity/").read().decode()
    assert "Log Out" in page or "Sign Out" in page
    assert ">service<" in page, "the project service is listed"


def test_a_wrong_password_does_not(browser: Browser) -> None:
    answer = browser.log_in("wrong")
    assert answer.url.endswith("/auth/login/")
    assert "Invalid credentials" in answer.read().decode()


def test_cookies_are_for_this_site_over_tls_only(browser: Browser, vault: Any) -> None:
    browser.log_in(str(vault.get("keystone-admin")))
    cookies = {cookie.name: cookie for cookie in browser.cookies}
    assert {"sessionid", "csrftoken"} <= cookies.keys()
    assert all(cookies[name].secure for name in ("sessionid", "csrftoken"))
    assert cookies["sessionid"].has_nonstandard_attr("HttpOnly")


def test_a_session_outlives_a_restart(browser: Browser, site: Any, vault: Any, host: Any) -> None:
    browser.log_in(str(vault.get("keystone-admin")))
    host.check_output("systemctl restart horizon")
    script = "for i in $(seq 60); do curl -skfo /dev/null https://%s/auth/login/ && exit; sleep 1; done; exit 1"
    host.check_output(script % site.topology.vip("public"))
    assert not browser.get("/identity/").url.endswith("/auth/login/?next=/identity/")
