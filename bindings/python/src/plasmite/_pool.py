"""Pools."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from types import TracebackType
from typing import Any

from . import _args, _native
from ._errors import UsageError
from ._message import Message, Messages
from ._stream import Cursor, Stream
from ._tail import AsyncTail, Tail, replayed


class Durability(IntEnum):
    """What an append survives once it has returned."""

    #: The death of any process.
    FAST = 0
    #: Power loss too; waits for the disk.
    FLUSH = 1


# For a look that is faster than a comparison.
_FAST = Durability.FAST


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
        data, own_tags = _args.document(value), _args.tags(tags)
        level = 0 if durability is _FAST else _args.durability(durability)
        seq, time_ns = _native.append(self._open(), data, own_tags, level)
        return Message((seq, time_ns, own_tags.names, data))

    def append_many(
        self,
        values: Iterable[Mapping[str, Any]],
        tags: Iterable[str] | None = None,
        durability: Durability = Durability.FAST,
    ) -> Sequence[Message]:
        """Appends many mappings at once, all with the same tags: consecutive seqs, all of them or none."""
        handle = self._open()
        text = _args.documents(values)
        block = _native.append_batch(handle, text, _args.tags(tags), _args.durability(durability))
        return Messages(block)

    def append_json(
        self,
        payload: bytes | bytearray | memoryview,
        tags: Iterable[str] | None = None,
        durability: Durability = Durability.FAST,
    ) -> bytes:
        """Appends one JSON object given as text, kept byte for byte but for whitespace, and returns the envelope."""
        handle = self._open()
        return _native.append_json(handle, _args.payload(payload), _args.tags(tags), _args.durability(durability))

    def get(self, seq: int) -> Message:
        """One message. NotFoundError when the pool does not hold it."""
        return Message(self.get_json(seq).decode())

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
        spin_us: int = 0,
    ) -> Tail:
        """The pool's messages, oldest first, then each new one as it comes, for ``for``.

        ``since_seq`` is the first one wanted (default: the oldest there is). The tail ends after ``max_messages``, or
        when none came for ``timeout_ms``. Only messages with all of ``tags`` are delivered. A reader that is overtaken
        goes on with the oldest message, or gets RetentionGapError with ``error_on_gap``.

        A wait looks for messages for ``spin_us`` microseconds before it sleeps: a reader that looks need not be woken,
        and keeps a CPU busy meanwhile. Ctrl-C is noticed afterwards.
        """
        return Tail(self._cursor(since_seq, max_messages, timeout_ms, tags, error_on_gap, spin_us))

    def atail(
        self,
        since_seq: int | None = None,
        max_messages: int | None = None,
        timeout_ms: int | None = None,
        tags: Iterable[str] | None = None,
        error_on_gap: bool = False,
    ) -> AsyncTail:
        """The same as :meth:`tail`, for ``async for``. The event loop waits: no reader holds a thread."""
        return AsyncTail(self._cursor(since_seq, max_messages, timeout_ms, tags, error_on_gap))

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
        return replayed(self.tail(since_seq, max_messages, timeout_ms, tags), speed)

    def open_stream(
        self,
        since_seq: int | None = None,
        max_messages: int | None = None,
        timeout_ms: int | None = None,
        tags: Iterable[str] | None = None,
        error_on_gap: bool = False,
        spin_us: int = 0,
    ) -> Stream:
        """The same as :meth:`tail`, for who wants the raw envelopes."""
        return Stream(self._cursor(since_seq, max_messages, timeout_ms, tags, error_on_gap, spin_us))

    def _cursor(
        self,
        since_seq: int | None,
        max_messages: int | None,
        timeout_ms: int | None,
        tags: Iterable[str] | None,
        error_on_gap: bool,
        spin_us: int = 0,
    ) -> Cursor:
        pool = self._open()
        timeout_ms = _args.optional_number(timeout_ms, "timeout_ms")
        handle = _native.stream_open(
            pool,
            _args.optional_number(since_seq, "since_seq"),
            _args.optional_number(max_messages, "max_messages"),
            _args.tags(tags),
            bool(error_on_gap),
            _args.microseconds(spin_us, "spin_us"),
        )
        return Cursor(handle, timeout_ms)

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

    def __reduce__(self) -> tuple[Any, ...]:
        # For processes that are spawned: they open the pool by its path.
        return _reopened, (os.path.abspath(self.info()["path"]),)

    def __repr__(self) -> str:
        return "<Pool, closed>" if self._handle is None else f"<Pool {self.info()['path']!r}>"


def _reopened(path: str) -> Pool:
    client = _native.client_new(os.fsencode(os.path.dirname(path)))
    return Pool(_native.pool_open(client, os.fsencode(path)))
