"""Arguments, checked before the library sees them."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Iterable, Mapping
from typing import Any

_LARGEST = (1 << 64) - 1


def whole_number(value: Any, name: str) -> int:
    """An int that fits in 64 bits without a sign. Numbers of other libraries count, floats and bools don't."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not bool")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not {type(value).__name__}") from None
    if not 0 <= number <= _LARGEST:
        raise ValueError(f"{name}={number} must be between 0 and 2**64 - 1")
    return number


def optional_number(value: Any, name: str) -> int | None:
    return None if value is None else whole_number(value, name)


def path(value: Any, name: str) -> str:
    """A path or name that a C string can hold."""
    text = os.fspath(value)
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str or a path of str, not {type(value).__name__}")
    if not text:
        raise ValueError(f"{name} must not be empty")
    if "\0" in text:
        raise ValueError(f"{name} must not contain a NUL character")
    return text


def tags(value: Iterable[str] | None) -> list[bytes]:
    """Tags as C strings."""
    if value is None:
        return []
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"tags must be a list of str, not one {type(value).__name__}")
    encoded = []
    for tag in value:
        if not isinstance(tag, str):
            raise TypeError(f"each of tags must be a str, not {type(tag).__name__}")
        if "\0" in tag:
            raise ValueError("a tag must not contain a NUL character")
        encoded.append(tag.encode())
    return encoded


def durability(value: Any) -> int:
    number = whole_number(value, "durability")
    if number > 1:
        raise ValueError(f"durability={number} must be Durability.FAST or Durability.FLUSH")
    return number


def payload(value: Any) -> bytes:
    """JSON text as bytes."""
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"payload must be bytes-like, not {type(value).__name__}")
    data = bytes(value)
    if not data:
        raise ValueError("payload must not be empty")
    return data


def _nested(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} can't be written as JSON")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_nested).encode


def document(value: Any) -> bytes:
    """A mapping as JSON text."""
    # The first clause is for speed: isinstance with an abstract class is slow.
    if type(value) is not dict and not isinstance(value, Mapping):
        raise TypeError(f"a message must be a mapping, not {type(value).__name__}")
    return _encode(value).encode()
