"""Passwords of any form in the files of a whole cloud: asked of the readers of those files, for every place where one stands."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import pytest
from oslo_config import cfg
from sqlalchemy.engine import make_url

from inventories import generate_region
from proofs.world import known_facts
from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.errors import InputError
from scs_deploy.region.load import load_region
from scs_deploy.region.placement import place
from scs_deploy.render import ImageChoice, Renderer
from scs_deploy.render.context import Topology
from scs_deploy.render.desired import Desired, File
from scs_deploy.render.digests import content, seal
from scs_deploy.render.templates import TemplateSet
from scs_deploy.secrets.placeholders import CLOSE, OPEN, find

ROOT = Path(__file__).parents[2]

NASTY = ["p@ss/w#rd%41$x", "'\"\\ ${a}b%(c)s,;:?&=[x]", '"quoted"', "'", "$$", "%", "a\\", "#x", "{scheme}"]
SITE = """Bob's "cloud" \\ \\n {{ x }} größer 😀"""
_MAPPINGS = {"fernet": ("0", "1"), "ssh-key": ("private", "public")}
_LINE = re.compile(f"^(?P<option>[^=\n]+?) *= *(?P<value>.*{OPEN}.*)$", re.MULTILINE)
_SECTION = re.compile(r"^\[(.+)\]$", re.MULTILINE)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desired, Mapping[str, str]]:
    """A whole cloud on several nodes, with everything that it can send; and the type of each secret."""
    catalogue = load_catalogue([ROOT / "roles"])
    folder = tmp_path_factory.mktemp("region")
    file = generate_region.write(folder, 6)
    noisy = {"settings": {"notifications": True}}
    every = {
        name: {"enabled": True, **(noisy if "notifications" in one.settings else {})}
        for name, one in catalogue.services.items()
    }
    every["horizon"] = {"enabled": True, "settings": {"site_name": SITE}}
    file.write_text(file.read_text().replace("services: {}", f"services: {json.dumps(every, ensure_ascii=False)}"))
    region = load_region(folder, catalogue)
    types = {name: spec.type for one in catalogue.services.values() for name, spec in one.secrets.items()}
    keys = {name: _MAPPINGS[kind] for name, kind in types.items() if kind in _MAPPINGS}
    images = {name: ImageChoice(name, name, "1") for one in catalogue.services.values() for name in one.images}
    topology = Topology(region, catalogue, place(region, catalogue, {}))
    known = {node.name: known_facts(node) for node in region.nodes}
    return Renderer(topology, TemplateSet.load(catalogue), images, keys, known).render(), types


def resolver(types: Mapping[str, str], password: str):
    def get(name: str) -> str | dict[str, str]:
        kind = types.get(name.removesuffix("~other"), "")
        if name.startswith("cert:") or kind in _MAPPINGS:
            return dict.fromkeys(("ca", "cert", "key", "bundle", "0", "1", "private", "public"), "PEM")
        return password if kind == "password" else "0123abcd"

    return get


def files(desired: Desired) -> list[File]:
    """Every file that holds a reference, each text once."""
    every = (file for group in desired.instances.values() for instance in group for file in instance.files)
    return list({(file.path, file.text): file for file in every if OPEN in file.text}.values())


def read(text: str, section: str, option: str, folder: Path) -> str:
    path = folder / "service.conf"
    path.write_text(text)
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt(option), None if section == "DEFAULT" else section)
    conf(["--config-file", str(path)], project="x")
    return str((conf if section == "DEFAULT" else conf[section])[option])


def passwords_of(url: str) -> set[str]:
    """What clients take from a URL: SQLAlchemy itself; several hosts as oslo.messaging's TransportURL.parse does it."""
    if "," in url.partition("://")[2].partition("/")[0]:
        hosts = url.partition("://")[2].partition("/")[0].split(",")
        return {unquote(host.rsplit("@", 1)[0].split(":", 1)[1]) for host in hosts}
    return {str(make_url(url).password)}


@pytest.mark.parametrize("password", NASTY)
def test_readers_get_the_password(cloud, password: str, tmp_path: Path) -> None:
    desired, types = cloud
    resolve, seen = resolver(types, password), set()
    for file in files(desired):
        text = content(file, desired, resolve)
        named = {name for name in find(file.text) if types.get(name) == "password"}
        if not named:
            continue
        if file.format == "ini":
            for match in _LINE.finditer(file.text):
                section = _SECTION.findall(file.text[: match.start()])[-1]
                got = read(text, section, match["option"], tmp_path)
                (name, *_) = find(match["value"])
                if "://" in got and types[name] == "password":
                    assert passwords_of(got) == {password}, file.path
                elif types[name] == "password":
                    assert got == password, (file.path, match["option"])
        elif file.format == "json":
            assert _texts(json.loads(text)) >= ({password} if "hash" not in file.text else set())
        elif file.format == "python":
            ast.parse(text)
        else:
            assert file.text == f"{OPEN}{next(iter(named))}{CLOSE}", f"{file.path}: nothing spells it there"
            assert text == password
        seen |= named
    assert seen == {name for name, kind in types.items() if kind == "password"}


def _texts(value: object) -> set[str]:
    if isinstance(value, Mapping):
        return set().union(*map(_texts, value.values()))
    if isinstance(value, list):
        return set().union(*map(_texts, value))
    return {str(value)}


def test_a_free_text_is_the_same_text_in_python(cloud) -> None:
    desired, types = cloud
    (text,) = {content(file, desired, resolver(types, "x")) for file in files(desired) if file.format == "python"}
    values = {
        node.targets[0].id: node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert ast.literal_eval(values["SITE_BRANDING"]) == SITE


def test_a_secret_that_a_file_cannot_hold_is_told_by_name_only(cloud) -> None:
    desired, types = cloud
    with pytest.raises(InputError) as error:
        seal(desired, resolver(types, "S3CRET\\$x"))
    told = str(error.value)
    assert "the secret" in told
    assert "oslo.config reads both as one $" in told
    assert "S3CRET" not in told
