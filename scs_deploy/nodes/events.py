"""JSON-lines events of a run: always written, and what progress displays listen to."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

Listener = Callable[[dict[str, Any]], None]
_KEEP = 50


class EventLog:
    """Appends one JSON object per line: ``time`` (seconds since the epoch), ``run``, ``event`` and its facts; no secrets."""

    def __init__(self, folder: Path, run: str, listener: Listener | None = None) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.run, self.path, self._listener = run, folder / f"{run}.jsonl", listener
        for old in sorted(folder.glob("*.jsonl"))[:-_KEEP]:
            old.unlink(missing_ok=True)
        self._lock = threading.Lock()
        self._file = self.path.open("a", encoding="utf-8", buffering=1)

    def emit(self, event: str, **facts: Any) -> None:
        """Write one event; may be called from several threads."""
        record = {"time": round(time.time(), 3), "run": self.run, "event": event, **facts}
        with self._lock:
            self._file.write(json.dumps(record) + "\n")
            if self._listener:
                self._listener(record)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def new_run() -> str:
    """Return an identity that sorts by time and differs between processes."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid():x}"
