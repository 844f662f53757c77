"""Pool directories."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from . import _args, _native
from ._errors import UsageError
from ._pool import Pool

#: The size of a pool when none is asked for: 1 MiB.
DEFAULT_POOL_SIZE_BYTES = 1024 * 1024
DEFAULT_POOL_SIZE = DEFAULT_POOL_SIZE_BYTES


def default_pool_dir() -> Path:
    """``~/.plasmite/pools``, in the home directory as of now."""
    return Path.home() / ".plasmite" / "pools"


class Client:
    """A directory of pools, which need not exist yet.

    A pool is named by its name in the directory (``"docs"`` or ``"docs.plasmite"``), or, with a slash, by its path.
    """

    def __init__(self, pool_dir: str | os.PathLike[str] | None = None) -> None:
        directory = default_pool_dir() if pool_dir is None else pool_dir
        text = _args.path(directory, "pool_dir")
        self._handle: _native.Handle | None = _native.client_new(os.fsencode(text))
        self._pool_dir = Path(text)

    @property
    def pool_dir(self) -> Path:
        """The directory."""
        return self._pool_dir

    def create_pool(self, ref: str | os.PathLike[str], size: int = DEFAULT_POOL_SIZE_BYTES) -> Pool:
        """Creates a pool whose file has exactly ``size`` bytes. AlreadyExistsError when it is there."""
        return Pool(_native.pool_create(self._open(), _ref(ref), _args.whole_number(size, "size")))

    def open_pool(self, ref: str | os.PathLike[str]) -> Pool:
        """Opens a pool. NotFoundError when it is not there."""
        return Pool(_native.pool_open(self._open(), _ref(ref)))

    def pool(self, ref: str | os.PathLike[str], size: int = DEFAULT_POOL_SIZE_BYTES) -> Pool:
        """Opens a pool, or creates it with ``size`` bytes; also when several processes do this at once."""
        number = _args.whole_number(size, "size")
        return Pool(_native.pool_open_or_create(self._open(), _ref(ref), number))

    def delete_pool(self, ref: str | os.PathLike[str]) -> None:
        """Deletes a pool. Whoever has it open gets NotFoundError from then on."""
        _native.pool_delete(self._open(), _ref(ref))

    def list_pools(self) -> list[dict[str, Any]]:
        """The facts of all pools, as :meth:`Pool.info` tells them, sorted by name. A pool that can't be read has an
        ``error`` instead."""
        pools: list[dict[str, Any]] = json.loads(_native.pool_list(self._open()))
        return pools

    def close(self) -> None:
        """Closes the client; its pools stay open. Closing twice is fine."""
        self._handle = None

    def _open(self) -> _native.Handle:
        handle = self._handle
        if handle is None:
            raise UsageError("the client is closed")
        return handle

    def __enter__(self) -> Client:
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
        return Client, (os.path.abspath(self._pool_dir),)

    def __repr__(self) -> str:
        return f"Client({str(self._pool_dir)!r})"


def _ref(ref: str | os.PathLike[str]) -> bytes:
    return os.fsencode(_args.path(ref, "pool ref"))
