"""What can go wrong in the library, as exceptions."""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class ErrorKind(IntEnum):
    """What sort of failure an error is."""

    INTERNAL = 1
    USAGE = 2
    NOT_FOUND = 3
    ALREADY_EXISTS = 4
    BUSY = 5
    PERMISSION = 6
    CORRUPT = 7
    IO = 8
    RETENTION_GAP = 9


class PlasmiteError(Exception):
    """A failure, with what is known of the pool's path, the message and the byte offset."""

    _default_kind = ErrorKind.INTERNAL

    def __init__(
        self,
        message: str = "",
        *,
        kind: ErrorKind | None = None,
        path: str | None = None,
        seq: int | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message)
        #: What happened, and what to do about it.
        self.message = message
        self.kind = self._default_kind if kind is None else kind
        #: The file or directory it is about.
        self.path = path
        #: The message it is about.
        self.seq = seq
        #: The byte it is about: of the JSON text, or of a damaged file.
        self.offset = offset

    def __str__(self) -> str:
        return self.message if self.path is None else f"{self.message} (path={self.path})"

    def __reduce__(self) -> tuple[Any, ...]:
        # With the attributes as state: programs may have added some (notes, for instance).
        return type(self), (self.message,), self.__dict__


class InternalError(PlasmiteError):
    """A bug of Plasmite."""

    _default_kind = ErrorKind.INTERNAL


class UsageError(PlasmiteError, ValueError):
    """A bad argument, invalid JSON, a message too large, a closed handle."""

    _default_kind = ErrorKind.USAGE


class NotFoundError(PlasmiteError):
    """No such pool, or no such message."""

    _default_kind = ErrorKind.NOT_FOUND


class AlreadyExistsError(PlasmiteError):
    """A pool of that name is there already."""

    _default_kind = ErrorKind.ALREADY_EXISTS


class BusyError(PlasmiteError):
    """It could not be done safely now; trying again later may work."""

    _default_kind = ErrorKind.BUSY


class PermissionDeniedError(PlasmiteError):
    """The file system refused."""

    _default_kind = ErrorKind.PERMISSION


class CorruptError(PlasmiteError):
    """The file is damaged, or is not a pool."""

    _default_kind = ErrorKind.CORRUPT


class IoError(PlasmiteError):
    """Another input or output failure, such as a full disk."""

    _default_kind = ErrorKind.IO


class RetentionGapError(PlasmiteError):
    """Messages were overwritten before they were read; ``seq`` is the first of them."""

    _default_kind = ErrorKind.RETENTION_GAP


_CLASSES: dict[int, type[PlasmiteError]] = {
    cls._default_kind: cls
    for cls in (
        InternalError,
        UsageError,
        NotFoundError,
        AlreadyExistsError,
        BusyError,
        PermissionDeniedError,
        CorruptError,
        IoError,
        RetentionGapError,
    )
}


def of_kind(kind: int, message: str, path: str | None, seq: int | None, offset: int | None) -> PlasmiteError:
    """The exception for an error of the library. A kind that a later library adds is a plain PlasmiteError."""
    cls = _CLASSES.get(kind, PlasmiteError)
    return cls(message, path=path, seq=seq, offset=offset)
