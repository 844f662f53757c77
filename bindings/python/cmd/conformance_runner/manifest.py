"""Manifests, checked before their first step is played: what is not known in one is an error, and never ignored."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from . import text

SURFACES = ("rust", "python", "command", "mount")
KINDS = (
    "Internal",
    "Usage",
    "NotFound",
    "AlreadyExists",
    "Busy",
    "Permission",
    "Corrupt",
    "Io",
    "RetentionGap",
)
_ERRNOS = ("EFBIG", "ENAMETOOLONG", "EPERM")
_MAX_DOCUMENTS = 100_000
# A whole number from here on may not be told from its neighbour as a double.
_FIRST_ROUNDED = 2.0**53

Json = dict[str, Any]
Check = Callable[[Any], Any]


class BadManifest(Exception):
    """What is wrong with a manifest."""


def _bad(what: str) -> Any:
    raise BadManifest(what)


# What values of fields must be.


def _text(value: Any) -> None:
    if not isinstance(value, str):
        _bad(f"{value!r} is no text")


def _reason(value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        _bad("the reason is missing")


def _number(value: Any) -> None:
    if type(value) is not int or not 0 <= value < 1 << 64:
        _bad(f"{value!r} is no whole number of 64 bits")


def _positive(value: Any) -> None:
    _number(value)
    if value == 0:
        _bad("0: must be at least 1")


def _bool(value: Any) -> None:
    if type(value) is not bool:
        _bad(f"{value!r} is neither true nor false")


def _true(value: Any) -> None:
    if value is not True:
        _bad(f"{value!r} can only be true")


def _any(value: Any) -> None:
    pass


def _recipe(value: Any) -> None:
    try:
        text.make(value)
    except ValueError as error:
        _bad(str(error))


def _hex(value: Any) -> None:
    _recipe({"hex": value})


def _octal(value: Any) -> None:
    if not isinstance(value, str) or not re.fullmatch("[0-7]+", value):
        _bad(f"mode={value!r} is not octal")


def _one_of(*names: str) -> Check:
    return lambda value: None if value in names else _bad(f"{value!r} is none of {', '.join(names)}")


def _list(of: Check) -> Check:
    def check(value: Any) -> None:
        if not isinstance(value, list):
            _bad(f"{value!r} is no list")
        for item in value:
            of(item)

    return check


def _object(value: Any) -> None:
    if not isinstance(value, dict):
        _bad(f"{value!r} is no object")


def _map(keys: tuple[str, ...], of: Check) -> Check:
    def check(value: Any) -> None:
        _object(value)
        for key, item in value.items():
            _one_of(*keys)(key)
            of(item)

    return check


@dataclass
class Shape:
    """The fields of an object."""

    needed: Mapping[str, Check] = field(default_factory=dict)
    optional: Mapping[str, Check] = field(default_factory=dict)

    def __call__(self, value: Any) -> None:
        _object(value)
        for key, item in value.items():
            check = self.needed.get(key) or self.optional.get(key) or _bad(f"unknown field `{key}`")
            try:
                check(item)
            except BadManifest as error:
                raise BadManifest(f"{key}: {error}") from None
        for key in self.needed:
            if key not in value:
                _bad(f"missing field `{key}`")


def _either(first: str, second: str, shape: Shape) -> Check:
    def check(value: Any) -> None:
        shape(value)
        if (first in value) == (second in value):
            _bad(f"either `{first}` or `{second}` must be there")

    return check


def _append_many(value: Any) -> None:
    Shape({"data": _list(_any)}, {"repeat": _number, "tags": _list(_text)})(value)
    count = len(value["data"]) * value.get("repeat", 1)
    if not 1 <= count <= _MAX_DOCUMENTS:
        _bad(f"{count} documents: must be 1 to {_MAX_DOCUMENTS}")


def _numbered(value: Any) -> None:
    Shape({"data": _object, "count": _number})(value)
    if value["count"] > _MAX_DOCUMENTS:
        _bad(f"count={value['count']}: must be at most {_MAX_DOCUMENTS}")


def _writers(value: Any) -> None:
    optional = {"data": _list(_any), "numbered": _numbered, "tags": _list(_text), "killed": _bool}
    _list(_either("data", "numbered", Shape(optional=optional)))(value)
    if not value:
        _bad("is empty")


def _alongside(value: Any) -> None:
    _list(_any)(value)
    for i, step in enumerate(value):
        if Step.of(i, step).op not in ("append", "get", "tail"):
            _bad(f"step {i}: only append, get and tail")


def _race(value: Any) -> None:
    Shape({"processes": _number, "step": _raced})(value)
    if not 2 <= value["processes"] <= 64:
        _bad(f"processes={value['processes']}: must be 2 to 64")


def _raced(value: Any) -> None:
    Shape({"op": _text}, {"pool": _text, "input": _object})(value)
    if value["op"] in ("spawn", "race", "open_tail", "read_tail", "close_tail"):
        _bad(f"op={value['op']} can't be raced")
    Step.of(0, value)


_READING = {"since_seq": _number, "tags": _list(_text), "error_on_gap": _bool}
_HOW_LONG = {"max": _number, "timeout_ms": _number}

_INPUTS: dict[str, Check] = {
    "create_pool": Shape(optional={"size_bytes": _number}),
    "append": _either(
        "data",
        "text",
        Shape(
            optional={
                "data": _any,
                "text": _recipe,
                "tags": _list(_text),
                "durability": _one_of("fast", "flush"),
                "create_size_bytes": _number,
            }
        ),
    ),
    "append_many": _append_many,
    "append_stream": Shape({"text": _recipe, "chunk_bytes": _positive}, {"tags": _list(_text)}),
    "get": Shape({"seq": _number}),
    "tail": Shape(optional=_READING | _HOW_LONG),
    "open_tail": Shape({"reader": _text}, _READING),
    "read_tail": Shape({"reader": _text}, _HOW_LONG),
    "close_tail": Shape({"reader": _text}),
    "list_pools": Shape(),
    "pool_info": Shape(),
    "delete_pool": Shape(),
    "spawn": Shape({"writers": _writers}, {"alongside": _alongside}),
    "race": _race,
    "corrupt_header": Shape({"offset": _number, "bytes": _hex}),
    "put_file": Shape({"text": _recipe}),
    "chmod": Shape({"mode": _octal}),
}
_WITHOUT_POOL = ("list_pools", "race", "read_tail", "close_tail")
_POOL_OPTIONAL = ("chmod",)

_MESSAGE = {"seq": _number, "data": _any, "text": _recipe, "tags": _list(_text)}
_MESSAGES = {
    "messages": _list(Shape(optional=_MESSAGE)),
    "messages_unordered": _bool,
    "count": _number,
    "first_seq": _number,
    "last_seq": _number,
    "consecutive": _bool,
    "times_in_order": _bool,
    "numbered_by": _text,
}
_APPENDED = {"first_seq": _number, "last_seq": _number, "count": _number}
_FACTS = (
    "path size_bytes ring_bytes used_bytes max_message_bytes max_messages format_version messages oldest_seq newest_seq"
    " next_seq durable_seq created oldest_time newest_time"
).split()


def _expected_messages(value: Any) -> None:
    Shape(optional=_MESSAGES)(value)
    if value.get("messages_unordered") and "messages" not in value:
        _bad("`messages_unordered` without `messages`")


_EXPECTS: dict[str, Check] = {
    "create_pool": Shape({"created": _true}),
    "append": Shape({"seq": _number}),
    "append_many": Shape(optional=_APPENDED),
    "append_stream": Shape(optional=_APPENDED),
    "get": Shape(optional=_MESSAGE),
    "tail": _expected_messages,
    "read_tail": _expected_messages,
    "list_pools": Shape({"names": _list(_text)}),
    "pool_info": Shape(optional=dict.fromkeys(_FACTS, _any)),
    "delete_pool": Shape({"deleted": _true}),
    "race": Shape({"succeeded": _number}, {"failed": _map(KINDS, _number)}),
}
_ERROR = Shape(
    {"kind": _one_of(*KINDS)},
    {
        "message_contains": lambda value: _text(value) if isinstance(value, str) else _list(_text)(value),
        "has_path": _bool,
        "has_seq": _bool,
        "has_offset": _bool,
        "errno": _one_of(*_ERRNOS),
    },
)


def _check_expect(op: str, expect: Json) -> None:
    if "error" in expect:
        if len(expect) > 1:
            _bad("`error` excludes everything else in `expect`")
        Shape({"error": _ERROR})(expect)
    elif expect:
        _EXPECTS.get(op, Shape())(expect)


_STEP = Shape(
    {"op": _text},
    {
        "id": _text,
        "pool": _text,
        "about": _text,
        "input": _object,
        "expect": _object,
        "not_on": _map(SURFACES, _reason),
        "expect_on": _map(SURFACES, Shape({"because": _reason, "expect": _object})),
    },
)


@dataclass
class Step:
    """One step, understood."""

    label: str
    op: str
    pool: str
    input: Json
    expect: Json
    not_on: dict[str, str]
    expect_on: dict[str, Json]
    id: str | None

    @classmethod
    def of(cls, index: int, raw: Any) -> Step:
        names = [raw.get(key) for key in ("id", "op")] if isinstance(raw, dict) else []
        name = next((name for name in names if isinstance(name, str)), "?")
        try:
            return cls._parse(f"step {index} ({name})", raw)
        except BadManifest as error:
            raise BadManifest(f"step {index} ({name}): {error}") from None

    @classmethod
    def _parse(cls, label: str, raw: Any) -> Step:
        _STEP(raw)
        op, pool, given, expect = raw["op"], raw.get("pool"), raw.get("input", {}), raw.get("expect", {})
        if op not in _INPUTS:
            _bad(f"op={op!r} is not known")
        if pool is None and op not in _WITHOUT_POOL + _POOL_OPTIONAL:
            _bad(f"op={op}: `pool` is missing")
        if pool is not None and op in _WITHOUT_POOL:
            _bad(f"op={op} takes no `pool`")
        _INPUTS[op](given)
        _check_expect(op, expect)
        not_on, expect_on = raw.get("not_on", {}), raw.get("expect_on", {})
        for surface, differing in expect_on.items():
            _check_expect(op, differing["expect"])
            if surface in not_on:
                _bad(f"{surface} is in not_on and in expect_on")
        return cls(label, op, pool or "", given, expect, not_on, expect_on, raw.get("id"))


_MANIFEST = Shape(
    {"conformance_version": _number, "name": _text, "workdir": _text, "steps": _list(_any)},
    {"about": _text, "not_on": _map(SURFACES, _reason)},
)


@dataclass
class Manifest:
    """A manifest whose every step is understood."""

    workdir: Path
    not_on: dict[str, str]
    steps: list[Step]

    @classmethod
    def read(cls, path: Path) -> Manifest:
        try:
            raw = _strict(path.read_bytes().decode())
        except (OSError, ValueError, RecursionError) as error:
            raise BadManifest(f"not JSON: {error}") from None
        if not isinstance(raw, dict) or "conformance_version" not in raw:
            _bad("conformance_version is missing")
        version = raw["conformance_version"]
        if type(version) is not int or version != 0:
            _bad(f"conformance_version={json.dumps(version)}: must be 0")
        _MANIFEST(raw)
        steps = [Step.of(index, step) for index, step in enumerate(raw["steps"])]
        if not steps:
            _bad("a manifest without steps")
        ids: set[str] = set()
        for step in steps:
            if step.id in ids:
                _bad(f"{step.label}: the id is there twice")
            if step.id is not None:
                ids.add(step.id)
        return cls(_workdir(path.resolve().parent, raw["workdir"]), raw.get("not_on", {}), steps)


def _workdir(beside: Path, given: str) -> Path:
    """The workdir, which the runner empties: it must lie below the manifest's directory."""
    pure, whole = PurePosixPath(given), beside / given
    if not given or not pure.parts or pure.is_absolute() or ".." in pure.parts or beside not in whole.resolve().parents:
        _bad(f"workdir={given!r} must lie beside the manifest")
    return whole


def _strict(text: str) -> Any:
    """JSON in which nothing gets lost: no key twice, no number that a comparison would round."""

    def pairs(items: list[tuple[str, Any]]) -> Json:
        result: Json = {}
        for key, value in items:
            if key in result:
                raise ValueError(f"the key {json.dumps(key)} is there twice")
            result[key] = value
        return result

    def whole(digits: str) -> int:
        if len(digits) > 20 or not -(1 << 63) <= int(digits) < 1 << 64:
            raise ValueError("a number would be rounded: write the document as text")
        return int(digits)

    def double(digits: str) -> float:
        value = float(digits)
        if math.fabs(value) >= _FIRST_ROUNDED:
            raise ValueError("a number would be rounded: write the document as text")
        return value

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, object_pairs_hook=pairs, parse_int=whole, parse_float=double, parse_constant=constant)
