"""Names of a region for commands of this machine."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from scs_deploy.lab import resolve

REGION: Any = SimpleNamespace(
    domain="t.test",
    networks={
        "api": SimpleNamespace(name="api", vip=ip_address("10.0.0.10"), vip6=ip_address("fd00::10")),
        "public": SimpleNamespace(name="public", vip=ip_address("192.0.2.10"), vip6=None),
        "tunnel": SimpleNamespace(name="tunnel", vip=None, vip6=None),
    },
    nodes=(SimpleNamespace(name="n1", addresses={"api": SimpleNamespace(first=ip_address("10.0.0.11"))}),),
)


def test_vips_have_the_names_of_their_certificates():
    assert resolve.hosts(REGION).splitlines() == [
        "10.0.0.10 api-int.t.test",
        "fd00::10 api-int.t.test",
        "192.0.2.10 api.t.test",
        "10.0.0.11 n1",
    ]


def test_the_machines_own_names_stay_known(tmp_path: Path, monkeypatch: Any):
    own = tmp_path / "own"
    own.write_text("127.0.0.1 localhost\n")
    monkeypatch.setattr(resolve, "HOSTS", own)
    command = resolve.with_names(REGION, tmp_path, ["curl", "https://api.t.test"])
    text = (tmp_path / "hosts").read_text()
    assert text.startswith("127.0.0.1 localhost\n")
    assert "192.0.2.10 api.t.test" in text
    assert command[0] == "unshare"
    assert command[-2:] == ["curl", "https://api.t.test"]
