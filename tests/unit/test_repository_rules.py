"""Rules of the repository (docs: architecture, style): what must hold for every file, now and for the next service."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from real import facts

from proofs.world import ROLES, World
from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.render import SECRET_MAPPINGS

ROOT = Path(__file__).parents[2]
ROLE_FOLDERS = sorted(path.parent for path in (ROOT / "roles").glob("*/service.yml"))
SERVICES = [folder.name for folder in ROLE_FOLDERS]
NODE_SIDE = "scs_deploy/ansible_collections/"
ALLOWED_IN_ROLES = {"service.yml", "README.md", "templates", "programs", "resources"}

NAMED = {
    "scs_deploy/cli/day2.py": "an example in the help",
    "scs_deploy/cli/image.py": "an example in the help",
    "scs_deploy/catalogue/service.py": "a format of files",
    "scs_deploy/documents/config_formats.py": "a format of files",
    "scs_deploy/region/reference.py": "the example region of the generated reference",
    "scs_deploy/preflight/machine.py": "the kernel module openvswitch",
    f"{NODE_SIDE}scs/node/plugins/module_utils/facts.py": "the kernel module openvswitch",
    f"{NODE_SIDE}scs/node/plugins/module_utils/question.py": "the kernel module openvswitch",
}
"""Shared modules that may name a service, each with its reason."""


def tracked(*patterns: str) -> list[Path]:
    found = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=True)
    return [ROOT / name for name in found.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def shared_code() -> list[Path]:
    return sorted(path for path in (ROOT / "scs_deploy").rglob("*.py") if "__pycache__" not in path.parts)


def code_of(path: Path) -> str:
    """A module without comments and docstrings: what it does, not what it says."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [one for one in body if not _is_text(one)] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@cache
def service_names() -> re.Pattern[str]:
    """Names of services and their components, but not everyday words of the program itself (node, placement)."""
    names = {
        name for folder in ROLE_FOLDERS for name in yaml.safe_load((folder / "service.yml").read_text())["components"]
    }
    names = {name for name in {*names, *SERVICES} if name not in {"node", "placement"}}
    names = {name for name in names if not name.startswith(("engine-",))}
    return re.compile(rf"(?<![\w-])({'|'.join(sorted(map(re.escape, names), key=len, reverse=True))})(?![\w-])")


# -- shared code and services ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", shared_code(), ids=lambda path: str(path.relative_to(ROOT / "scs_deploy")))
def test_shared_code_names_no_service(path: Path):
    found = sorted(set(service_names().findall(code_of(path))))
    if str(path.relative_to(ROOT)) in NAMED:
        assert found, f"{path} names no service any more: take it off the list"
    else:
        assert not found, f"{path} names {found}: what is true of one service belongs into its role"


def test_every_text_that_a_setting_takes_has_a_form():
    """Templates paste settings into code of all kinds. What is left is spelled by a filter, for the one file that prints it."""
    spelled = {"horizon.site_name": "SITE_BRANDING = {{ (settings.site_name or region.name) | literal }}"}
    free = set()

    def walk(place: str, schema: dict) -> None:
        if schema.get("type") == "string" and not {"pattern", "enum", "format"} & schema.keys():
            free.add(place)
        inner = [schema.get("items"), schema.get("additionalProperties"), *schema.get("properties", {}).values()]
        for one in [*inner, *schema.get("anyOf", ()), *schema.get("oneOf", ())]:
            if isinstance(one, dict):
                walk(place, one)

    for path in ROOT.glob("roles/*/service.yml"):
        for name, schema in (yaml.safe_load(path.read_text()).get("settings") or {}).items():
            walk(f"{path.parent.name}.{name}", schema)
    assert free == set(spelled)
    for place, line in spelled.items():
        texts = "".join(path.read_text() for path in (ROOT / "roles" / place.partition(".")[0]).rglob("*.j2"))
        assert texts.count(place.partition(".")[2]) == 1
        assert line in texts


