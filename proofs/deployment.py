"""One region on a lab node, deployed by the real program: what tests of behaviour work on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.lab import Lab, LabSpec, container
from scs_deploy.machine.paths import state_dir
from scs_deploy.machine.waiting import wait_for
from scs_deploy.nodes.fleet import Fleet
from scs_deploy.operations.reach import reach
from scs_deploy.operations.site import Site, load_site
from scs_deploy.operations.store import Store
from scs_deploy.secrets import Vault, account_names

REPOSITORY = Path(__file__).resolve().parent.parent
PROGRAM = (sys.executable, "-m", "scs_deploy.cli")
NODE_STATE = Path(__file__).with_name("node_state.py")
CORE = {"node", "keepalived", "haproxy", "mariadb", "rabbitmq", "memcached", "keystone"}
"""Services of tests that are about deploying, not about a service: the fewer, the sooner they are done."""

NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
"""Where it is set, every command compiles anew what of the program and its libraries was never compiled: 0.3 s of CPU."""

PENDING = 4
"""Exit code of ``plan --detailed-exitcode`` when something would change."""

Done = subprocess.CompletedProcess[str]


def write_region(folder: Path, name: str, subnet: int, *, whole: bool = False) -> Path:
    """Make ``folder`` a region like box, under another name and in 10.``subnet``.x.0/24; with the core alone unless ``whole``."""
    text = (REPOSITORY / "inventories" / "box" / "region.yml").read_text()
    text = (
        text.replace("name: box", f"name: {name}")
        .replace("10.77.", f"10.{subnet}.")
        .replace("box.test", f"{name}.test")
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = yaml.safe_load(text)
    if not whole:
        data["services"] = core_only()
    # Of the rack, so that tests may say what they like of services. bcrypt takes a third of a second for every login.
    cheap = {"/etc/keystone/keystone.conf": {"options": {"identity": {"password_hash_rounds": 4}}}}
    data["racks"][0]["services"] = {"keystone": {"config": cheap}}
    (folder / "region.yml").write_text(yaml.safe_dump(data, sort_keys=False))
    return folder


def core_only(**values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What region.yml says about services when just the core runs; ``values`` say more."""
    others = load_catalogue([REPOSITORY / "roles"]).services.keys() - CORE
    return {**{name: {"enabled": False} for name in sorted(others)}, **values}


def until(condition: Callable[[], Any], what: str, seconds: float = 60, pause: float = 0.2) -> Any:
    """Return what ``condition`` gives as soon as that is true."""
    found = wait_for(lambda: condition() or None, seconds, pause)
    assert found, f"after {seconds:g} s still not: {what}"
    return found


