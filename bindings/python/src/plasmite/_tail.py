"""A pool's messages one after the other: for ``for``, for ``async for``, and in their original rhythm."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Generator, Iterator
from types import TracebackType
from typing import Any

from . import _native
from ._message import Message, lines_of, nanoseconds
from ._stream import Cursor


class Tail(Generator[Message, None, None]):
    """A pool's messages, for ``for``. From :meth:`Pool.tail`.

    It is a generator: once it has ended, or has raised, it stays at its end. Threads that share one get different
    messages, and any of them may close it, which ends the wait of the others.
    """

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        # What was read ahead.
        self._lines: deque[str] = deque()

    def __next__(self) -> Message:
        lines = self._lines
        while True:
            try:
                return Message(lines.popleft())
            except IndexError:
                lines.extend(self._more())

    def _more(self) -> list[str]:
        """At least one line; StopIteration at the end."""
        try:
            block = self._cursor.block()
        except Exception:
            self.close()
            raise
        if not block:
            self.close()
            raise StopIteration
        return lines_of(block)

    def send(self, value: None, /) -> Message:
        return next(self)

    def throw(self, typ: Any, val: Any = None, tb: Any = None, /) -> Message:
        self.close()
        error = typ if isinstance(typ, BaseException) else (val or typ())
        raise error

    def close(self) -> None:
        """Ends the tail. Closing twice is fine."""
        self._cursor.close()
        self._lines.clear()

    def __enter__(self) -> Tail:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncTail(AsyncIterator[Message]):
    """A pool's messages, for ``async for``. From :meth:`Pool.atail`.

    Once it has ended, or has raised, it stays at its end. A wait that is cancelled loses nothing: the tail goes on.
    """

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._lines: deque[str] = deque()
        self._wait: asyncio.Future[None] | None = None
        # The last block was there without waiting.
        self._is_busy = False
        self._is_reading = False

    def __aiter__(self) -> AsyncTail:
        return self

    async def __anext__(self) -> Message:
        lines = self._lines
        while not lines:
            if self._is_reading:
                raise RuntimeError("another task is reading this tail: give each task a tail of its own")
            self._is_reading = True
            try:
                lines.extend(await self._more())
            finally:
                self._is_reading = False
        return Message(lines.popleft())

    async def _more(self) -> list[str]:
        """At least one line; StopAsyncIteration at the end."""
        cursor = self._cursor
        if self._is_busy:
            # Much is to be read: let the loop's other tasks have their turn.
            await asyncio.sleep(0)
        self._is_busy = True
        timeout_ms = cursor.timeout_ms
        end = math.inf if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        try:
            while (block := cursor.try_block(0)) is None:
                left = end - time.monotonic()
                handle = cursor.handle()
                if left <= 0 or handle is None:
                    break
                await self._readable(handle, left)
                self._is_busy = False
        except Exception:
            self.close()
            raise
        if not block:
            self.close()
            raise StopAsyncIteration
        return lines_of(block)

    async def _readable(self, handle: _native.Handle, timeout: float) -> None:
        """Returns when the cursor should be read, when the time is over, or when the tail was closed.

        The descriptor lives as long as the handle: its number must not become another file's while the loop polls it.
        """
        loop = asyncio.get_running_loop()
        fd = _native.stream_fd(handle)
        self._wait = loop.create_future()
        loop.add_reader(fd, self._wake)
        timer = None if timeout == math.inf else loop.call_later(timeout, self._wake)
        try:
            await self._wait
        finally:
            self._wait = None
            loop.remove_reader(fd)
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        wait = self._wait
        if wait is not None and not wait.done():
            wait.set_result(None)

    def close(self) -> None:
        """Ends the tail, also while another task waits for it. Closing twice is fine."""
        self._cursor.close()
        self._lines.clear()
        self._wake()

    async def aclose(self) -> None:
        """The same as :meth:`close`."""
        self.close()

    async def __aenter__(self) -> AsyncTail:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


_LONGEST_SLEEP = 24 * 3600


def replayed(tail: Tail, speed: float) -> Iterator[Message]:
    """The messages of a tail in their original rhythm, ``speed`` times as fast."""
    start = first = None
    with tail:
        for message in tail:
            at = nanoseconds(message)
            if start is None or first is None:
                start, first = time.monotonic(), at
            # Each message is due at its own time after the first: lateness does not add up.
            due = start + (at - first) / 1e9 / speed
            while (delay := due - time.monotonic()) > 0:
                # time.sleep refuses what no clock can count.
                time.sleep(min(delay, _LONGEST_SLEEP))
            yield message
