"""Makes one image: a container runs the recipe's script and is committed, or mmdebstrap makes the root filesystem at the bottom."""

from __future__ import annotations

import datetime
import json
import os
import re
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scs_deploy.catalogue import names
from scs_deploy.catalogue.release import Release
from scs_deploy.errors import DeployError, Interrupted
from scs_deploy.images import labels
from scs_deploy.images.lock import LockedImage, packages_digest
from scs_deploy.images.process import Children, Output
from scs_deploy.images.recipe import FRAGMENTS, Recipe
from scs_deploy.images.script import (
    APT_ARCHIVES,
    APT_LISTS,
    ENTRY,
    PACKAGES_FILE,
    build_script,
    upgrade_script,
)
from scs_deploy.machine.engine import EngineProgram

CONTAINER_PREFIX = "scs-build"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
NETWORK_WORDS = re.compile(
    r"Temporary failure|Could not (resolve|connect)|Connection (failed|timed out)|Network is unreach"
)

OnStep = Callable[[str], None]


@dataclass(slots=True)
class Builder:
    """One build run: engine, release, caches, and the children that Ctrl-C must end. ``cache`` is a private folder."""

    engine: EngineProgram
    release: Release
    cache: Path
    sources: Mapping[str, Sequence[str]]
    proxies: Mapping[str, str]
    children: Children = field(default_factory=Children)

    def make(self, recipe: Recipe, parent_id: str, digest: str, slot: int, on_step: OnStep) -> LockedImage:
        """Build and tag one image. Raises DeployError naming image, step, last lines and what to do."""
        if recipe.parent:
            return self._from_parent(recipe, parent_id, digest, slot, on_step)
        return self._bootstrap(recipe, digest, on_step)

    def outdated(self, recipe: Recipe, image_id: str, slot: int, on_step: OnStep) -> bool:
        """Whether the mirror has a newer version of any package of the image."""
        on_step("looking for newer packages")
        script = upgrade_script(self.sources[recipe.suite], self.proxies)
        container = self._container(recipe)
        try:
            output = self._run_script(container, recipe, image_id, script, slot, on_step)
        finally:
            self._remove(container)
        return any(line.startswith(("Inst ", "Conf ")) for line in output.tail)

    def stop(self) -> None:
        """End every build that runs; returns when no process or container of this run is left."""
        self.children.stop(lambda: self._remove(*self._containers()))
        self._remove(*self._containers())

    def _from_parent(self, recipe: Recipe, parent_id: str, digest: str, slot: int, on_step: OnStep) -> LockedImage:
        script = build_script(recipe, self.sources[recipe.suite], self.proxies)
        container = self._container(recipe)
        try:
            output = self._run_script(container, recipe, parent_id, script, slot, on_step)
            packages: dict[str, str] = json.loads("".join(output.packages[1:]))
            self._check_series(recipe, packages)
            on_step("saving the image")
            reference = names.image_reference(recipe.name, self.release.name)
            changes = ['CMD ["/bin/bash"]', "ENV LC_ALL=C.UTF-8", *self._labels(recipe, digest, packages)]
            flags = [part for change in changes for part in ("--change", change)]
            done = self.engine.run(["commit", *flags, container, reference])
        finally:
            self._remove(container)
        return self._saved(done.stdout.split()[-1], reference, packages)

    def _bootstrap(self, recipe: Recipe, digest: str, on_step: OnStep) -> LockedImage:
        on_step("new Debian root filesystem")
        if not shutil.which("mmdebstrap"):
            raise DeployError(
                "mmdebstrap is not installed",
                where="controller",
                why="it makes the root filesystem that all images start from",
                fix="apt-get install mmdebstrap debian-archive-keyring",
            )
        with tempfile.TemporaryDirectory(prefix=f"{CONTAINER_PREFIX}-{process_mark(os.getpid())}-") as work:
            tarball = Path(work) / "root.tar"
            argv = ["mmdebstrap", "--variant=minbase", "--format=tar"]
            argv += [f"--aptopt={FRAGMENTS / 'apt.conf'}", f"--dpkgopt={FRAGMENTS / 'dpkg.cfg'}"]
            argv += [f'--customize-hook=sh -eu {shlex.quote(str(FRAGMENTS / "bootstrap.sh"))} "$1"']
            argv += [f"--keyring={KEYRING}"] if KEYRING.exists() else []
            argv += [recipe.suite, str(tarball), *self.sources[recipe.suite]]
            env = {**os.environ, **self.proxies, "TMPDIR": work if os.geteuid() == 0 else tempfile.gettempdir()}
            output = self.children.run(argv, env=env, stdin="", on_step=on_step)
            self._check(recipe, "mmdebstrap", output)
            packages = _packages_of_tarball(tarball)
            on_step("saving the image")
            reference = names.image_reference(recipe.name, self.release.name)
            changes = ['CMD ["/bin/bash"]', *self._labels(recipe, digest, packages)]
            flags = [part for change in changes for part in ("--change", change)]
            done = self.engine.run(["import", *flags, str(tarball), reference])
        return self._saved(done.stdout.split()[-1], reference, packages)

    def _run_script(
        self, container: str, recipe: Recipe, image_id: str, script: str, slot: int, on_step: OnStep
    ) -> Output:
        archives, lists = self._apt_cache(recipe.suite, slot)
        argv = [self.engine.binary, "run", "--interactive", "--name", container, "--network", "host"]
        argv += ["--log-driver", "none", "--volume", f"{archives}:{APT_ARCHIVES}", "--volume", f"{lists}:{APT_LISTS}"]
        output = self.children.run([*argv, image_id, *ENTRY], env=self.engine.env(), stdin=script, on_step=on_step)
        self._check(recipe, output.step, output)
        return output

    def _check(self, recipe: Recipe, step: str, output: Output) -> None:
        if self.children.stopped:
            raise Interrupted("image build stopped", where=recipe.name, fix="run it again: finished images are kept")
        if output.code == 0:
            return
        tail = "\n".join(output.tail)
        fix = (
            f"correct the description of image {recipe.name} in its service.yml, then run scs-deploy image build again"
        )
        if NETWORK_WORDS.search(tail):
            fix = "the package mirror could not be reached: check network, DNS and http_proxy, then run again"
        elif "No space left" in tail:
            fix = "free space on the engine's store and the cache folder, then run again"
        elif "NO_PUBKEY" in tail or "not signed" in tail:
            fix = "apt-get install debian-archive-keyring on this machine, then run again"
        raise DeployError(
            f"image {recipe.name} failed at step `{step}` (exit code {output.code})",
            where=f"image {recipe.name}",
            why=f"last lines of its output:\n{tail}",
            fix=fix,
        )

    def _check_series(self, recipe: Recipe, packages: Mapping[str, str]) -> None:
        for package in recipe.packages:
            wanted = self.release.series.get(package, "")
            got = packages.get(package, "")
            upstream = got.partition(":")[2] or got
            if wanted and not re.match(rf"{re.escape(wanted)}(?!\d)", upstream):
                raise DeployError(
                    f"image {recipe.name} got {package} {got or '(none)'}, release {self.release.name} wants {wanted}",
                    where=f"image {recipe.name}",
                    why=f"the suite {recipe.suite} of the mirror holds another upstream series",
                    fix=f"use a mirror of {recipe.suite}, or another release",
                )

    def _labels(self, recipe: Recipe, digest: str, packages: Mapping[str, str]) -> list[str]:
        values = {
            labels.IMAGE: recipe.name,
            labels.RELEASE: self.release.name,
            labels.RECIPE: digest,
            labels.PACKAGES: packages_digest(packages),
            labels.CREATED: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        return [f"LABEL {key}={value}" for key, value in values.items()]

    def _saved(self, image_id: str, reference: str, packages: dict[str, str]) -> LockedImage:
        image_id = image_id.removeprefix("sha256:")
        folder = self.cache / "packages"
        folder.mkdir(exist_ok=True)
        (folder / f"{image_id}.json").write_text(json.dumps(packages))
        return LockedImage.of(image_id, reference, packages)

    def _apt_cache(self, suite: str, slot: int) -> tuple[Path, Path]:
        """Archives and lists of one of the parallel builds, since apt locks both; archives are hard-linked between them."""
        root = self.cache / "apt" / suite
        archives, lists = root / f"archives-{slot}", root / f"lists-{slot}"
        for folder in (archives, lists):
            folder.mkdir(parents=True, exist_ok=True)
        for package in root.glob("archives-*/*.deb"):
            mine = archives / package.name
            if not mine.exists():
                mine.hardlink_to(package)
        return archives, lists

    def _container(self, recipe: Recipe) -> str:
        return f"{CONTAINER_PREFIX}-{process_mark(os.getpid())}-{recipe.name}"

    def _containers(self) -> list[str]:
        return build_containers(self.engine, f"{CONTAINER_PREFIX}-{process_mark(os.getpid())}-")

    def _remove(self, *containers: str) -> None:
        if containers:
            self.engine.run(["rm", "--force", "--volumes", *containers], check=False)


def process_mark(pid: int) -> str:
    """``<pid>-<start time>``: names a process beyond the reuse of its number; "" when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    return f"{pid}-{stat.rpartition(')')[2].split()[19]}"


def build_containers(engine: EngineProgram, prefix: str) -> list[str]:
    listed = engine.run(["ps", "--all", "--filter", f"name={prefix}", "--format", "{{.Names}}"]).stdout.split()
    return [name for name in listed if name.startswith(prefix)]


def sweep(engine: EngineProgram) -> None:
    """Remove containers and folders of builds whose process was killed."""
    stale = [name for name in build_containers(engine, f"{CONTAINER_PREFIX}-") if _owner_is_gone(name)]
    if stale:
        engine.run(["rm", "--force", "--volumes", *stale], check=False)
    for folder in Path(tempfile.gettempdir()).glob(f"{CONTAINER_PREFIX}-*"):
        if _owner_is_gone(folder.name) and folder.stat().st_uid == os.geteuid():
            shutil.rmtree(folder, ignore_errors=True)


def packages_of(engine: EngineProgram, cache: Path, image_id: str) -> dict[str, str]:
    """The packages in an image: from the cache of the build, else read out of the image once (about 0.5 s)."""
    known = cache / "packages" / f"{image_id}.json"
    if not known.is_file():
        text = engine.run(["run", "--rm", "--network", "none", image_id, "cat", PACKAGES_FILE]).stdout
        known.parent.mkdir(exist_ok=True)
        known.write_text(text)
    found: dict[str, str] = json.loads(known.read_text())
    return found


def _owner_is_gone(name: str) -> bool:
    pid, _, started = name.removeprefix(f"{CONTAINER_PREFIX}-").partition("-")
    return pid.isdigit() and process_mark(int(pid)) != f"{pid}-{started.partition('-')[0]}"


def _packages_of_tarball(tarball: Path) -> dict[str, str]:
    with tarfile.open(tarball) as tar:
        status = next(tar.extractfile(entry) for entry in tar if entry.name.endswith("var/lib/dpkg/status"))
        text = status.read().decode() if status else ""
    return dict(re.findall(r"^Package: (\S+)\n(?:(?!\n\n).)*?^Version: (\S+)$", text, re.MULTILINE | re.DOTALL))
