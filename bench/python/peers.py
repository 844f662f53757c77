"""What one would use from Python instead of Plasmite, driven as Plasmite is.

`DIR COUNT` prints the rows of one round, a JSON object a line. Each system keeps what it was given when a process dies,
and what it reads is decoded."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from plasmite import Client

SMALL: dict[str, Any] = {"kind": "note", "text": "hi", "n": 1}
#: How a message is appended, and how all are read.
System = tuple[Callable[[dict[str, Any]], Any], Callable[[], Iterator[Any]]]


def plasmite(directory: Path) -> System:
    pool = Client(directory).create_pool("peer", 64 << 20)
    return pool.append, lambda: (message.data for message in pool.tail(timeout_ms=0))


def sqlite(directory: Path) -> System:
    database = sqlite3.connect(directory / "peer.sqlite", isolation_level=None)
    database.execute("PRAGMA journal_mode=wal")
    database.execute("PRAGMA synchronous=normal")
    database.execute("CREATE TABLE messages (seq INTEGER PRIMARY KEY, data TEXT NOT NULL)")

    def append(value: dict[str, Any]) -> None:
        database.execute("INSERT INTO messages (data) VALUES (?)", (json.dumps(value),))

    def read() -> Iterator[Any]:
        return (json.loads(data) for (data,) in database.execute("SELECT data FROM messages ORDER BY seq"))

    return append, read


def file(directory: Path) -> System:
    path = directory / "peer.jsonl"
    lines = path.open("ab", buffering=0)

    def read() -> Iterator[Any]:
        with path.open("rb") as lines:
            yield from map(json.loads, lines)

    return lambda value: lines.write(json.dumps(value).encode() + b"\n"), read


SYSTEMS: dict[str, Callable[[Path], System]] = {
    "Plasmite": plasmite,
    "SQLite (WAL)": sqlite,
    "file": file,
}


def note(group: str, system: str, start: int, count: int) -> None:
    value = (time.perf_counter_ns() - start) / count
    print(json.dumps({"group": group, "system": system, "value": value}))


def measure(system: str, directory: Path, count: int) -> None:
    append, read = SYSTEMS[system](directory)
    for _ in range(count // 4):
        append(SMALL)
    start = time.perf_counter_ns()
    for _ in range(count):
        append(SMALL)
    note("Python append, small dict", system, start, count)
    start = time.perf_counter_ns()
    note("Python read, small dict", system, start, sum(1 for _ in read()))


if __name__ == "__main__":
    for number, name in enumerate(SYSTEMS):
        own = Path(sys.argv[1]) / f"python-peer-{number}"
        own.mkdir()
        measure(name, own, int(sys.argv[2]))
