"""Playing a manifest."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from plasmite import PlasmiteError

from . import processes, text
from .expect import Wrong, check
from .manifest import Json, Manifest, Step
from .operations import Operations
from .root import obey_file_modes
from .watchdog import Watchdog

_SURFACE = "python"
# What the package can't do.
_NO_STREAMS = "the package takes documents, it cuts no texts into them"


class Player:
    def __init__(self, manifest: Manifest, watchdog: Watchdog) -> None:
        self._manifest = manifest
        self._watchdog = watchdog
        self._workdir = manifest.workdir
        self._operations = Operations(manifest.workdir)
        # Readers that could not be opened.
        self._unopened: set[str] = set()

    def play(self) -> int:
        """The exit code; what is wrong is told on stderr."""
        if _SURFACE in self._manifest.not_on:
            return self._check_whole()
        self._empty()
        if any(step.op == "chmod" for step in self._manifest.steps):
            obey_file_modes()
        for step in self._manifest.steps:
            self._watchdog.watch(step.label)
            try:
                self._step(step)
            except Exception as error:
                what = str(error) if isinstance(error, Wrong) else repr(error)
                print(f"{step.label}: {what}", file=sys.stderr)
                return 1
        self._watchdog.watch(None)
        return 0

    def _empty(self) -> None:
        if self._workdir.exists():
            # An earlier run may have ended while nothing could be removed.
            self._workdir.chmod(0o755)
            shutil.rmtree(self._workdir)
        self._workdir.mkdir(parents=True)

    def _check_whole(self) -> int:
        """A manifest that is declared as not for this surface must hold something that it can't express."""
        if any(self._cannot(step) for step in self._manifest.steps):
            return 0
        print(f"{_SURFACE} is in not_on, but can express every step", file=sys.stderr)
        return 1

    def _cannot(self, step: Step) -> str | None:
        op = step.input["step"]["op"] if step.op == "race" else step.op
        if op == "append_stream":
            return _NO_STREAMS
        if op in ("read_tail", "close_tail") and step.input["reader"] in self._unopened:
            return "its reader could not be opened"
        return None

    def _step(self, step: Step) -> None:
        declared, why = _SURFACE in step.not_on, self._cannot(step)
        if why is not None and declared:
            if step.op == "open_tail":
                self._unopened.add(step.input["reader"])
            return
        if why is not None:
            raise Wrong(f"{_SURFACE} can't express it: {why}")
        if declared:
            raise Wrong(f"{_SURFACE} is in not_on, but can express it")
        result, error = None, None
        try:
            result = self._act(step)
        except (PlasmiteError, ValueError) as caught:
            error = caught
        if _SURFACE not in step.expect_on:
            check(step.expect, result, error)
            return
        check(step.expect_on[_SURFACE]["expect"], result, error)
        try:
            check(step.expect, result, error)
        except Wrong:
            return
        raise Wrong(f"{_SURFACE} is in expect_on, but gives what all give")

    def _act(self, step: Step) -> Any:
        given = step.input
        if step.op == "spawn":
            return processes.spawn(self._workdir, step.pool, given)
        if step.op == "race":
            return processes.race(self._workdir, given)
        if step.op == "corrupt_header":
            return self._corrupt(step.pool, given)
        if step.op == "put_file":
            self._file(step.pool).write_bytes(text.make(given["text"]))
            return {}
        if step.op == "chmod":
            (self._file(step.pool) if step.pool else self._workdir).chmod(int(given["mode"], 8))
            return {}
        return self._operations.table[step.op](step.pool, given)

    def _corrupt(self, pool: str, given: Json) -> Json:
        with self._file(pool).open("r+b") as file:
            file.seek(given["offset"])
            file.write(text.from_hex(given["bytes"]))
        return {}

    def _file(self, pool: str) -> Path:
        return self._workdir / f"{pool}.plasmite"