def test_rooms_import_one_way_and_no_two_files_each_other():
    """Their order is written once, in pyproject.toml."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[done.stdout.find("Broken contracts") :]


def test_what_runs_on_nodes_brings_all_that_it_imports():
    """The standard library, the SDK of an engine and Ansible's own class for modules is all that a node has."""
    there = {"ansible", "ansible_collections", "docker", "podman", "requests", "rados"}
    for path in (ROOT / NODE_SIDE / "scs/node/plugins").rglob("*.py"):
        for one in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.module or ""] if isinstance(one, ast.ImportFrom) and not one.level else []
            names += [alias.name for alias in one.names] if isinstance(one, ast.Import) else []
            found = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - there
            assert not found, f"{path.relative_to(ROOT)} imports {found}"
            assert not [name for name in names if name.startswith("ansible_collections.") and ".scs.node." not in name]


NAMESAKES = {
    "ActionModule": "what Ansible calls the class of an action",
}
"""Names that several classes have, each with its reason."""


def test_a_class_shares_its_name_with_no_other():
    """A newcomer who meets a word again has met the same thing."""
    found: dict[str, list[str]] = {}
    for path in tracked("scs_deploy/*.py", "roles/*.py", "proofs/*.py", "bench/*.py", "tools/*.py"):
        for one in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(one, ast.ClassDef) and not one.name.startswith("_"):
                found.setdefault(one.name, []).append(str(path.relative_to(ROOT)))
    several = {name: where for name, where in found.items() if len(where) > 1}
    assert several.keys() == NAMESAKES.keys(), several


def test_one_module_starts_ansible():
    found = [
        str(path.relative_to(ROOT))
        for path in shared_code()
        if re.search(
            r"\bimport_module\(.ansible_runner|^\s*(import|from) ansible_runner\b", path.read_text(), re.MULTILINE
        )
    ]
    assert found == ["scs_deploy/nodes/ansible_run.py"]


def test_a_made_up_service_is_deployed_without_touching_another_file(tmp_path):
    """A folder in a search path: loaded, placed, rendered and planned beside the others."""
    folder = tmp_path / "roles" / "teapot"
    (folder / "templates").mkdir(parents=True)
    (folder / "service.yml").write_text(
        """\
format: 1
name: teapot
summary: Short and stout
settings: {strength: {type: integer, default: 5, description: Spoons}}
secrets: {teapot-key: {description: Opens the lid}}
images: {teapot: {packages: [teapot]}}
components:
  teapot:
    group: control
    cardinality: one
    image: teapot
    command: [teapot, "{{ address('api') }}"]
    files: [{template: pot.conf, target: /etc/pot.conf, format: ini}]
    tls: {}
    health: {tcp: teapot}
    needs: [{component: store}]
    ports: [{name: teapot, port: 418, frontend: {networks: [api]}}]
jobs: [{name: teapot-boil, command: [boil], before: [teapot]}]
resources: [{kind: store.database, name: teapot}]
"""
    )
    (folder / "templates/pot.conf").write_text(
        "[pot]\nstrength = {{ settings.strength }}\nkey = {{ secret('teapot-key') }}\n"
    )
    world = World.changed(
        ("services: {}", "services: {teapot: {settings: {strength: 9}}}"), roles=(ROLES, tmp_path / "roles")
    )
    world.secrets["teapot-key"] = "x"
    (placed,) = world.placement.of("teapot")
    assert "strength = 9" in world.file(f"{placed.node}/teapot", "/etc/pot.conf").text
    assert "frontend teapot" in world.file("n1/front", "front.cfg").text, "the balancer learns of it by itself"
    observed = world.observed()
    for answer in observed.values():
        answer["instances"].pop("teapot", None)
        answer["jobs"].pop("teapot-boil", None)
    observed["n1"]["owners"]["store"]["items"]["database"] = [
        item for item in observed["n1"]["owners"]["store"]["items"]["database"] if item["name"] != "teapot"
    ]
    plan = world.plan(observed)
    own = f"{placed.node}/teapot"
    waves = {step.id: wave.number for wave in plan.waves for step in wave.steps}
    job, resource = f"{placed.node}/teapot-boil", "n1/store resources of teapot"
    assert set(waves) == {f"{own}#files", resource, job, own}
    assert waves[f"{own}#files"] < waves[job] < waves[own]
    assert waves[resource] < waves[own]


