"""No step runs for ever: one that is over its time is named, and what it started goes away with this process."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading

from .manifest import BadManifest

_LIMIT = "PLASMITE_CONFORMANCE_STEP_SECONDS"
_DEFAULT_SECONDS = "120"


class Watchdog:
    def __init__(self) -> None:
        text = os.environ.get(_LIMIT, _DEFAULT_SECONDS)
        if not (text.isascii() and text.isdigit()):
            raise BadManifest(f"{_LIMIT}={text}: not a number")
        self._seconds = int(text)
        self._timer: threading.Timer | None = None

    def watch(self, label: str | None) -> None:
        """Watches over this step from now on, or over none."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if label is not None:
            self._timer = threading.Timer(self._seconds, self._end, [label])
            self._timer.daemon = True
            self._timer.start()

    def _end(self, label: str) -> None:
        print(f"{label}: not done after {self._seconds} s", file=sys.stderr, flush=True)
        for process in multiprocessing.active_children():
            process.kill()
        os._exit(1)
