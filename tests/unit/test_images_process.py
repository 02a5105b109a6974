"""Child processes of a build: output, failure and interruption."""

import os
import threading
import time

import pytest

from scs_deploy.catalogue.release import load_release
from scs_deploy.errors import DeployError
from scs_deploy.images import process
from scs_deploy.images.builder import Builder
from scs_deploy.images.process import Children, Output
from scs_deploy.images.recipe import Recipe
from scs_deploy.images.script import PACKAGES, STEP
from scs_deploy.machine.engine import EngineProgram


def run(script: str, children: Children | None = None) -> tuple[Output, list[str]]:
    steps: list[str] = []
    output = (children or Children()).run(["sh", "-c", script], env=dict(os.environ), stdin="", on_step=steps.append)
    return output, steps


def test_steps_tail_and_packages_are_told_apart() -> None:
    output, steps = run(f"echo '{STEP}one'; seq 1 30; echo oops >&2; echo '{PACKAGES}'; echo '{{'; echo '}}'; exit 3")
    assert steps == ["one"]
    assert (output.code, output.step, list(output.tail)[-1], len(output.tail)) == (3, "one", "oops", 20)
    assert output.packages[1:] == ["{", "}"]


def test_stop_ends_children_that_ignore_sigterm_and_starts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.3)
    children = Children()
    thread = threading.Thread(target=run, args=("trap '' TERM; sleep 60 & wait; sleep 60", children))
    thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    children.stop(lambda: None)
    thread.join(10)
    assert not thread.is_alive()
    assert time.monotonic() - began < 4
    assert run("true", children)[0].code == -1


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("Temporary failure resolving 'deb.debian.org'", "mirror could not be reached"),
        ("write error: No space left on device", "free space"),
        ("E: Unable to locate package keyston", "service.yml"),
    ],
)
def test_a_failure_says_what_to_do(tmp_path, words: str, advice: str) -> None:  # type: ignore[no-untyped-def]
    output = Output(step="packages: keyston", code=100)
    output.tail.append(words)
    builder = Builder(EngineProgram("podman", ""), load_release("2025.1"), tmp_path, {}, {})
    with pytest.raises(DeployError) as caught:
        builder._check(Recipe("keystone", "base"), output.step, output)
    assert "image keystone failed at step `packages: keyston`" in caught.value.what
    assert words in caught.value.why
    assert advice in caught.value.fix


@pytest.mark.parametrize(
    ("version", "fits"), [("2:27.0.0-3", True), ("27.1-1", True), ("2:270-1", False), ("28-1", False)]
)
def test_a_package_of_another_series_stops_the_build(tmp_path, version: str, fits: bool) -> None:  # type: ignore[no-untyped-def]
    builder = Builder(EngineProgram("podman", ""), load_release("2025.1"), tmp_path, {}, {})
    recipe = Recipe("keystone", "base", ("keystone",))
    if fits:
        builder._check_series(recipe, {"keystone": version})
    else:
        with pytest.raises(DeployError, match="wants 27"):
            builder._check_series(recipe, {"keystone": version})