def test_a_new_api_service_is_one_folder_of_three_small_files(tmp_path):
    """What APIs share it says by the words of their owners: database, accounts, catalogue, uwsgi, balancer."""
    folder = tmp_path / "roles" / "teapot"
    (folder / "templates").mkdir(parents=True)
    (folder / "README.md").write_text("# teapot\n\nAn API of pots.\n")
    (folder / "service.yml").write_text(
        """\
format: 1
name: teapot
summary: Short and stout

uses:
  mariadb.schema: {command: [teapot-manage, db, sync]}
  rabbitmq.account: {}
  keystone.account: {}
  keystone.endpoint: {type: tea, description: Tea, path: /v1}
  keystone.wsgi: {module: "teapot.api:application", port: 418, path: /healthcheck}

users:
  teapot: {uid: 42999, home: /var/lib/teapot}

images:
  teapot:
    packages: [teapot-api]

components:
  teapot:
    files:
      - template: teapot.conf.j2
        target: /etc/teapot/teapot.conf
        format: ini
    needs: [mariadb, rabbitmq, keystone]
    pause: With one instance, no tea for about 5 s

resources:
  - {kind: keystone.credential, name: teapot, attrs: {user: teapot, project: service}, secret: teapot-keystone}
"""
    )
    (folder / "templates/teapot.conf.j2").write_text(
        """\
{% import 'keystone/templates/client.j2' as keystone with context %}
{% import 'mariadb/templates/client.j2' as mariadb with context %}
{% import 'rabbitmq/templates/client.j2' as rabbitmq with context %}
[DEFAULT]
debug = {{ settings.debug | lower }}
transport_url = {{ rabbitmq.transport_url('teapot', 'teapot-rabbitmq') }}

{{ mariadb.section('database', 'teapot', 'teapot-database', threads=settings.threads) }}

{{ keystone.authtoken('teapot', 'teapot-keystone', 'tea') }}
"""
    )
    assert sum(len(path.read_text().splitlines()) for path in folder.rglob("*.*")) < 50
    box = ROOT / "inventories/box/region.yml"
    world = World(
        text=box.read_text().replace("services:\n", "services:\n  teapot: {settings: {threads: 7}}\n", 1),
        roles=(ROOT / "roles", tmp_path / "roles"),
        lock={},
    )
    assert "teapot:" in world.text
    world.facts_of = {node.name: facts(node, world.region.networks) for node in world.region.nodes}
    assert "threads = 7" in world.file("n1/teapot", "/etc/teapot/uwsgi.ini").text
    assert ":418,/etc/scs-tls/cert.pem" in world.file("n1/teapot", "/etc/teapot/uwsgi.ini").text
    assert "max_pool_size = 7" in world.file("n1/teapot", "/etc/teapot/teapot.conf").text
    assert world.file("n1/teapot", "/etc/scs-tls/key.pem").uid == 42999
    assert "frontend teapot" in world.file("n1/haproxy", "haproxy.cfg").text
    assert {item.id for item in world.desired.items if item.service == "teapot"} == {
        "mariadb.database teapot",
        "mariadb.user teapot",
        "rabbitmq.user teapot",
        "keystone.user teapot",
        "keystone.role_assignment teapot service service",
        "keystone.credential teapot",
        "keystone.service teapot",
        *(f"keystone.endpoint tea {interface}" for interface in ("public", "internal", "admin")),
    }
    assert world.instance("n1/teapot").health.front[2:] == (418, "/healthcheck")
    made = [item.kind for item in world.desired.items if (item.owner, item.service) == ("keystone", "teapot")]
    assert made == ["user", "role_assignment", "credential", "service", *["endpoint"] * 3], "not as they are declared"
    (job,) = (job for job in world.desired.jobs if job.service == "teapot")
    assert (job.name, job.instance, job.container.command) == (
        "teapot-db-sync",
        "teapot",
        ("teapot-manage", "db", "sync"),
    )
    before = {key for group in world.order.needed("component teapot") for key in group}
    assert {f"component {name}" for name in ("mariadb", "rabbitmq", "keystone", "haproxy", "keepalived")} < before
    assert {"job teapot-db-sync", "resources of teapot at keystone"} < before
    assert set(world.catalogue.services["teapot"].needs) == {"mariadb", "rabbitmq", "keystone"}


