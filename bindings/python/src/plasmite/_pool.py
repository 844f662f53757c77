"""Pools."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from types import TracebackType
from typing import Any

from . import _args, _native
from ._errors import UsageError
from ._message import Message, nanoseconds
from ._stream import Stream, Tail


class Durability(IntEnum):
    """What an append survives once it has returned."""

    #: The death of any process.
    FAST = 0
    #: Power loss too; waits for the disk.
    FLUSH = 1


class Pool:
    """An open pool, from a :class:`Client`. Any number of threads may use it, and forked children too."""

    def __init__(self, handle: _native.Handle) -> None:
        self._handle: _native.Handle | None = handle

    def append(
        self,
        value: Mapping[str, Any],
        tags: Iterable[str] | None = None,
        durability: Durability = Durability.FAST,
    ) -> Message:
        """Appends a mapping as one message. When this returns, every reader of every process sees it."""
        return Message(
            _native.append(
                self._open(),
                _args.document(value),
                _args.tags(tags),
                _args.durability(durability),
            )
        )

    def append_many(
        self,
        values: Iterable[Mapping[str, Any]],
        tags: Iterable[str] | None = None,
        durability: Durability = Durability.FAST,
    ) -> list[Message]:
        """Appends many mappings at once, all with the same tags: consecutive seqs, all of them or none."""
        text = b"\n".join(map(_args.document, values))
        lines = _native.append_batch(self._open(), text, _args.tags(tags), _args.durability(durability))
        return [Message(line) for line in lines.split(b"\n") if line]

    def append_json(
        self,
        payload: bytes | bytearray | memoryview,
        tags: Iterable[str] | None = None,
        durability: Durability = Durability.FAST,
    ) -> bytes:
        """Appends one JSON object given as text, kept byte for byte but for whitespace, and returns the envelope."""
        return _native.append(self._open(), _args.payload(payload), _args.tags(tags), _args.durability(durability))

    def get(self, seq: int) -> Message:
        """One message. NotFoundError when the pool does not hold it."""
        return Message(self.get_json(seq))

    def get_json(self, seq: int) -> bytes:
        """The envelope of one message."""
        return _native.get(self._open(), _args.whole_number(seq, "seq"))

    def tail(
        self,
        since_seq: int | None = None,
        max_messages: int | None = None,
        timeout_ms: int | None = None,
        tags: Iterable[str] | None = None,
        error_on_gap: bool = False,
    ) -> Tail:
        """The pool's messages, oldest first, then each new one as it comes; for ``for`` and ``async for``.

        ``since_seq`` is the first one wanted (default: the oldest there is). The tail ends after ``max_messages``, or
        when none came for ``timeout_ms``. Only messages with all of ``tags`` are delivered. A reader that is overtaken
        goes on with the oldest message, or gets RetentionGapError with ``error_on_gap``.
        """
        return Tail(self.open_stream(since_seq, max_messages, timeout_ms, tags, error_on_gap))

    def replay(
        self,
        speed: float = 1.0,
        since_seq: int | None = None,
        max_messages: int | None = None,
        timeout_ms: int | None = None,
        tags: Iterable[str] | None = None,
    ) -> Iterator[Message]:
        """The same messages in their original rhythm, ``speed`` times as fast."""
        if isinstance(speed, bool) or not isinstance(speed, (int, float)):
            raise TypeError(f"speed must be a number, not {type(speed).__name__}")
        if not speed > 0:
            raise ValueError(f"speed={speed} must be above 0")
        return _replayed(self.tail(since_seq, max_messages, timeout_ms, tags), speed)

    def open_stream(
        self,
        since_seq: int | None = None,
        max_messages: int | None = None,
        timeout_ms: int | None = None,
        tags: Iterable[str] | None = None,
        error_on_gap: bool = False,
    ) -> Stream:
        """The same as :meth:`tail`, for who wants the raw envelopes."""
        handle = _native.stream_open(
            self._open(),
            _args.optional_number(since_seq, "since_seq"),
            _args.optional_number(max_messages, "max_messages"),
            _args.tags(tags),
            bool(error_on_gap),
        )
        return Stream(handle, _args.optional_number(timeout_ms, "timeout_ms"))

    def info(self) -> dict[str, Any]:
        """The facts of the pool: sizes, bounds, times."""
        facts: dict[str, Any] = json.loads(_native.pool_info(self._open()))
        return facts

    def close(self) -> None:
        """Closes the pool; its streams and tails go on. Closing twice is fine."""
        self._handle = None

    def _open(self) -> _native.Handle:
        handle = self._handle
        if handle is None:
            raise UsageError("the pool is closed")
        return handle

    def __enter__(self) -> Pool:
        self._open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _replayed(tail: Tail, speed: float) -> Iterator[Message]:
    start = first = None
    with tail:
        for message in tail:
            at = nanoseconds(message)
            if start is None or first is None:
                start, first = time.monotonic(), at
            # Each message is due at its own time after the first: lateness does not add up.
            delay = start + (at - first) / 1e9 / speed - time.monotonic()
            if delay > 0:
                time.sleep(delay)
            yield message
