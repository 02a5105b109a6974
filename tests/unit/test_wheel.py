"""The program installed from a built wheel, outside a checkout: all that it reads at run time came along."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from real import ROOT, catalogue

from scs_deploy.images.lock import LockedImage, write_lock

SHIPPED = ("roles", "playbooks", "docs", "inventories", "ansible.cfg")
"""What stands beside the package in a checkout, and below ``scs_deploy/share`` in a wheel."""

MADE = """
import hashlib, json, sys
sys.path.append(sys.argv[1])
import real
from scs_deploy.machine import paths
from scs_deploy.images.recipe import recipes
from scs_deploy.catalogue.release import load_release
from scs_deploy.secrets.placeholders import named
real.ROOT = paths.share_dir()
made = real.desired(real.region(real.data("box"))).on("n1")
print(json.dumps({
    "package": str(paths.PACKAGE),
    "services": sorted(real.catalogue().services),
    "recipes": {name: one.digest("") for name, one in recipes(real.catalogue(), load_release("2025.1")).items()},
    "files": {
        f"{one.name}{file.path}": hashlib.sha256(named(file.text).encode()).hexdigest() for one in made for file in one.files
    },
}))
"""


@dataclass(frozen=True)
class Installed:
    """A venv whose scs_deploy is the wheel's; what that depends on is read from this test's own environment."""

    wheel: Path
    venv: Path

    @property
    def package(self) -> Path:
        (found,) = self.venv.glob("lib/python*/site-packages/scs_deploy")
        return found

    def run(self, folder: Path, *arguments: str, program: str = "scs-deploy") -> subprocess.CompletedProcess[str]:
        """Run a program of the venv in ``folder``, which is also its home."""
        told = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "SCS_DEPLOY_STATE_DIR": str(folder / "state"),
            "NO_COLOR": "1",
        }
        argv = [str(self.venv / "bin" / program), *arguments]
        return subprocess.run(argv, cwd=folder, env=told, capture_output=True, text=True, check=False)

    def ok(self, folder: Path, *arguments: str, program: str = "scs-deploy") -> str:
        done = self.run(folder, *arguments, program=program)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv, uv = folder / "venv", shutil.which("uv")
    python = str(venv / "bin/python")
    if uv:  # as tools/prepare.sh makes the checkout's
        make = [uv, "venv", "--quiet", "--offline", "--python", sys.executable, str(venv)]
        install = [uv, "pip", "install", "--quiet", "--offline", "--python", python, "--no-deps", str(wheel)]
    else:
        make = [sys.executable, "-m", "venv", str(venv)]
        install = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(make, check=True, capture_output=True)
    subprocess.run(install, check=True, capture_output=True)
    found = Installed(wheel, venv)
    # A folder that a .pth names has no say with .pth files of its own, such as the one that links a checkout.
    (found.package.parent / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return found


def test_the_wheel_holds_what_git_holds_and_nothing_else(installed: Installed):
    """No vault, lock or certificate of a region that lies in the checkout, and nothing that somebody put there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "scs_deploy", *SHIPPED], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    wanted = {
        name if name.startswith("scs_deploy/") else f"scs_deploy/share/{name}"
        for name in listed.split("\0")
        if name and (ROOT / name).is_file()
    }
    with zipfile.ZipFile(installed.wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
        (license_file,) = (name for name in archive.namelist() if name.endswith("/licenses/LICENSE"))
        assert archive.read(license_file) == (ROOT / "LICENSE").read_bytes()
    assert found == wanted


def test_services_images_and_files_are_those_of_the_checkout(installed: Installed, tmp_path: Path):
    script, tests = tmp_path / "made.py", str(Path(__file__).parent)
    script.write_text(MADE)
    theirs = json.loads(installed.ok(tmp_path, str(script), tests, program="python"))
    done = subprocess.run([sys.executable, script, tests], cwd=tmp_path, capture_output=True, text=True, check=True)
    ours = json.loads(done.stdout)
    assert (theirs.pop("package"), ours.pop("package")) == (str(installed.package), str(ROOT / "scs_deploy"))
    assert theirs == ours
    assert min(map(len, ours.values())) > 10


def test_an_example_becomes_a_region_that_is_planned_as_far_as_its_node(installed: Installed, tmp_path: Path):
    folder = tmp_path / "inventories" / "mine"
    shutil.copytree(installed.package / "share/inventories/core", folder)
    said = yaml.safe_load((folder / "region.yml").read_text())
    said |= {"name": "mine", "ssh": {"user": "root", "host_keys": "known_hosts", "jump": "127.0.0.1:1"}}
    (folder / "region.yml").write_text(yaml.safe_dump(said, sort_keys=False))
    images = {name for service in catalogue().services.values() for name in service.images}
    write_lock(folder, "2025.1", {name: LockedImage.of("0" * 64, f"localhost/{name}:1", {"p": "1"}) for name in images})
    assert "mine" in installed.ok(tmp_path, "validate")
    assert "keystone" in installed.ok(tmp_path, "show")
    installed.ok(tmp_path, "secrets", "init")
    assert (folder / "secrets.yml").is_file()
    done = installed.run(tmp_path, "plan")
    assert done.returncode == 1
    assert "not everything could be observed: n1" in done.stderr
    assert "n1: root@10.79.1.11 port 22 via 127.0.0.1:1: " in done.stderr
    certificate = installed.run(tmp_path, "certs", "import", "-")
    assert f"see {installed.package}/share/docs/secrets.md" in certificate.stderr
    assert (installed.package / "share/docs/secrets.md").is_file()


def test_examples_are_copied_and_never_written_to(installed: Installed, tmp_path: Path):
    examples = installed.package / "share/inventories"
    for arguments in (("validate",), ("secrets", "init", "-r", "box")):
        done = installed.run(tmp_path, *arguments)
        assert done.returncode == 2
        assert "there is no region" in done.stderr
        assert f"copy one of {examples}" in done.stderr
    assert not (examples / "box/secrets.yml").exists()