# -- roles -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ROLE_FOLDERS, ids=lambda folder: folder.name)
def test_a_role_is_a_description(folder: Path):
    names = {path.name for path in folder.iterdir() if path.name != "__pycache__"}
    assert names <= ALLOWED_IN_ROLES, "mechanics belong into scs_deploy"
    assert {"service.yml", "README.md"} <= names
    assert len((folder / "README.md").read_text().splitlines()) >= 5


@pytest.mark.parametrize("folder", ROLE_FOLDERS, ids=lambda folder: folder.name)
def test_every_role_has_a_scenario(folder: Path):
    scenario = ROOT / "molecule" / folder.name
    assert (scenario / "molecule.yml").is_file()


def test_no_folder_of_roles_is_without_a_description():
    assert {path.name for path in (ROOT / "roles").iterdir() if path.is_dir()} == set(SERVICES)


@cache
def catalogue():
    return load_catalogue([ROOT / "roles"])


FREE = {
    ("horizon", "site_name"): "quoted by the template",
}
"""Settings whose text has no form of its own, each with its reason."""


def test_every_setting_of_text_has_a_form():
    """Templates print settings as they are: a value must not be able to become a comment, a variable or another option."""
    free = {
        (name, path[0])
        for name, service in catalogue().services.items()
        for setting, schema in service.settings.items()
        for path, text in _texts_of((setting,), schema)
        if not text.keys() & {"pattern", "enum", "const", "format"}
    }
    assert free == set(FREE)


def _texts_of(path, schema):
    kinds = schema.get("type", ())
    if "string" in ([kinds] if isinstance(kinds, str) else kinds):
        yield path, schema
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _texts_of((*path, key), schema[key])
    for group in ("properties", "patternProperties"):
        for name, inner in schema.get(group, {}).items():
            yield from _texts_of((*path, name), inner)


def containers(service):
    return {name: one for name, one in service.components.items() if one.kind == "container"}


def text_of(service: str, name: str) -> str:
    """A template or program, as a description names it."""
    here = ROOT / "roles" / service
    found = [ROOT / "roles" / name, here / "programs" / name, here / "templates" / name]
    return next(path for path in found if path.is_file()).read_text()


def test_programs_are_files_that_linters_read():
    """What is rendered is data: a program gets it by its environment, its arguments or a file."""
    programs = [path for folder in ROLE_FOLDERS for path in (folder / "templates").glob("*") if path.is_file()]
    assert not [path for path in programs if path.read_text().lstrip().startswith("#!") or ".sh" in path.suffixes]
    entries = {
        entry
        for service in catalogue().services.values()
        for entry in (*(one.entry for one in containers(service).values()), *(one.entry for one in service.jobs))
    }
    assert not [entry for entry in entries if entry.endswith(".j2")]


def test_no_file_with_a_secret_is_wider_than_0640():
    """Templates that print a secret, and secrets themselves."""
    for name, service in catalogue().services.items():
        for component_name, component in service.components.items():
            for file in component.files:
                text = text_of(name, file.template) if file.template else "secret("
                if re.search(r"\bsecret(_hash)?\(", text):
                    assert int(file.mode, 8) & ~0o640 == 0, (
                        f"{name}: {component_name}: {file.target} has mode {file.mode}"
                    )
                    assert not file.executable, f"{name}: {component_name}: {file.target}"
        for one in (*containers(service).values(), *service.jobs):
            if one.entry:
                text = text_of(name, one.entry)
                assert not re.search(r"\bsecret(_hash)?\(", text), f"{name}: {one.entry} is readable by all"


def test_secrets_stand_in_files_only():
    """Not in commands, environment (units are readable by all) or attributes of resources (shown in plans)."""
    for name, service in catalogue().services.items():
        texts = [str(component.command) + str(component.environment) for component in containers(service).values()]
        texts += [str(job.command) + str(job.environment) for job in service.jobs]
        texts += [str(resource.attrs) for resource in service.resources]
        assert not [text for text in texts if "secret(" in text], name


def test_a_key_repository_is_a_folder_and_its_keys_are_for_its_user():
    for service in catalogue().services.values():
        for component in containers(service).values():
            for file in component.files:
                if file.secret and service.secrets[file.secret].type in SECRET_MAPPINGS:
                    assert file.mode == "0400"
                    assert file.user == component.user


