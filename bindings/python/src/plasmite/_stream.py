"""Streams of messages: a cursor each, on its own."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Generator
from types import TracebackType
from typing import Any

from . import _native
from ._errors import UsageError
from ._message import Message

# Python runs signal handlers between calls: Ctrl-C ends a wait after at most so long.
_SLICE_MS = 50
# A read takes few messages at first (some only want one), then more and more.
_FIRST_READ = 16
_LARGEST_READ = 1024
_READ_BYTES = 256 * 1024


class Stream:
    """A cursor over a pool's messages that gives raw envelopes. From :meth:`Pool.open_stream`."""

    def __init__(self, handle: _native.Handle, timeout_ms: int | None) -> None:
        self._handle: _native.Handle | None = handle
        self._timeout_ms = timeout_ms
        self._read_next = _FIRST_READ
        # What was read ahead.
        self._lines: deque[bytes] = deque()

    def next_json(self) -> bytes | None:
        """The next envelope; None when the stream has ended or none came in time."""
        lines = self._lines
        while True:
            try:
                return lines.popleft()
            except IndexError:
                if not self._fill():
                    return None

    def _fill(self) -> bool:
        """Reads ahead, waiting for at least one message. False: there is nothing more."""
        ready = self._try_fill(0)
        if ready is not None:
            return ready
        deadline = self._deadline()
        while (wait_ms := _slice_before(deadline)) > 0:
            ready = self._try_fill(wait_ms)
            if ready is not None:
                return ready
        return False

    def _deadline(self) -> float:
        return math.inf if self._timeout_ms is None else time.monotonic() + self._timeout_ms / 1000

    def _try_fill(self, wait_ms: int) -> bool | None:
        """The same, without waiting for longer than that. None: not yet."""
        code, block = _native.stream_read(self._open(), self._read_next, _READ_BYTES, wait_ms)
        if code == _native.MESSAGE:
            lines = block.split(b"\n")
            lines.pop()
            self._lines.extend(lines)
            self._read_next = min(self._read_next * 4, _LARGEST_READ)
            return True
        return False if code == _native.END else None

    def _open(self) -> _native.Handle:
        handle = self._handle
        if handle is None:
            raise UsageError("the stream is closed")
        return handle

    def close(self) -> None:
        """Closes the stream. Closing twice is fine."""
        self._handle = None
        self._lines.clear()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> bytes:
        line = self.next_json()
        if line is None:
            raise StopIteration
        return line

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _slice_before(deadline: float) -> int:
    """How many milliseconds to wait in one call; 0 when the time is over."""
    left = deadline - time.monotonic()
    return _SLICE_MS if left > _SLICE_MS / 1000 else max(0, math.ceil(left * 1000))


class Tail(Generator[Message, None, None]):
    """A pool's messages, for ``for`` and ``async for``. From :meth:`Pool.tail`.

    It is a generator: once it has ended, or has raised, it stays at its end.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream: Stream | None = stream
        self._lines = stream._lines

    def __next__(self) -> Message:
        lines = self._lines
        while True:
            if lines:
                try:
                    return Message(lines.popleft())
                except IndexError:
                    # Another thread has taken what this one saw.
                    continue
            stream = self._stream
            try:
                ready = stream is not None and stream._fill()
            except Exception:
                self.close()
                raise
            if not ready:
                self.close()
                raise StopIteration

    def send(self, value: None, /) -> Message:
        return next(self)

    def throw(self, typ: Any, val: Any = None, tb: Any = None, /) -> Message:
        self.close()
        error = typ if isinstance(typ, BaseException) else (val or typ())
        raise error

    def close(self) -> None:
        """Ends the tail. Closing twice is fine."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def __enter__(self) -> Tail:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __aiter__(self) -> Tail:
        return self

    async def __anext__(self) -> Message:
        lines = self._lines
        if not lines:
            try:
                ready = await self._fill_later()
            except Exception:
                self.close()
                raise
            if not ready:
                self.close()
                raise StopAsyncIteration
        return Message(lines.popleft())

    async def aclose(self) -> None:
        """Ends the tail, as :meth:`close`."""
        self.close()

    async def _fill_later(self) -> bool:
        """As Stream._fill; the event loop waits."""
        stream = self._stream
        if stream is None:
            return False
        deadline = stream._deadline()
        while True:
            ready = stream._try_fill(0)
            if ready is not None:
                return ready
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            await _readable(stream, None if left == math.inf else left)


async def _readable(stream: Stream, timeout: float | None) -> None:
    """Returns when the stream should be read, or when the time is over."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    # The descriptor lives as long as the handle: its number must not become another file's while the loop polls it.
    handle = stream._open()
    fd = _native.stream_fd(handle)
    loop.add_reader(fd, readable.set)
    try:
        await asyncio.wait_for(readable.wait(), timeout)
    except asyncio.TimeoutError:
        pass
    finally:
        loop.remove_reader(fd)
