"""Processes that work at the same time: each gets ready, waits for the others, and does its part."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from plasmite import PlasmiteError

from .expect import Wrong, check, kind_of
from .manifest import Json, Step
from .operations import Operations

# How long processes wait for each other.
_PATIENCE_SECONDS = 60


def spawn(workdir: Path, pool: str, given: Json) -> Json:
    """Writers, and steps that others play meanwhile."""
    works = [("write", pool, writer) for writer in given["writers"]]
    works += [("play", pool, step) for step in given.get("alongside", [])]
    for (what, _, part), (report, code) in zip(works, _at_once(workdir, works), strict=True):
        killed = what == "write" and part.get("killed", False)
        if report != "succeeded" or code != (-signal.SIGKILL if killed else 0):
            raise Wrong(f"a process that was to {what} ended with {code}: {report}")
    return {}


def race(workdir: Path, given: Json) -> Json:
    """Several processes that play the same step; how many succeeded, and how many failed how."""
    step = given["step"]
    works = [("try", step.get("pool", ""), step)] * given["processes"]
    reports = Counter(report for report, _ in _at_once(workdir, works))
    succeeded = reports.pop("succeeded", 0)
    return {"succeeded": succeeded, "failed": dict(reports)}


def _at_once(workdir: Path, works: list[tuple[str, str, Json]]) -> list[tuple[Any, Any]]:
    """What each process reported, and its exit code."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(len(works))
    started = []
    for work in works:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(str(workdir), work, ready, sender), daemon=True)
        process.start()
        # Only the process has the other end, so that its death ends the pipe.
        sender.close()
        started.append((process, receiver))
    ended = []
    for process, receiver in started:
        try:
            report = receiver.recv()
        except EOFError:
            report = "ended without a word"
        process.join()
        ended.append((report, process.exitcode))
    return ended


def _work(workdir: str, work: tuple[str, str, Json], ready: Any, sender: Any) -> None:
    what, pool, part = work
    operations = Operations(Path(workdir))
    ready.wait(_PATIENCE_SECONDS)
    try:
        if what == "write":
            operations.write(pool, _documents(part), part.get("tags"))
        else:
            _play(operations, part, what == "play")
    except (PlasmiteError, ValueError) as error:
        sender.send(kind_of(error))
    except Wrong as wrong:
        sender.send(str(wrong))
    else:
        sender.send("succeeded")
    if what == "write" and part.get("killed", False):
        # Nothing of this process gets a chance to tidy up.
        os.kill(os.getpid(), signal.SIGKILL)


def _play(operations: Operations, raw: Json, must_fit: bool) -> None:
    step = Step.of(0, raw)
    result = operations.table[step.op](step.pool, step.input)
    if must_fit:
        check(step.expect, result, None)


def _documents(writer: Json) -> list[Json]:
    if "data" in writer:
        data: list[Json] = writer["data"]
        return data
    numbered = writer["numbered"]
    return [{**numbered["data"], "n": n} for n in range(1, numbered["count"] + 1)]