@dataclass
class Cloud:
    """A region folder and its lab."""

    folder: Path
    node: str = "n1"

    # -- the program ---------------------------------------------------------------------------------------------------

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command of the program in a process group of its own; ``env`` adds to the environment."""
        command = [*PROGRAM, *arguments]
        added = {"SCS_DEPLOY_REGION": str(self.folder), "NO_COLOR": "1", **options.pop("env", {})}
        environment = {name: value for name, value in os.environ.items() if name != NO_BYTECODE} | added
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, text=True, start_new_session=True, **{**pipes, **options}
        )

    def run(self, *arguments: str, code: int | None = None, timeout: float = 600) -> Done:
        """Run a command of the program to its end; ``code`` is the exit code it must have."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, 9)
            raise
        done = Done(list(arguments), process.returncode, out, err)
        if code is not None:
            assert done.returncode == code, f"{' '.join(arguments)}: exit {done.returncode}, not {code}\n{out}\n{err}"
        return done

    def apply(self, *arguments: str, code: int = 0) -> Done:
        return self.run("apply", "--yes", *arguments, code=code)

    def plan(self, *arguments: str, code: int | None = 0) -> dict[str, Any]:
        """Return the plan as data."""
        data: dict[str, Any] = json.loads(self.run("plan", "--json", *arguments, code=code).stdout)
        return data

    def steps(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """Return the steps of a plan by their id."""
        return {step["id"]: step for wave in self.plan(*arguments)["waves"] for step in wave["steps"]}

    def assert_settled(self) -> None:
        done = self.run("plan", "--detailed-exitcode")
        assert done.returncode == 0, f"the plan is not empty:\n{done.stdout}\n{done.stderr}"
        assert "nothing to do" in done.stdout

    # -- the region file -----------------------------------------------------------------------------------------------

    @property
    def file(self) -> Path:
        return self.folder / "region.yml"

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        data = yaml.safe_load(self.file.read_text())
        change(data)
        self.file.write_text(yaml.safe_dump(data, sort_keys=False))

    @property
    def engine(self) -> str:
        return str(yaml.safe_load(self.file.read_text())["engine"])

    @contextmanager
    def services(self, **values: Mapping[str, Any]) -> Iterator[None]:
        """Say something else about services for the body, then what was said before."""
        with self.edited(lambda data: data.update(services=core_only(**values))):
            yield

    @contextmanager
    def edited(self, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
        before = self.file.read_text()
        self.edit(change)
        try:
            yield
        finally:
            self.file.write_text(before)

    # -- the node ------------------------------------------------------------------------------------------------------

    @cached_property
    def lab(self) -> Lab:
        return Lab(LabSpec.from_region(self.site.region))

    @property
    def site(self) -> Site:
        """The region as its folder says now."""
        return load_site(self.folder)

    @property
    def store(self) -> Store:
        return Store.of(self.site.region)

    @property
    def vault(self) -> Vault:
        return Vault.open(self.folder)

    def reached(self) -> AbstractContextManager[Fleet]:
        """The way to the node; for the body, this process is where the lab's networks are."""
        return reach(self.site.region)

    def try_on_node(self, command: str, stdin: str = "") -> Done:
        return self.lab.run(self.node, [command], stdin=stdin)

    def cut_power(self) -> None:
        """All processes of the node are gone at once; ``lab up`` boots it again."""
        there = container.listed(self.lab.names)[self.node]
        os.kill(there.pid, signal.SIGKILL)  # and with it everything on the node
        until(lambda: not there.alive, "the node is off")

    def on_node(self, command: str, stdin: str = "") -> str:
        done = self.try_on_node(command, stdin)
        assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def sql(self, statement: str) -> str:
        return self.on_node(f"{self.engine} exec -i mariadb mariadb --skip-column-names --batch", statement)

    def login_name(self, name: str, secret: str) -> str:
        """Return the name under which an account logs in at present: rotations give it its two names in turns."""
        return name + account_names.names(secret, self.vault.standings)[0].suffix

    def state(self) -> dict[str, Any]:
        """``end``: the node's canonical state; ``starts``: when containers and units were started."""
        return self._told()

    def starts(self) -> dict[str, str]:
        return dict(self._told("--starts")["starts"])

    def _told(self, *words: str) -> dict[str, Any]:
        said = self.on_node(f"python3 - {self.engine} {' '.join(words)}", NODE_STATE.read_text())
        data: dict[str, Any] = json.loads(said)
        return data

    def restarted(self, before: Mapping[str, str]) -> set[str]:
        """Return the containers and units that were started since."""
        after = self.starts()
        return {name for name in {*before, *after} if before.get(name) != after.get(name)}

    # -- the controller ------------------------------------------------------------------------------------------------

    def private_folders(self) -> list[Path]:
        """Folders of runs, which hold secrets while they exist."""
        return sorted((state_dir() / "private").glob("*"))

    def events(self) -> list[Path]:
        return sorted(self.store.state.glob("events/*.jsonl"))


KEEP = "SCS_TEST_KEEP"
"""Set: a deployment of an earlier run is used again and left running."""


@contextmanager
def deployed(name: str, subnet: int) -> Iterator[Cloud]:
    """A region with the core on a lab node of its own, beside the state folder; taken down afterwards."""
    folder = state_dir().parent / f"{state_dir().name}-regions" / name
    kept = bool(os.environ.get(KEEP)) and (folder / "images.lock").exists()
    made = Cloud(write_region(folder, name, subnet))
    if kept:
        made.run("lab", "up", code=0)
        made.run("image", "build", code=0)
        made.apply("--purge")
    else:
        deploy(made)
    try:
        yield made
    finally:
        if not os.environ.get(KEEP):
            remove(made)


def deploy(cloud: Cloud) -> None:
    """From nothing to a running region; what an earlier, killed test run left is removed first."""
    remove(cloud)
    cloud.run("lab", "up", code=0)
    cloud.run("secrets", "init", code=0)
    cloud.run("image", "build", code=0, timeout=1800)
    cloud.apply()


def remove(cloud: Cloud) -> None:
    """Take the lab down and remove what the program keeps about the region."""
    recorded = Lab.recorded(cloud.folder)
    if recorded:
        recorded.down()
    for path in sorted(cloud.folder.rglob("*"), reverse=True):
        if path.name != "region.yml":
            path.rmdir() if path.is_dir() else path.unlink()


def applied_after_all(cloud: Cloud) -> None:
    """Apply again; as long as the module of the killed run is still at work on the node, that is refused by name."""

    def again() -> bool:
        done = cloud.run("apply", "--yes")
        if done.returncode:
            assert "another run is changing this node" in done.stderr, done.stdout + done.stderr
            assert "held by" in done.stderr
        return done.returncode == 0

    until(again, "an apply after the kill went through", 180)
