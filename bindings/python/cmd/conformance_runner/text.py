"""Texts as manifests write them: as they are, or by a small recipe for large and for unprintable ones."""

from __future__ import annotations

import json
import string
from typing import Any

# No recipe makes more.
_MAX_BYTES = 64 << 20


def make(recipe: Any) -> bytes:
    """The bytes of a recipe. ValueError when it is none."""
    made = _make(recipe)
    if len(made) > _MAX_BYTES:
        raise ValueError(f"a text of more than {_MAX_BYTES} bytes")
    return made


def _make(recipe: Any) -> bytes:
    if isinstance(recipe, str):
        return recipe.encode()
    if isinstance(recipe, dict) and len(recipe) == 1:
        ((name, given),) = recipe.items()
        if name == "hex" and isinstance(given, str):
            return from_hex(given)
        if name == "join" and isinstance(given, list):
            return b"".join(map(make, given))
        if name == "repeat" and _is_pair(given) and type(given[1]) is int and given[1] >= 0:
            once = make(given[0])
            if len(once) * given[1] > _MAX_BYTES:
                raise ValueError(f"a text of more than {_MAX_BYTES} bytes")
            return once * given[1]
        if name == "scalars" and _is_pair(given):
            return _scalars(_scalar(given[0]), _scalar(given[1]))
    raise ValueError(f"no text: {json.dumps(recipe)[:100]}")


def _is_pair(given: Any) -> bool:
    return isinstance(given, list) and len(given) == 2


def from_hex(digits: str) -> bytes:
    if len(digits) % 2 or not set(digits) <= set(string.hexdigits):
        raise ValueError(f"{digits!r} is not hexadecimal")
    return bytes.fromhex(digits)


def _scalar(digits: Any) -> int:
    if isinstance(digits, str) and digits and set(digits) <= set(string.hexdigits):
        scalar = int(digits, 16)
        if scalar <= 0x10FFFF and not 0xD800 <= scalar < 0xE000:
            return scalar
    raise ValueError(f"{digits!r} is no Unicode scalar value in hexadecimal")


def _scalars(first: int, last: int) -> bytes:
    left_out = {ord('"'), ord("\\"), *range(0xD800, 0xE000)}
    return "".join(chr(scalar) for scalar in range(first, last + 1) if scalar not in left_out).encode()