def test_every_listener_speaks_tls_or_says_why_not():
    for name, service in catalogue().services.items():
        for component in service.components.values():
            for port in component.ports:
                assert port.tls or len(port.plain_reason) > 20, f"{name}: port {port.name}"
        for component in containers(service).values():
            if any(port.tls for port in component.ports):
                assert component.tls, f"{name} has a TLS port and no certificate"


def test_every_container_has_health_and_says_what_a_restart_interrupts():
    for name, service in catalogue().services.items():
        for component_name, component in containers(service).items():
            health = component.health
            assert any((health.tcp, health.http, health.unix, health.client, health.command)), (
                f"{name}: {component_name}"
            )
            assert component.pause, f"{name}: {component_name} has no pause"


MAY_MOUNT = {"neutron-ovn-metadata-agent"}
"""They make namespaces, which the kernel and AppArmor take for mounts."""


def test_privileges_are_named_one_by_one():
    for service in catalogue().services.values():
        for name, component in containers(service).items():
            assert "ALL" not in component.capabilities, name
            assert "SYS_ADMIN" not in component.capabilities or name in MAY_MOUNT, name
            unconfined = [one for one in component.security if "unconfined" in one and "seccomp" not in one]
            assert not unconfined or name in MAY_MOUNT, name


# -- all files -------------------------------------------------------------------------------------------------------------


def test_no_file_names_this_machine():
    """Paths, hosts and accounts of the machine it was written on."""
    anywhere = re.compile(
        r"(?<![\w.$}])/(work(?![\w-])|home/(?!<|USER|user)\w+/(?!\.ssh|\.bashrc|\.config|\.local|\.cache))"
    )
    on_the_controller = re.compile(r"(?<![\w.$}])/root/")
    for path in tracked(
        "*.py", "*.yml", "*.yaml", "*.md", "*.toml", "*.cfg", "*.j2", "*.sh", "quickstart", "run-tests"
    ):
        if path == Path(__file__):
            continue
        name = str(path.relative_to(ROOT))
        inside = name.startswith(
            ("scs_deploy/images/files/", "tests/", "proofs/", "molecule/")
        )  # of images and lab nodes, root's home is right
        text = path.read_text(encoding="utf-8")
        found = anywhere.search(text) or (None if inside else on_the_controller.search(text))
        assert not found, f"{path.relative_to(ROOT)}: {found and found.group(0)}"


def test_no_link_leads_out_of_the_repository():
    """Such as to a virtual environment, which is a folder of its own in every checkout."""
    listed = subprocess.run(["git", "ls-files", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    links = [ROOT / line.partition("\t")[2] for line in listed.splitlines() if line.startswith("120000")]
    assert not [link for link in links if not link.resolve().is_relative_to(ROOT)]


def test_links_between_pages_lead_somewhere():
    for page in tracked("*.md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


def test_messages_name_pages_where_they_are():
    """``docs/`` is in a checkout only: an installed program has its pages elsewhere, which ``paths.page`` knows."""
    for path in shared_code():
        if path.name != "reference.py" and NODE_SIDE not in str(path):
            found = re.search(r"\bdocs/[\w-]+\.md", code_of(path))
            assert not found, f"{path.relative_to(ROOT)}: {found and found.group(0)}"


def test_library_code_neither_prints_nor_exits():
    wrong = re.compile(r"(?<![\w.])(print\(|sys\.exit\(|exit\()")
    for path in shared_code():
        if "cli" in path.parts or "plugins" in path.parts or path.name == "__main__.py":
            continue
        found = wrong.search(code_of(path))
        assert not found, f"{path.relative_to(ROOT)}: {found and found.group(0)}"


def test_no_handler_catches_everything():
    for path in shared_code():
        for node in ast.walk(ast.parse(path.read_text())):
            broad = isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) == "Exception")
            if broad and not isinstance(node.body[-1], ast.Raise):
                line = path.read_text().splitlines()[node.lineno - 1]
                assert "# noqa: BLE001 - " in line, (
                    f"{path.relative_to(ROOT)}:{node.lineno} catches everything without a reason"
                )


def test_every_exit_code_is_documented():
    from scs_deploy import errors

    codes = {
        one.exit_code for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.DeployError)
    }
    assert codes == {1, 2, 3, 5, 6, 130}
    for code in codes:
        assert re.search(rf"\b{code}\b", errors.__doc__ or "")
