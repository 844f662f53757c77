"""Reading a pool's messages in blocks, and the stream of their raw envelopes."""

from __future__ import annotations

import math
import time
from collections import deque
from types import TracebackType
from typing import NoReturn

from . import _native
from ._errors import UsageError

# A signal handler ends a wait in the library, so that Python looks at Ctrl-C at once. One that runs just before the
# wait begins does not, nor does another thread that closes the cursor: then it ends after at most so long. Each look
# costs something, so there are fewer of them the longer nothing has come.
_FIRST_SLICE_MS = 100
_LONGEST_SLICE_MS = 1000
# A read takes few messages at first (some only want one), then more and more.
_FIRST_READ = 16
_LARGEST_READ = 1024
_READ_BYTES = 256 * 1024


class Cursor:
    """Gives messages as blocks of JSON Lines: all that is there, up to some size."""

    __slots__ = ("_handle", "_messages", "timeout_ms")

    def __init__(self, handle: _native.Handle, timeout_ms: int | None) -> None:
        self._handle: _native.Handle | None = handle
        self._messages = _FIRST_READ
        self.timeout_ms = timeout_ms

    def block(self) -> bytes:
        """Waits for at least one message. Empty: nothing more comes, nothing came in time, or it was closed."""
        slice_ms = _FIRST_SLICE_MS
        if self.timeout_ms is None:
            while (block := self.try_block(slice_ms)) is None:
                slice_ms = min(slice_ms * 2, _LONGEST_SLICE_MS)
            return block
        end = time.monotonic() + self.timeout_ms / 1000
        left_ms = self.timeout_ms
        while (block := self.try_block(min(left_ms, slice_ms))) is None:
            left_ms = math.ceil((end - time.monotonic()) * 1000)
            if left_ms <= 0:
                return b""
            slice_ms = min(slice_ms * 2, _LONGEST_SLICE_MS)
        return block

    def try_block(self, wait_ms: int) -> bytes | None:
        """The same, without waiting for longer than that. None: not yet."""
        # The thread's own reference: what another thread closes is freed when this call is over.
        handle = self._handle
        if handle is None:
            return b""
        messages = self._messages
        if messages < _LARGEST_READ:
            self._messages = messages * 4
        return _native.stream_read(handle, messages, _READ_BYTES, wait_ms)

    def handle(self) -> _native.Handle | None:
        """What the library reads from; None when it is closed."""
        return self._handle

    def close(self) -> None:
        self._handle = None

    def __reduce__(self) -> NoReturn:
        raise TypeError("a tail or stream can't be copied or pickled: pass the pool, and open another one from it")


class Stream:
    """A cursor over a pool's messages that gives raw envelopes. From :meth:`Pool.open_stream`."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        # What was read ahead.
        self._lines: deque[bytes] = deque()

    def next_json(self) -> bytes | None:
        """The next envelope; None when the stream has ended or none came in time."""
        return next(self, None)

    def __next__(self) -> bytes:
        lines = self._lines
        while True:
            try:
                return lines.popleft()
            except IndexError:
                if self._cursor.handle() is None:
                    raise UsageError("the stream is closed") from None
            block = self._cursor.block()
            if not block:
                raise StopIteration
            new = block.split(b"\n")
            new.pop()
            lines.extend(new)

    def __iter__(self) -> Stream:
        return self

    def close(self) -> None:
        """Closes the stream. Closing twice is fine."""
        self._cursor.close()
        self._lines.clear()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
