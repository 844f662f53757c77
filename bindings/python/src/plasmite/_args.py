"""Arguments, checked before the library sees them."""

from __future__ import annotations

import json
import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from ._native import Tags

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


def microseconds(value: Any, name: str) -> int:
    """A time that fits in 32 bits: a little more than an hour."""
    number = whole_number(value, name)
    if number >= 1 << 32:
        raise ValueError(f"{name}={number} must be below 2**32")
    return number


def path(value: Any, name: str) -> str:
    """A path or name that a C string can hold."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a str or an os.PathLike, not {type(value).__name__}")
    text = os.fspath(value)
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str or a path of str, not {type(text).__name__}")
    if not text:
        raise ValueError(f"{name} must not be empty")
    if "\0" in text:
        raise ValueError(f"{name}={text!r} must not contain a NUL character")
    return text


def tags(value: Iterable[str] | None) -> Tags:
    """Tags for the library. Those of a writer are the same again and again, so they are kept ready."""
    if value is None:
        return _NO_TAGS
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"tags must be a list of str, not one {type(value).__name__}")
    try:
        names = tuple(value)
    except TypeError:
        raise TypeError(f"tags must be a list of str, not {type(value).__name__}") from None
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"each of tags must be a str, not {type(name).__name__}")
    return _ready(names)


@lru_cache(maxsize=256)
def _ready(names: tuple[str, ...]) -> Tags:
    for name in names:
        if "\0" in name:
            raise ValueError(f"tag={name!r} must not contain a NUL character")
        flaw = _surrogate(name, "a tag")
        if flaw is not None:
            raise ValueError(flaw)
    return Tags(names)


_NO_TAGS = Tags(())


def durability(value: Any) -> int:
    # Durability.FAST and 0; a bool would be taken for one of them too.
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"durability must be Durability.FAST or Durability.FLUSH, not {type(value).__name__}")
    if value != 0 and value != 1:
        raise ValueError(f"durability={value} must be Durability.FAST or Durability.FLUSH")
    return int(value)


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


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_nested)


def _kept_encoder() -> Callable[[Any], str]:
    """What JSONEncoder.encode makes anew for each call, which takes as long as to encode a small message.

    It does not notice a value that contains itself before the stack is full; `_text` asks the other one then.
    """
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    string = getattr(json.encoder, "encode_basestring", None)
    try:
        parts = make(None, _nested, string, None, ":", ",", False, False, False)
        if "".join(parts({"a": [1, None]}, 0)) == '{"a":[1,null]}':
            return lambda value: "".join(parts(value, 0))
    except TypeError:
        # Another Python, or another version of it, has other ways.
        pass
    return _encoder.encode


_encode = _kept_encoder()


def document(value: Any) -> bytes:
    """A mapping as JSON text."""
    # The first clause is for speed: isinstance with an abstract class is slow.
    if type(value) is not dict and not isinstance(value, Mapping):
        raise TypeError(f"a message must be a mapping, not {type(value).__name__}")
    return _text(value, "value")


def documents(values: Any) -> bytes:
    """Mappings as one JSON array."""
    if isinstance(values, (str, bytes, bytearray, Mapping)):
        raise TypeError(f"values must be several mappings, not one {type(values).__name__}")
    try:
        items = list(values)
    except TypeError:
        raise TypeError(f"values must be several mappings, not {type(values).__name__}") from None
    if set(map(type, items)) - {dict}:
        for item in items:
            if not isinstance(item, Mapping):
                raise TypeError(f"a message must be a mapping, not {type(item).__name__}")
    return _text(items, "values")


def _text(value: Any, name: str) -> bytes:
    try:
        return _encode(value).encode()
    except ValueError as error:
        flaw = _flaw(value, name) if _is_of_a_leaf(error) else None
        if flaw is None:
            raise
    except RecursionError:
        flaw = _why_too_deep(value, name)
    raise ValueError(flaw)


def _why_too_deep(value: Any, name: str) -> str:
    try:
        _encoder.encode(value)
    except ValueError as error:
        return f"{name} contains itself: {error}"
    except RecursionError:
        pass
    return f"{name} is nested too deeply for JSON"


def _is_of_a_leaf(error: ValueError) -> bool:
    """Whether a number or a string is the reason; other ones can be in a value that contains itself."""
    return isinstance(error, UnicodeEncodeError) or str(error).startswith("Out of range float")


def _flaw(value: Any, name: str) -> str | None:
    """What JSON can't tell, and where it is: the first number that is none, or the first half of a character."""
    if isinstance(value, str):
        return _surrogate(value, name)
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{name} is {value}: JSON has no NaN and no infinity"
    if isinstance(value, Mapping):
        for key, item in value.items():
            flaw = _flaw(key, f"a key of {name}") or _flaw(item, f"{name}[{key!r}]")
            if flaw is not None:
                return flaw
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            flaw = _flaw(item, f"{name}[{index}]")
            if flaw is not None:
                return flaw
    return None


def _surrogate(text: str, name: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return (
            f"{name} holds a lone surrogate, U+{ord(text[error.start]):04X} at character {error.start}: "
            "it is half a character, and UTF-8 has no form for it"
        )
    return None
