"""The catalogue holds every service of the search paths; names that lead nowhere are findings with file and line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from regions import FIXTURES, catalogue

from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.errors import InputError

ROLES = FIXTURES / "roles"


def test_components_belong_to_services() -> None:
    found = catalogue()
    assert sorted(found.services) == ["keystone", "mariadb", "memcached", "storage"]
    service, component = found.component("storage-daemon")
    assert (service.name, component.group) == ("storage", "storage")
    assert found.components["keystone"] == "keystone"
    assert found.folder("mariadb") == ROLES / "mariadb"
    with pytest.raises(KeyError):
        found.component("nothing")


def test_default_settings_reach_inner_objects() -> None:
    assert catalogue().default_settings("mariadb")["tuning"] == {"buffer_pool_mb": 512, "log_mb": 96}


def test_a_later_path_adds_a_service(tmp_path: Path) -> None:
    _made_up(tmp_path, "extra")
    assert "extra" in load_catalogue([ROLES, tmp_path]).services


def test_a_service_twice_is_an_error(tmp_path: Path) -> None:
    shutil.copytree(ROLES / "memcached", tmp_path / "memcached")
    with pytest.raises(InputError, match=r"memcached/service\.yml:2:7 name: the service memcached is given twice"):
        load_catalogue([ROLES, tmp_path])


def test_a_component_twice_is_an_error(tmp_path: Path) -> None:
    _made_up(tmp_path, "extra", component="memcached")
    with pytest.raises(InputError, match="the component memcached is given twice"):
        load_catalogue([ROLES, tmp_path])


@pytest.mark.parametrize(
    ("service", "old", "new", "says"),
    [
        ("keystone", "needs: [mariadb, memcached]", "needs: [mariadb, memcachd]", "did you mean memcached?"),
        ("keystone", "component: mariadb, scope", "component: maria, scope", "did you mean mariadb?"),
        ("keystone", "user: keystone", "user: keyston", "did you mean keystone?"),
        ("keystone", "image: keystone", "image: keystn", "did you mean keystone?"),
        ("keystone", "parent: openstack", "parent: openstck", "did you mean openstack?"),
        (
            "keystone",
            "kind: mariadb.database, name",
            "kind: mariadb.databas, name",
            "did you mean mariadb.database?",
        ),
        ("keystone", "resources: [mariadb.database]", "resources: [mariadb.user]", "no resource of this kind"),
        ("keystone", "networks: [api, public]", "networks: [api, publik]", "did you mean public?"),
        ("keystone", "health: {http: keystone}", "health: {http: keystonee}", "did you mean keystone?"),
        ("keystone", "template: policy.yaml.j2", "template: policy.yml.j2", "no file templates/policy.yml.j2"),
        ("keystone", "keep: true", "secret: keystone_databas", "did you mean keystone_database?"),
        ("keystone", "summary:", "sumary:", "did you mean summary?"),
        ("keystone", "minimum: 60", "minimum: low", "must be a number"),
        ("keystone", "default: 3600", "default: 30", "not allowed here"),
        ("keystone", ", description: Life of a token in seconds", "", "description is missing"),
        ("mariadb", "kinds: [database]", "kinds: [databases]", "no file resources/databases.py"),
        ("mariadb", "name: mariadb", "name: maria", "the folder is called mariadb"),
        (
            "storage",
            "x-max-failure-domains: storage-daemon",
            "x-max-failure-domains: daemon",
            "no component daemon",
        ),
        (
            "storage",
            "storage-client:",
            "storage-client:\n    beside: storage-gateway",
            "no component of this service before it storage-gateway",
        ),
        ("keystone", "networks: [api, public]", "networks: [api, public], mode: tcp", "cannot be asked by HTTP"),
        (
            "keystone",
            "networks: [api, public]",
            "networks: [api, public], check_port: keystne",
            "did you mean keystone?",
        ),
        ("storage", "network: tunnel", "network: tunel", "did you mean tunnel?"),
        ("storage", "user: ceph", "packages: [ceph]", "the key packages belongs to another kind"),
        ("storage", "group: storage", "group: storage\n    kind: hots", "did you mean host?"),
        ("mariadb", "image: mariadb", "kind: host\n    image: mariadb", "or correct kind"),
        ("storage", "tls: false, plain_reason: payload of tenants", "tls: false", "needs plain_reason"),
        ("storage", "format: 1", "format: 2", "is not known here"),
        ("storage", "format: 1", "format: 1\nformat: 1", "given twice"),
        ("storage", "summary: Storage cluster", "summary: *Storage cluster", "not valid YAML"),
    ],
)
def test_mistake(tmp_path: Path, service: str, old: str, new: str, says: str) -> None:
    shutil.copytree(ROLES, tmp_path, dirs_exist_ok=True)
    path = tmp_path / service / "service.yml"
    text = path.read_text()
    assert old in text
    line = text[: text.index(old)].count("\n") + new.count("\n") + 1
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as raised:
        load_catalogue([tmp_path])
    told = [finding for finding in raised.value.findings if finding.file == str(path) and says in str(finding)]
    assert told, str(raised.value)
    assert told[0].line == line, str(raised.value)


def test_a_job_has_the_image_of_a_container(tmp_path: Path) -> None:
    path = _made_up(tmp_path, "clock")
    path.write_text(f"{path.read_text()}jobs: [{{name: clock-set, command: [date], component: clock}}]\n")
    with pytest.raises(InputError, match="clock-set: clock has no container"):
        load_catalogue([tmp_path])


def test_mistakes_of_all_files_at_once(tmp_path: Path) -> None:
    _made_up(tmp_path, "one", component="BROKEN: [")
    _made_up(tmp_path, "two").write_text("")
    with pytest.raises(InputError) as raised:
        load_catalogue([tmp_path])
    assert {Path(finding.file).parent.name for finding in raised.value.findings} == {"one", "two"}


def _made_up(folder: Path, name: str, component: str = "") -> Path:
    path = folder / name / "service.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"format: 1\nname: {name}\nsummary: Made up\ncomponents:\n  {component or name}:\n    kind: host\n    group: all\n"
    )
    return path


OWNER = """\
offers:
  pot:
    about: A pot for somebody
    parameters: {lid: null, handles: [left], label: pot of $service}
    gives:
      settings:
        strength: {type: integer, default: 5, maximum: 9, description: Spoons}
      components:
        $service:
          group: control
          image: $service
          command: [brew, $label, --lid=$lid]
          files: [{template: memcached/templates/shared.j2, target: /etc/pot, values: {handles: $handles}}]
