"""libplasmite through ctypes. No other module imports ctypes, and none but this one sees a pointer.

A call takes Python values that were checked, and returns Python values or raises a PlasmiteError.

Making a ctypes object takes longer than the append of a small message, and so does turning an int into a C argument.
What is called for each message therefore gets arguments that were made before: handles, constants, tags, places for
results. Such a function has no argtypes, which would be asked about each argument.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

from ._errors import PlasmiteError, of_kind

# What the library's stream_read returns.
_END = 0
_MESSAGE = 1

_ABI_VERSION = 3
_FILE = "libplasmite.dylib" if sys.platform == "darwin" else "libplasmite.so"


class _Buf(ctypes.Structure):
    # As text that ends in a NUL, which there is: ctypes reads it in one step. JSON holds no NUL.
    _fields_ = (("data", c_char_p), ("len", c_size_t))


class _Error(ctypes.Structure):
    _fields_ = (
        ("kind", c_int32),
        ("message", c_char_p),
        ("path", c_char_p),
        ("seq", c_uint64),
        ("offset", c_uint64),
        ("has_seq", c_uint8),
        ("has_offset", c_uint8),
    )


class _StreamOptions(ctypes.Structure):
    _fields_ = (
        ("struct_size", c_uint32),
        ("gap_policy", c_uint32),
        ("since_seq", c_uint64),
        ("max_messages", c_uint64),
        ("timeout_ms", c_uint64),
        ("has_since", c_uint32),
        ("has_max", c_uint32),
        ("has_timeout", c_uint32),
        ("reserved", c_uint32),
    )


class _Receipt(ctypes.Structure):
    _fields_ = (("seq", c_uint64), ("time_ns", c_uint64))


def _load() -> ctypes.CDLL:
    """The library, from the first place that is meant to have it; a failure tells where it looked."""
    override = os.environ.get("PLASMITE_LIB_DIR")
    bundled = Path(__file__).resolve().parent / "_native" / _FILE
    if override:
        # Asked for by name: another one would be a surprise.
        where, candidates = "PLASMITE_LIB_DIR", [os.path.join(os.path.abspath(override), _FILE)]
    elif bundled.is_file():
        where, candidates = "the package", [str(bundled)]
    else:
        # The last is what a system has that can run programs but not link them.
        candidates = [_FILE, "plasmite", "libplasmite.so.1"]
        where = f"{bundled.parent} and the system's linker"
    failures = []
    for candidate in candidates:
        try:
            library = ctypes.CDLL(candidate)
        except OSError as error:
            failures.append(str(error))
            continue
        refusal = _refusal(library, candidate)
        if refusal is None:
            return library
        failures.append(refusal)
    raise ImportError(
        f"libplasmite could not be loaded from {where} ({'; '.join(failures)}). "
        "Set PLASMITE_LIB_DIR to the folder that holds it, or install a wheel that bundles it."
    )


def _refusal(library: ctypes.CDLL, name: str) -> str | None:
    """Why this library is not the one. A newer one is: the ABI only grows."""
    try:
        abi_version, version = library.plsm_abi_version, library.plsm_version
    except AttributeError:
        return f"{name}: it is no libplasmite, or one from before ABI version 1"
    version.restype = c_char_p
    if abi_version() >= _ABI_VERSION:
        return None
    return (
        f"{name}: it is libplasmite {version().decode(errors='replace')} with ABI version {abi_version()}, "
        f"and this package needs ABI version {_ABI_VERSION} or later"
    )


_lib = _load()
_ErrorPointer = POINTER(_Error)
_out_error = POINTER(_ErrorPointer)
_out_handle = POINTER(c_void_p)
_out_buf = POINTER(_Buf)
_strings = POINTER(c_char_p)
_JSON = (c_char_p, c_size_t, _strings, c_size_t, c_uint32)


def _function(name: str, *parameters: Any) -> Callable[..., int]:
    """A function that returns a code and has out_err as its last parameter."""
    function = getattr(_lib, name)
    function.argtypes = (*parameters, _out_error)
    function.restype = c_int
    return function  # type: ignore[no-any-return]


def _free_function(name: str, parameter: Any = c_void_p) -> Callable[[Any], None]:
    function = getattr(_lib, name)
    function.argtypes = (parameter,)
    function.restype = None
    return function  # type: ignore[no-any-return]


_client_new = _function("plsm_client_new", c_char_p, _out_handle)
_pool_create = _function("plsm_pool_create", c_void_p, c_char_p, c_uint64, _out_handle)
_pool_open = _function("plsm_pool_open", c_void_p, c_char_p, _out_handle)
_pool_open_or_create = _function("plsm_pool_open_or_create", c_void_p, c_char_p, c_uint64, _out_handle)
_pool_delete = _function("plsm_pool_delete", c_void_p, c_char_p)
_pool_list_json = _function("plsm_pool_list_json", c_void_p, _out_buf)
_pool_info_json = _function("plsm_pool_info_json", c_void_p, _out_buf)
_pool_append_json = _function("plsm_pool_append_json", c_void_p, *_JSON, _out_buf)
_pool_append_batch = _function("plsm_pool_append_batch", c_void_p, *_JSON, _out_buf)
_pool_get_json = _function("plsm_pool_get_json", c_void_p, c_uint64, _out_buf)
_stream_open = _function("plsm_stream_open_tagged", c_void_p, POINTER(_StreamOptions), _strings, c_size_t, _out_handle)
_stream_read = _function("plsm_stream_read", c_void_p, c_uint64, c_uint64, c_uint64, _out_buf)
_stream_fd = _function("plsm_stream_fd", c_void_p, POINTER(c_int))
_stream_set_spin = _function("plsm_stream_set_spin", c_void_p, c_uint32)
_client_free = _free_function("plsm_client_free")
_pool_free = _free_function("plsm_pool_free")
_stream_free = _free_function("plsm_stream_free")
_error_free = _free_function("plsm_error_free", _ErrorPointer)

_lib.plsm_version.argtypes = ()
_lib.plsm_version.restype = c_char_p
#: The library's version.
VERSION: str = _lib.plsm_version().decode()


class Handle:
    """Something the library holds for us. It is freed when nobody refers to it any more: a thread that is in a call has
    a reference of its own, so that closing a pool in another thread pulls nothing from under it."""

    __slots__ = ("_free", "pointer")

    def __init__(self, pointer: c_void_p, free: Callable[[Any], None]) -> None:
        self.pointer = pointer
        self._free = free

    def __del__(self) -> None:
        self._free(self.pointer)


def _raised(error: Any) -> PlasmiteError:
    """The exception for an error struct, which is freed."""
    try:
        c = error.contents
        return of_kind(
            c.kind,
            c.message.decode(errors="replace"),
            None if c.path is None else os.fsdecode(c.path),
            c.seq if c.has_seq else None,
            c.offset if c.has_offset else None,
        )
    finally:
        _error_free(error)


def _handle(function: Callable[..., int], free: Callable[[Any], None], *arguments: Any) -> Handle:
    pointer, error = c_void_p(), _ErrorPointer()
    if function(*arguments, byref(pointer), byref(error)) < 0:
        raise _raised(error)
    return Handle(pointer, free)


# Places for results and errors, and the references to them. They are made once and used again and again, by one call
# at a time, which takes them out; those of a call that fails, or that a signal handler ends, do not come back. What a
# buffer holds is freed before its next use, not after the last one: there a thread that was woken wants to go on.
_buffers: list[tuple[_Buf, Any, Any, Any]] = []
_KEPT_BYTES = 64 * 1024
# Through [], which gives a function object of its own, without argtypes. It never waits, so it keeps Python's lock.
_free_buffer = ctypes.PyDLL(None, handle=_lib._handle)["plsm_buf_free"]
_free_buffer.restype = None


def _new_buffer() -> tuple[_Buf, Any, Any, Any]:
    buf, error = _Buf(), _ErrorPointer()
    return buf, byref(buf), error, byref(error)


def _bytes(function: Callable[..., int], *arguments: Any) -> bytes:
    try:
        buffer = _buffers.pop()
    except IndexError:
        buffer = _new_buffer()
    buf, out, error, out_error = buffer
    _free_buffer(out)
    if function(*arguments, out, out_error) < 0:
        raise _raised(error)
    data: bytes = buf.data or b""
    if len(data) > _KEPT_BYTES:
        _free_buffer(out)
    _buffers.append(buffer)
    return data


class Tags:
    """Tags as the library takes them. Threads may share them: nobody changes them."""

    __slots__ = ("array", "count", "names")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        # ctypes keeps the bytes alive with the array.
        self.array = (c_char_p * len(names))(*(name.encode() for name in names)) if names else None
        self.count = c_size_t(len(names))


# The same for an append.
_scratches: list[tuple[_Receipt, Any, Any, Any]] = []


def _new_scratch() -> tuple[_Receipt, Any, Any, Any]:
    receipt, error = _Receipt(), _ErrorPointer()
    return receipt, byref(receipt), error, byref(error)


_TO_NUL = c_size_t(-1)
_DURABILITIES = (c_uint32(0), c_uint32(1))
_pool_append = _lib["plsm_pool_append"]


def client_new(pool_dir: bytes) -> Handle:
    return _handle(_client_new, _client_free, pool_dir)


def pool_create(client: Handle, pool_ref: bytes, size_bytes: int) -> Handle:
    return _handle(_pool_create, _pool_free, client.pointer, pool_ref, size_bytes)


def pool_open(client: Handle, pool_ref: bytes) -> Handle:
    return _handle(_pool_open, _pool_free, client.pointer, pool_ref)


def pool_open_or_create(client: Handle, pool_ref: bytes, size_bytes: int) -> Handle:
    return _handle(_pool_open_or_create, _pool_free, client.pointer, pool_ref, size_bytes)


def pool_delete(client: Handle, pool_ref: bytes) -> None:
    error = _ErrorPointer()
    if _pool_delete(client.pointer, pool_ref, byref(error)) < 0:
        raise _raised(error)


def pool_list(client: Handle) -> bytes:
    return _bytes(_pool_list_json, client.pointer)


def pool_info(pool: Handle) -> bytes:
    return _bytes(_pool_info_json, pool.pointer)


def append(pool: Handle, json: bytes, tags: Tags, durability: int) -> tuple[int, int]:
    """Appends JSON text that holds no NUL. Returns the seq, and the time in nanoseconds since 1970."""
    try:
        scratch = _scratches.pop()
    except IndexError:
        scratch = _new_scratch()
    receipt, out_receipt, error, out_error = scratch
    if _pool_append(
        pool.pointer, json, _TO_NUL, tags.array, tags.count, _DURABILITIES[durability], out_receipt, out_error
    ):
        raise _raised(error)
    appended = receipt.seq, receipt.time_ns
    _scratches.append(scratch)
    return appended


def append_json(pool: Handle, json: bytes, tags: Tags, durability: int) -> bytes:
    """Appends any text, and returns the envelope."""
    return _bytes(_pool_append_json, pool.pointer, json, len(json), tags.array, tags.count, durability)


def append_batch(pool: Handle, json: bytes, tags: Tags, durability: int) -> bytes:
    """Appends several documents, and returns the envelopes as JSON Lines."""
    return _bytes(_pool_append_batch, pool.pointer, json, len(json), tags.array, tags.count, durability)


def get(pool: Handle, seq: int) -> bytes:
    return _bytes(_pool_get_json, pool.pointer, seq)


def stream_open(
    pool: Handle,
    since_seq: int | None,
    max_messages: int | None,
    tags: Tags,
    error_on_gap: bool,
    spin_us: int,
) -> Handle:
    options = _StreamOptions(
        struct_size=ctypes.sizeof(_StreamOptions),
        gap_policy=int(error_on_gap),
        since_seq=since_seq or 0,
        has_since=since_seq is not None,
        max_messages=max_messages or 0,
        has_max=max_messages is not None,
    )
    stream = _handle(_stream_open, _stream_free, pool.pointer, byref(options), tags.array, tags.count)
    if spin_us:
        error = _ErrorPointer()
        if _stream_set_spin(stream.pointer, spin_us, byref(error)) < 0:
            raise _raised(error)
    return stream


def stream_read(stream: Handle, max_messages: int, max_bytes: int, wait_ms: int) -> bytes | None:
    """JSON Lines; empty at the end; None when nothing came in time."""
    # A reader that was woken has little left to do here: each step was taken before, or can wait.
    try:
        buffer = _buffers.pop()
    except IndexError:
        buffer = _new_buffer()
    buf, out, error, out_error = buffer
    _free_buffer(out)
    code = _stream_read(stream.pointer, max_messages, max_bytes, wait_ms, out, out_error)
    data: bytes | None = None
    if code == _MESSAGE:
        data = buf.data
        if len(data) > _KEPT_BYTES:
            _free_buffer(out)
    elif code < 0:
        raise _raised(error)
    elif code == _END:
        data = b""
    _buffers.append(buffer)
    return data


def stream_fd(stream: Handle) -> int:
    """A file descriptor that is readable until a read has found nothing, and again when one would find something."""
    fd, error = c_int(-1), _ErrorPointer()
    if _stream_fd(stream.pointer, byref(fd), byref(error)) < 0:
        raise _raised(error)
    return fd.value
