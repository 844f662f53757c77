"""Persistent JSON message pools that are just files.

>>> from plasmite import Client
>>> with Client() as client, client.pool("docs") as pool:   # doctest: +SKIP
...     pool.append({"text": "hi"}, tags=["note"])
...     for message in pool.tail(tags=["note"], timeout_ms=100):
...         print(message.seq, message.data["text"])
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ._client import (
    DEFAULT_POOL_SIZE,
    DEFAULT_POOL_SIZE_BYTES,
    Client,
    default_pool_dir,
)
from ._errors import (
    AlreadyExistsError,
    BusyError,
    CorruptError,
    ErrorKind,
    InternalError,
    IoError,
    NotFoundError,
    PermissionDeniedError,
    PlasmiteError,
    RetentionGapError,
    UsageError,
)
from ._message import Message, MessageMeta, parse_message
from ._native import VERSION as __version__
from ._pool import Durability, Pool
from ._stream import Stream
from ._tail import AsyncTail, Tail

#: The default pool directory, as of when it is looked at: the same as :func:`default_pool_dir`.
DEFAULT_POOL_DIR: Path


def __getattr__(name: str) -> Any:
    if name == "DEFAULT_POOL_DIR":
        return default_pool_dir()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "DEFAULT_POOL_DIR",
    "DEFAULT_POOL_SIZE",
    "DEFAULT_POOL_SIZE_BYTES",
    "AlreadyExistsError",
    "AsyncTail",
    "BusyError",
    "Client",
    "CorruptError",
    "Durability",
    "ErrorKind",
    "InternalError",
    "IoError",
    "Message",
    "MessageMeta",
    "NotFoundError",
    "PermissionDeniedError",
    "PlasmiteError",
    "Pool",
    "RetentionGapError",
    "Stream",
    "Tail",
    "UsageError",
    "__version__",
    "default_pool_dir",
    "parse_message",
]