"""
USER = """\
format: 1
name: tea
summary: Tea
uses:
  memcached.pot: {lid: glass}
settings:
  strength: {maximum: 7}
images:
  tea: {packages: [tea]}
defaults: {user: nobody, stop: {timeout: 3}}
components:
  tea:
    files: [{template: own.j2, target: /etc/own}]
  leaf:
    group: control
    image: tea
    command: [sleep]
    stop: {timeout: 4}
    needs: [mariadb, {component: memcached, scope: same-node}]
"""


def _with_words(folder: Path, *changes: tuple[str, str]) -> list[Path]:
    shutil.copytree(ROLES, folder / "a")
    path = folder / "a/memcached/service.yml"
    (folder / "a/memcached/templates").mkdir(exist_ok=True)
    (folder / "a/memcached/templates/shared.j2").write_text("")
    (folder / "b/tea/templates").mkdir(parents=True)
    (folder / "b/tea/templates/own.j2").write_text("")
    owner, user = path.read_text() + OWNER, USER
    for old, new in changes:
        assert old in owner + user, old
        owner, user = owner.replace(old, new), user.replace(old, new)
    path.write_text(owner)
    (folder / "b/tea/service.yml").write_text(user)
    return [folder / "a", folder / "b"]


def test_a_word_is_written_out_where_it_is_used(tmp_path: Path) -> None:
    tea = load_catalogue(_with_words(tmp_path)).services["tea"]
    assert tea.needs == ("memcached",), "the owner of a word is needed"
    assert tea.settings["strength"] == {"type": "integer", "default": 5, "maximum": 7, "description": "Spoons"}
    pot = tea.components["tea"]
    assert (pot.group, pot.image, pot.command) == ("control", "tea", ("brew", "pot of tea", "--lid=glass"))
    assert [file.target for file in pot.files] == ["/etc/own", "/etc/pot"], "its own come first"
    assert pot.files[1].values == {"handles": ["left"]}


def test_defaults_are_for_what_says_nothing_else(tmp_path: Path) -> None:
    tea = load_catalogue(_with_words(tmp_path)).services["tea"]
    assert {name: (one.user, one.stop.timeout) for name, one in tea.components.items()} == {
        "tea": ("nobody", 3),
        "leaf": ("nobody", 4),
    }
    assert [(need.component, need.scope) for need in tea.components["leaf"].needs] == [
        ("mariadb", ""),
        ("memcached", "same-node"),
    ]


def test_who_needs_a_frontend_needs_what_carries_it(tmp_path: Path) -> None:
    carrier = (
        "    group: control\n    image: tea\n",
        "    group: control\n    carries_frontends: true\n    image: tea\n",
    )
    user = ("    files: [{template: own.j2", "    needs: [keystone]\n    files: [{template: own.j2")
    found = load_catalogue(_with_words(tmp_path, carrier, user)).services
    needs = {
        name: {need.component for need in one.needs} for tea in found.values() for name, one in tea.components.items()
    }
    assert needs["tea"] == {"keystone", "leaf"}, "keystone has a frontend, and leaf carries it"
    assert needs["keystone"] == {"mariadb", "memcached"}, "neither has one"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "memcached.pot: {",
            "memcached.pott: {",
            'tea/service.yml:5:3 uses["memcached.pott"]: no service offers memcached.pott',
        ),
        ("lid: glass", "lid: glass, lidd: 1", "memcached.pot has no parameter lidd"),
        ("{lid: glass}", "{}", "the parameter lid is missing"),
        ("$label, ", "$lable, ", "there is no parameter lable"),
        (
            "memcached/templates/shared.j2",
            "memcached/templates/sharde.j2",
            "there is no file templates/sharde.j2 in memcached",
        ),
    ],
)
def test_mistakes_about_words_are_told(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        load_catalogue(_with_words(tmp_path, (old, new)))
    assert says in str(caught.value)
