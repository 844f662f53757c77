"""What steps do, through the package."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from plasmite import DEFAULT_POOL_SIZE_BYTES, Client, Durability, Stream

from . import text
from .expect import Received, Wrong
from .manifest import Json

# How long an open reader waits in one call.
_SLICE_MS = 20


class Operations:
    """The ops that are calls of the package. Each gives what its ``expect`` is compared with."""

    def __init__(self, workdir: Path) -> None:
        self.client = Client(workdir)
        self.readers: dict[str, Stream] = {}
        self.table: dict[str, Callable[[str, Json], Any]] = {
            "append": self.append,
            "append_many": self.append_many,
            "close_tail": self.close_tail,
            "create_pool": self.create_pool,
            "delete_pool": self.delete_pool,
            "get": self.get,
            "list_pools": self.list_pools,
            "open_tail": self.open_tail,
            "pool_info": self.pool_info,
            "read_tail": self.read_tail,
            "tail": self.tail,
        }

    def create_pool(self, pool: str, given: Json) -> Json:
        self.client.create_pool(pool, given.get("size_bytes", DEFAULT_POOL_SIZE_BYTES)).close()
        return {"created": True}

    def append(self, pool: str, given: Json) -> Json:
        document = text.make(given["text"]) if "text" in given else json.dumps(given["data"]).encode()
        size = given.get("create_size_bytes")
        opened = self.client.open_pool(pool) if size is None else self.client.pool(pool, size)
        with opened:
            durability = Durability[given.get("durability", "fast").upper()]
            return {"seq": Received.of(opened.append_json(document, given.get("tags"), durability)).seq}

    def append_many(self, pool: str, given: Json) -> Json:
        with self.client.open_pool(pool) as opened:
            messages = opened.append_many(given["data"] * given.get("repeat", 1), given.get("tags"))
        return {"first_seq": messages[0].seq, "last_seq": messages[-1].seq, "count": len(messages)}

    def get(self, pool: str, given: Json) -> Received:
        with self.client.open_pool(pool) as opened:
            return Received.of(opened.get_json(given["seq"]))

    def tail(self, pool: str, given: Json) -> list[Received]:
        with self.client.open_pool(pool) as opened:
            tail = opened.tail(
                given.get("since_seq"),
                given.get("max"),
                given.get("timeout_ms"),
                given.get("tags"),
                given.get("error_on_gap", False),
            )
            return [Received.of(message.raw) for message in tail]

    def open_tail(self, pool: str, given: Json) -> Json:
        with self.client.open_pool(pool) as opened:
            reader = opened.open_stream(
                given.get("since_seq"), None, _SLICE_MS, given.get("tags"), given.get("error_on_gap", False)
            )
        self.readers[given["reader"]] = reader
        return {}

    def read_tail(self, pool: str, given: Json) -> list[Received]:
        reader = self._reader(given)
        messages: list[Received] = []
        while len(messages) < given.get("max", math.inf):
            message = _next(reader, given.get("timeout_ms", math.inf))
            if message is None:
                break
            messages.append(Received.of(message))
        return messages

    def close_tail(self, pool: str, given: Json) -> Json:
        self._reader(given).close()
        del self.readers[given["reader"]]
        return {}

    def list_pools(self, pool: str, given: Json) -> Json:
        return {"names": [listed["name"] for listed in self.client.list_pools()]}

    def pool_info(self, pool: str, given: Json) -> Json:
        with self.client.open_pool(pool) as opened:
            return opened.info()

    def delete_pool(self, pool: str, given: Json) -> Json:
        self.client.delete_pool(pool)
        return {"deleted": True}

    def write(self, pool: str, documents: Iterable[Json], tags: list[str] | None) -> None:
        """Appends one document after the other."""
        with self.client.open_pool(pool) as opened:
            for document in documents:
                opened.append(document, tags)

    def _reader(self, given: Json) -> Stream:
        reader = self.readers.get(given["reader"])
        if reader is None:
            raise Wrong(f"no reader {given['reader']!r} is open")
        return reader


def _next(reader: Stream, timeout_ms: float) -> bytes | None:
    """The next envelope, waiting for it up to so long: the reader itself waits in short slices."""
    end = time.monotonic() + timeout_ms / 1000
    while (envelope := reader.next_json()) is None and time.monotonic() < end:
        pass
    return envelope
