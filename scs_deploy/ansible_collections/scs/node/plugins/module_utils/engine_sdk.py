"""What the SDKs of Podman and Docker have in common; their subclasses say where they differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .engine import Ended, EngineError
from .host import Done
from .work import Container

JOB_LOG_LINES = 50
_BEFORE_START = ("created", "initialized", "configured")
_STARTED = ("running", "restarting", "removing", "stopping", "paused")


class SdkEngine:
    """Base of both engines: ``client`` is an SDK client, the error types are those of the SDK."""

    client: Any
    not_found: tuple[type[Exception], ...]
    failures: tuple[type[Exception], ...]

    def create_options(self, container: Container, labels: dict[str, str], pids_limit: int | None) -> dict[str, Any]:
        raise NotImplementedError

    @contextmanager
    def speaking(self) -> Iterator[None]:
        try:
            yield
        except self.failures as error:
            raise EngineError(str(getattr(error, "explanation", "") or error)) from error

    def get(self, name: str) -> Any | None:
        try:
            return self.client.containers.get(name)
        except self.not_found:
            return None

    def exists(self, name: str) -> bool:
        with self.speaking():
            return self.get(name) is not None

    def remove(self, name: str) -> bool:
        with self.speaking():
            found = self.get(name)
            if found is None:
                return False
            try:
                found.remove(force=True, v=True)
            except self.not_found:
                return False
            return True

    def await_gone(self, name: str, timeout: float) -> bool:
        with self.speaking():
            found = self.get(name)
            if found is None:
                return True
            # Nobody starts one any more that was not started: its run was killed in between.
            if self._wait(found, timeout, _STARTED) is None and self._state(found) in ("running", "paused", "stopping"):
                return False
        self.remove(name)
        return True

    def signal(self, name: str, signal: str) -> None:
        with self.speaking():
            found = self.get(name)
            if found is None:
                raise EngineError(f"there is no container {name}")
            found.kill(signal)

    def execute(self, name: str, argv: Sequence[str]) -> Done:
        with self.speaking():
            found = self.get(name)
            if found is None:
                return Done(125, "", f"there is no container {name}")
            code, output = found.exec_run(list(argv))
            return Done(125 if code is None else code, (output or b"").decode(errors="replace"), "")

    def start_job(
        self, container: Container, labels: dict[str, str], timeout: float, pids_limit: int | None
    ) -> Callable[[], Ended]:
        options = self.create_options(container, labels, pids_limit)
        with self.speaking():
            created = self.client.containers.create(container.image, list(container.command) or None, **options)
            try:
                created.start()
            except BaseException:
                self.remove(container.name)
                raise
        until = time.monotonic() + timeout

        def end() -> Ended:
            with self.speaking():
                try:
                    code = self._wait(created, until - time.monotonic(), (*_BEFORE_START, *_STARTED))
                    return Ended(code, self._log(created))
                finally:
                    self.remove(container.name)

        return end

    def _wait(self, container: Any, timeout: float, states: Sequence[str]) -> int | None:
        """Return the exit code once it has left ``states``, None when it is in one of them after ``timeout`` seconds."""
        until, pause = time.monotonic() + timeout, 0.05
        while True:
            container.reload()
            state = container.attrs.get("State", {})
            if state.get("Status") not in states:
                return int(state.get("ExitCode", 125))
            if time.monotonic() >= until:
                return None
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    @staticmethod
    def _state(container: Any) -> str:
        return str(container.attrs.get("State", {}).get("Status", ""))

    @staticmethod
    def _log(container: Any) -> list[str]:
        output = container.logs(stdout=True, stderr=True, tail=JOB_LOG_LINES)
        content = output if isinstance(output, bytes) else b"".join(output)
        return content.decode(errors="replace").splitlines()[-JOB_LOG_LINES:]


def split_security(options: Sequence[str]) -> dict[str, str]:
    """``["seccomp=unconfined", "label=disable"]`` as a mapping."""
    return {key: value for key, _, value in (option.partition("=") for option in options)}


def ulimits(limits: Mapping[str, str]) -> list[dict[str, Any]]:
    """The limits of a container as the SDKs want them."""
    wanted = [(name, int(limits[name])) for name in ("nofile", "nproc") if limits.get(name)]
    return [{"Name": name, "Soft": value, "Hard": value} for name, value in wanted]
