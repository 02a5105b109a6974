"""Values of any form reach the programs that are to have them: passwords, overrides, mirrors and time zones, asked of their readers."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proofs.deployment import Cloud
from scs_deploy.documents.config_formats import FORMATS
from scs_deploy.region.timezone import zones
from scs_deploy.secrets import Vault

SECRETS = ("keystone-admin", "keystone-database", "keystone-rabbitmq", "rabbitmq-admin")
PASSWORDS = ["p@ss/w#rd%41$x", "'\"\\ ${a} %(b)s,;:?&=[x]{scheme}"]
READ = """
import json, sys
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf.register_opts([cfg.StrOpt("text"), cfg.MultiStrOpt("lines")], "notes")
conf(["--config-file", "/etc/keystone/keystone.conf"], project="x")
json.dump([conf.notes.text, conf.notes.lines], sys.stdout)
"""
TEXT = "p@ss/w#rd%41$x\n[api]\nauth_strategy = noauth2 $state_path"
LINES = [" blanks ", "# none", "größer", '"quoted"']
MY = ["a#b", " blanks ", "back\\slash\\n", "'\"", "two\nlines\ttab", "größer", ""]


@contextmanager
def passwords(cloud: Cloud, value: str) -> Iterator[None]:
    """The vault with one value for several secrets, and afterwards as it was."""
    vault = Vault.open(cloud.folder)
    before = vault.values()
    vault.change(lambda values: {**values, **dict.fromkeys(SECRETS, value)})
    try:
        yield
    finally:
        Vault.open(cloud.folder).change(lambda _: before)
        cloud.apply()


@pytest.mark.parametrize("value", PASSWORDS)
def test_passwords_of_any_form_work_everywhere(settled: Cloud, value: str) -> None:
    with settled.services(keystone={"settings": {"notifications": True}}):
        settled.apply()
        with passwords(settled, value):
            settled.apply()
            settled.assert_settled()
            settled.run("prove", code=0)
            settled.on_node(f"{settled.engine} exec keystone keystone-manage db_sync --check")
            name = settled.login_name("keystone", "keystone-rabbitmq")
            status = settled.on_node(
                f"{settled.engine} exec rabbitmq rabbitmqctl authenticate_user {name} {shlex.quote(value)}"
            )
            assert "Success" in status
            assert not [
                line
                for line in settled.on_node("journalctl -u keystone -b --no-pager").splitlines()
                if "ACCESS_REFUSED" in line
            ]
    settled.apply()


def test_a_password_that_cannot_be_written_is_refused_before_anything_changes(settled: Cloud) -> None:
    vault = Vault.open(settled.folder)
    before, old = settled.state()["end"], vault.values()
    vault.change(lambda values: {**values, "keystone-database": "S3CRET\nline"})
    done = settled.run("apply", "--yes")
    vault.change(lambda _: old)
    assert done.returncode == 3, done.stderr
    assert "keystone-database: cannot be used as a secret of type password" in done.stderr
    assert "S3CRET" not in done.stdout + done.stderr
    assert settled.state()["end"] == before


def test_what_an_override_says_is_what_the_service_reads(settled: Cloud) -> None:
    wanted = {"options": {"notes": {"text": TEXT, "lines": LINES}}}
    with settled.services(keystone={"config": {"/etc/keystone/keystone.conf": wanted}}):
        settled.apply("--service", "keystone")
        assert json.loads(settled.on_node(f"{settled.engine} exec -i keystone python3 -", READ)) == [TEXT, LINES]
    settled.apply()


def test_option_files_of_the_database_keep_every_value(settled: Cloud) -> None:
    """MariaDB's own reader of them, on a file of values as overrides write them."""
    spell = FORMATS["my"].value
    assert spell
    text = "[notes]\n" + "".join(f"value{number} = {spell(one)}\n" for number, one in enumerate(MY))
    script = "cat > /tmp/values.cnf && my_print_defaults --defaults-file=/tmp/values.cnf notes"
    got = settled.on_node(f"{settled.engine} exec -i mariadb sh -ec {shlex.quote(script)}", text)
    assert got == "\n".join(f"--value{number}={one}" for number, one in enumerate(MY))


def test_every_time_zone_that_is_accepted_is_on_nodes(settled: Cloud) -> None:
    missing = settled.on_node(
        "cd /usr/share/zoneinfo; while read -r zone; do [ -f $zone ] || echo $zone; done", "\n".join(zones()) + "\n"
    )
    assert missing == ""


def test_apt_goes_where_the_region_says(settled: Cloud) -> None:
    proxy = {"http": "http://proxy.example:3128", "no_proxy": ["mirror.example", "192.0.2.7"]}

    def change(region: dict) -> None:
        region |= {"mirror": "http://mirror.example/debian/", "proxy": proxy}

    with settled.edited(change):
        settled.apply("--service", "node")
        asked = settled.on_node("apt-get update --print-uris")
        archives = set(re.findall(r"^'(\S+)/dists/\S+/InRelease'", asked, re.MULTILINE))
        assert archives == {"http://mirror.example/debian", "http://mirror.example/debian-security"}
        for host, way in {"mirror.example": "DIRECT", "192.0.2.7": "DIRECT"}.items():
            assert settled.on_node(f"apt-config dump --format '%v%n' Acquire::http::Proxy::{host}") == way
        assert (
            settled.on_node("apt-config dump --format '%v%n' --no-empty Acquire::https::Proxy").split()[0]
            == proxy["http"]
        )
    settled.apply()
