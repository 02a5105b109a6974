"""The balancer as its clients and its operator see it."""

from __future__ import annotations

from typing import Any

SOCKET = "/run/scs-deploy/haproxy/admin.sock"


def _api_address(host: Any) -> str:
    return str(host.check_output("getent ahosts $(hostname)").split()[0])


def test_runs_and_comes_back_at_boot(host: Any) -> None:
    assert host.service("haproxy").is_running


def test_metrics_are_offered_over_tls_only(host: Any) -> None:
    address = _api_address(host)
    ca = "/etc/scs-deploy/haproxy/etc/scs-tls/ca.pem"
    assert "haproxy_process" in host.check_output(f"curl -sf --cacert {ca} https://{address}:9101/metrics")
    assert host.run(f"curl -sf http://{address}:9101/metrics").rc != 0


def test_old_tls_is_refused(host: Any) -> None:
    ca = "/etc/scs-deploy/haproxy/etc/scs-tls/ca.pem"
    assert host.run(f"curl -sf --tls-max 1.1 --cacert {ca} https://{_api_address(host)}:9101/metrics").rc != 0


def test_admin_socket_is_for_root_and_haproxy_only(host: Any) -> None:
    assert host.file(SOCKET).mode == 0o600


def test_does_not_run_as_root(host: Any) -> None:
    assert {process.user for process in host.process.filter(comm="haproxy")} != {"root"}
