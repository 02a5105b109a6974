"""Release files and the UID table: complete, free of contradictions, and the numbers stay."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from scs_deploy.catalogue import release
from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.catalogue.release import load_release
from scs_deploy.catalogue.users import UserTable
from scs_deploy.errors import InputError


def test_every_release_file_loads_and_is_named_as_its_file() -> None:
    assert release.release_names()
    for name in release.release_names():
        assert load_release(name).name == name


def test_an_unknown_release_names_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"(?s)unknown release 1999.*2025\.1"):
        load_release("1999")


NUMBERS = {
    "root": 0, "www-data": 33, "nobody": 65534,
    "ceph": 64045, "libvirt-qemu": 64055, "nova": 64060, "cinder": 64061, "glance": 64062,
    "keystone": 42401, "placement": 42402, "mysql": 42403, "memcache": 42404, "rabbitmq": 42405, "haproxy": 42406,
    "neutron": 42407, "barbican": 42408, "octavia": 42409, "designate": 42410, "heat": 42411, "manila": 42412,
    "keepalived_script": 42413, "openvswitch": 42414, "prometheus": 42415, "gnocchi": 42416, "ceilometer": 42417,
    "aodh": 42418, "cloudkitty": 42419, "keycloak": 42420, "openldap": 42421, "bind": 42422, "redis": 42423,
    "etcd": 42424, "grafana": 42425, "opensearch": 42426, "docker-registry": 42427, "swtpm": 42428, "stunnel4": 42429,
    "dnsmasq": 42430, "_chrony": 42431, "messagebus": 42432, "polkitd": 42433, "victoria-metrics": 42434,
    "epmd": 42435, "horizon": 42436, "kvm": 42301, "render": 42302, "libvirt": 42303, "tss": 42304,
}  # fmt: skip
"""Numbers that were given away once. None ever leaves or changes, for data on nodes is owned by it."""


@pytest.fixture(scope="module")
def table() -> UserTable:
    return load_catalogue([Path(__file__).parents[2] / "roles"]).users


def test_numbers_stay(table: UserTable) -> None:
    known = {name: user.uid for name, user in {**table.users, **table.retired}.items()} | table.groups
    assert known.items() >= NUMBERS.items()
    assert all(user.primary_gid == user.uid for user in table.users.values())


def test_gid_takes_groups_and_users(table: UserTable) -> None:
    assert table.gid("kvm") == table.groups["kvm"]
    assert table.gid("keystone") == table.uid("keystone")


def test_an_unknown_user_is_an_input_error(table: UserTable) -> None:
    with pytest.raises(InputError, match="no user or group named keyston "):
        table.uid("keyston")
    with pytest.raises(InputError, match="no user or group named heat "):
        table.uid("heat")


def test_a_service_brings_its_own_users_and_their_numbers_are_its_alone(tmp_path: Path) -> None:
    (tmp_path / "tea").mkdir()
    description = """\
format: 1
name: tea
summary: Tea
images: {tea: {}}
components: {tea: {group: all, image: tea, command: [brew], user: tea}}
users: {tea: {uid: 41000, groups: [pot]}}
groups: {pot: 41001}
"""
    path = tmp_path / "tea/service.yml"
    path.write_text(description)
    users = load_catalogue([tmp_path]).users
    assert (users.uid("tea"), users.gid("pot")) == (41000, 41001)
    for old, new, says in (
        ("uid: 41000", "uid: 42411", r"tea/service\.yml:6:9 users\.tea: the uid 42411 is that of heat"),
        ("pot: 41001", "pot: 41000", r"groups\.pot: the gid 41000 is that of tea"),
        ("users: {tea: {", "users: {bind: {uid: 41002}, tea: {", "there is a user or group bind already"),
        ("groups: [pot]", "groups: [pan]", r"users\.tea\.groups\[0\]: there is no group in the UID table pan"),
    ):
        path.write_text(description.replace(old, new))
        with pytest.raises(InputError, match=says):
            load_catalogue([tmp_path])


@pytest.mark.parametrize(
    ("users", "groups", "message"),
    [
        ({"a": {"uid": 1}, "b": {"uid": 1, "gid": 2}}, {}, "uid 1 is given twice"),
        ({"a": {"uid": 1}}, {"g": 1}, "gid 1 is given twice"),
        ({"a": {"uid": 1, "groups": ["x"]}}, {}, "unknown group x"),
        ({"a": {"uid": 1}}, {"a": 7}, "already the group of a user"),
    ],
)
def test_ambiguous_tables_are_refused(users: dict[str, object], groups: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        UserTable.model_validate({"format": 1, "users": users, "groups": groups})


def test_a_broken_file_is_reported_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.yml").write_text("format: 1\nname: x\nsuit: trixie\n")
    monkeypatch.setattr(release, "FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"x\.yml suit: Extra inputs"):
        load_release("x")
