"""What an override says is what oslo.config reads, byte for byte, or it is refused; it never becomes another option or section."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from oslo_config import cfg

from scs_deploy.catalogue.setting_formats import FORMATS as SETTING_FORMATS
from scs_deploy.documents.config_formats import FORMATS, UnfitError, url
from scs_deploy.errors import InputError
from scs_deploy.region.overrides import merge
from scs_deploy.region.services import Override

TEMPLATE = (
    "# head\n[DEFAULT]\nname = old\nlist = 1\nlist = 2\nother = stays\n\n[api]\nauth_strategy = keystone\nname = x\n"
)
NASTY = [
    "cpu=1.0\n[api]\nauth_strategy = noauth2",
    "p@ss/w#rd%41$x",
    "$other",
    "${other}",
    "$$",
    "a\\b",
    " leading",
    "trailing ",
    "\u00a0blank\u2003",
    "[api]",
    "# no comment",
    "; no comment",
    "'",
    '"',
    "'quoted'",
    '"quoted"',
    '"a\' "',
    "= x",
    "%(name)s",
    "größer ✓ 😀",
    "one\ntwo\n[three]",
    "\nsecond",
    "a\u2028b\u0085c",
    "",
]
TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text("ab= :#;[]$%{}()\\\"'\n\t\r\x00\x0b\x1c\u0085\u2028é", max_size=12),
    st.text(max_size=8),
)
NAMES = st.text(string.ascii_lowercase + string.digits + "_-", min_size=1, max_size=8)
OPTIONS = [cfg.StrOpt("name"), cfg.MultiStrOpt("list"), cfg.StrOpt("other")]


def read(text: str, folder: Path, section: str = "DEFAULT") -> cfg.ConfigOpts:
    """What the service gets: parsed, substituted and converted."""
    path = folder / "service.conf"
    path.write_text(text, encoding="utf-8", newline="")
    conf = cfg.ConfigOpts()
    conf.register_opts(OPTIONS, None if section == "DEFAULT" else section)
    conf.register_opt(cfg.StrOpt("auth_strategy"), "api")
    conf(["--config-file", str(path)], project="x")
    return conf


def every(test):
    for one in NASTY:
        test = example(one=one)(test)
    return settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])(
        given(one=TEXTS)(test)
    )


@every
def test_oslo_config_reads_the_value_that_was_given(tmp_path: Path, one: str) -> None:
    override = Override(options={"DEFAULT": {"name": one}})
    try:
        text = merge(TEMPLATE, "ini", override, "x")
    except InputError:
        assert re.search(
            r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ue000\ue001]|\\\$|\n([^\S\n]|$|\n)|[^\S\n]\n|[^\S\n]$", one
        )
        return
    conf = read(text, tmp_path)
    assert conf.name == one
    assert (conf.list, conf.other, conf.api.auth_strategy) == (["1", "2"], "stays", "keystone")
    assert merge(text, "ini", override, "x") == text


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(TEXTS, max_size=4), section=NAMES)
def test_oslo_config_reads_repeated_options_in_their_order(tmp_path: Path, values: list[str], section: str) -> None:
    try:
        text = merge(TEMPLATE, "ini", Override(options={section: {"list": values}}), "x")
    except InputError:
        return
    if section != "api":
        assert (read(text, tmp_path, section)[section].list or []) == values


@given(section=st.text(max_size=6), name=st.text(max_size=6))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(section="x]\n[api", name="auth_strategy")
@example(section="x", name="a = 1\n[api]\nauth_strategy")
@example(section="x", name="[api]")
@example(section="x", name="#a")
def test_names_cannot_become_anything_else(tmp_path: Path, section: str, name: str) -> None:
    try:
        text = merge(TEMPLATE, "ini", Override(options={section: {name: "noauth2"}}), "x")
    except InputError:
        return
    if section != "api":
        assert read(text, tmp_path).api.auth_strategy == "keystone"


def test_a_section_that_stands_twice_has_an_option_once(tmp_path: Path) -> None:
    text = merge(
        "[api]\nname = a\n\n[DEFAULT]\n[api]\nname = b\n", "ini", Override(options={"api": {"name": "c"}}), "x"
    )
    assert text == "[api]\nname = c\n\n[DEFAULT]\n[api]\n"
    assert read(text, tmp_path, "api").api.name == "c"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ini", "a\\$b"),
        ("ini", "a\n\nb"),
        ("ini", "a\n b"),
        ("ini", "nul\0"),
        ("ini", "\ue000ca-key\ue001"),
        ("uwsgi", "%v"),
        ("uwsgi", "$(HOME)"),
        ("uwsgi", "@(/etc/shadow)"),
        ("uwsgi", "a\nb"),
        ("uwsgi", "goes on\\"),
        ("ceph", "a # b"),
        ("ceph", "$name"),
        ("ceph", "${name}"),
        ("ceph", 'say "x"'),
        ("ceph", "a\nb"),
        ("ceph", " lead"),
        ("my", "nul\0"),
    ],
)
def test_what_a_format_cannot_say_is_refused_without_telling_the_value(name: str, value: str) -> None:
    with pytest.raises(UnfitError) as error:
        FORMATS[name].secret(value)
    assert value not in str(error.value)


@given(st.text(max_size=12))
@example("p@ss/w#rd%41$x")
def test_a_part_of_a_url_needs_no_more_quoting(value: str) -> None:
    spelled = url(value.encode(errors="ignore").decode())
    assert {FORMATS[name].secret(spelled) for name in ("ini", "json", "yaml", "python", "raw")} == {spelled}


@pytest.mark.parametrize("value", ["fe80::%x accept; y", "fe80::%x }/64", "10.0.0.0/8\n", "10.0.0.1; accept"])
def test_what_is_more_than_a_network_is_no_cidr(value: str) -> None:
    assert not SETTING_FORMATS.conforms(value, "cidr")
    assert SETTING_FORMATS.conforms("fd00::/64", "cidr")


@pytest.mark.parametrize("value", ["^(?=.*[0-9])(?=.*[a-z]).{12,}$", "^.{8,}[^$]*$", ""])
def test_a_pattern_of_passwords_reaches_its_reader(value: str, tmp_path: Path) -> None:
    assert SETTING_FORMATS.conforms(value, "password-pattern")
    written = value.replace("$", "$$")  # as keystone.conf does
    assert read(f"[DEFAULT]\nname = {written}\n", tmp_path).name == value


@pytest.mark.parametrize("value", ["(", r"^.*\$", r"^(?=.*[!-/]).{12,}$", "^.{8,16}$"])
def test_a_pattern_that_refuses_passwords_of_services_or_would_not_arrive_is_refused(value: str) -> None:
    assert not SETTING_FORMATS.conforms(value, "password-pattern")
