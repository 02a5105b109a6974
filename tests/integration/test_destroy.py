"""Last, because it ends the deployment: destroy leaves nothing of ours, and everything can be made again."""

from __future__ import annotations

import json

from proofs.deployment import Cloud, until


def test_destroy_and_again(cloud: Cloud) -> None:
    cloud.run("destroy", "--yes", code=0)
    assert cloud.on_node("podman ps --all --quiet") == ""
    assert cloud.on_node("find /etc/scs-deploy /etc/containers/systemd -type f") == ""
    assert cloud.on_node("find /var/lib/scs-deploy/data/mariadb -type d -name keystone"), "data is kept without --purge"

    squatter = f"import socket, time; s = socket.create_server(('{cloud.lab.address('n1')}', 3306)); time.sleep(600)"
    cloud.on_node(f'systemd-run --unit=squatter python3 -c "{squatter}"')
    until(lambda: cloud.on_node("ss -Hltn sport = :3306"), "the port is taken")
    taken = cloud.run("preflight", "--json", code=1)
    assert [one for one in json.loads(taken.stdout) if "3306" in one["what"] and one["severity"] == "error"]
    cloud.on_node("systemctl stop squatter")
    cloud.run("preflight", code=0)

    cloud.apply()
    cloud.assert_settled()
    cloud.run("prove", code=0)

    cloud.run("destroy", "--yes", "--purge", code=0)
    assert cloud.on_node("find /var/lib/scs-deploy/data -mindepth 1") == ""
    assert (
        cloud.on_node("find /etc /usr/lib/systemd -name '*scs-deploy*' -o -name 'scs-firewall*' | sort")
        == "/etc/scs-deploy"
    )
    assert "nothing to do" in cloud.run("destroy", "--yes", code=0).stdout
    units = cloud.on_node("systemctl list-units --all --plain --no-legend '*keystone*' '*mariadb*' '*memcached*'")
    assert units == ""
