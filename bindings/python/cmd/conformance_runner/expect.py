"""What steps must give."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from plasmite import PlasmiteError

from . import text
from .manifest import KINDS, Json

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", re.ASCII)
_START = re.compile(rb'\{"seq":(\d+),"time":"([^"]+)","meta":\{"tags":', re.ASCII)
_MIDDLE = '},"data":'


class Wrong(Exception):
    """A step that did not give what it should."""


@dataclass
class Received:
    """A message taken out of its envelope."""

    seq: int
    time: str
    tags: list[str]
    text: bytes

    @classmethod
    def of(cls, raw: bytes) -> Received:
        """Anything but ``{"seq":…,"time":…,"meta":{"tags":[…]},"data":…}``, in this order, compact, is wrong."""
        start = _START.match(raw)
        if start is None:
            raise Wrong(f"no envelope: {raw[:200]!r}")
        try:
            rest = raw[start.end() :].decode()
            tags, end = json.JSONDecoder().raw_decode(rest)
        except ValueError as error:
            raise Wrong(f"no envelope ({error}): {raw[:200]!r}") from None
        compact = json.dumps(tags, ensure_ascii=False, separators=(",", ":"))
        if rest[:end] != compact or not rest.startswith(_MIDDLE, end) or not rest.endswith("}"):
            raise Wrong(f"the envelope is not compact and in order: {raw[:200]!r}")
        time = start[2].decode()
        if not _TIME.fullmatch(time):
            raise Wrong(f"time={time!r} is not RFC 3339 in UTC with nine digits")
        return cls(int(start[1]), time, tags, rest[end + len(_MIDDLE) : -1].encode())

    @property
    def data(self) -> Any:
        return json.loads(self.text)


def check(expect: Json, result: Any, error: Exception | None) -> None:
    """Raises Wrong unless a step gave what it must."""
    wanted = expect.get("error")
    if error is not None:
        if wanted is None:
            raise Wrong(f"failed: {kind_of(error)}: {error}") from error
        _check_error(wanted, error)
    elif wanted is not None:
        raise Wrong(f"succeeded, expected the error {wanted['kind']}")
    elif isinstance(result, Received):
        _check_message(expect, result)
    elif isinstance(result, list):
        _check_messages(expect, result)
    else:
        for key, value in expect.items():
            _same(key, result.get(key), value)


def kind_of(error: Exception) -> str:
    """The kind of an error. What the package refuses by itself is a ValueError and counts as Usage."""
    if isinstance(error, PlasmiteError):
        return KINDS[error.kind - 1]
    return "Usage"


def _check_error(wanted: Json, error: Exception) -> None:
    kind = kind_of(error)
    if kind != wanted["kind"]:
        raise Wrong(f"the error is {kind}: {error}, expected {wanted['kind']}")
    texts = wanted.get("message_contains", [])
    for part in [texts] if isinstance(texts, str) else texts:
        if part not in str(error):
            raise Wrong(f"the error does not say {part!r}: {error}")
    for name in ("path", "seq", "offset"):
        has = getattr(error, name, None) is not None
        if wanted.get(f"has_{name}", has) != has:
            raise Wrong(f"has_{name} is {has}, expected {not has}: {error}")


def _check_message(wanted: Json, got: Received) -> None:
    for key in ("seq", "tags", "data"):
        if key in wanted:
            _same(key, getattr(got, key), wanted[key])
    if "text" in wanted and got.text != text.make(wanted["text"]):
        raise Wrong(f"the data's text is {got.text[:200]!r}, expected {text.make(wanted['text'])[:200]!r}")


def _check_messages(expect: Json, got: list[Received]) -> None:
    if "count" in expect:
        _same("count", len(got), expect["count"])
    if "first_seq" in expect:
        _same("first_seq", got[0].seq if got else None, expect["first_seq"])
    if "last_seq" in expect:
        _same("last_seq", got[-1].seq if got else None, expect["last_seq"])
    for before, after in pairwise(got):
        if expect.get("consecutive") and after.seq != before.seq + 1:
            raise Wrong(f"message {after.seq} follows message {before.seq}")
        if expect.get("times_in_order") and after.time < before.time:
            raise Wrong(f"the time goes backwards at message {after.seq}")
    if "numbered_by" in expect:
        _check_numbers(expect["numbered_by"], got)
    if "messages" in expect:
        _check_each(expect["messages"], got, expect.get("messages_unordered", False))


def _check_numbers(key: str, got: list[Received]) -> None:
    last: dict[str, int] = {}
    for message in got:
        data = message.data
        if key not in data:
            raise Wrong(f"message {message.seq} has no {key!r}")
        of = json.dumps(data[key])
        last[of] = last.get(of, 0) + 1
        _same(f"n of message {message.seq}, {key}={of}", data.get("n"), last[of])


def _check_each(wanted: list[Json], got: list[Received], unordered: bool) -> None:
    if len(wanted) != len(got):
        raise Wrong(f"{len(got)} messages {[message.seq for message in got]}, expected {len(wanted)}")
    left = list(got)
    for i, message in enumerate(wanted):
        if not unordered:
            try:
                _check_message(message, left.pop(0))
            except Wrong as wrong:
                raise Wrong(f"message {i}: {wrong}") from None
            continue
        match = next((candidate for candidate in left if _fits(message, candidate)), None)
        if match is None:
            raise Wrong(f"message {i} is missing: {message}")
        left.remove(match)


def _fits(wanted: Json, got: Received) -> bool:
    try:
        _check_message(wanted, got)
    except Wrong:
        return False
    return True


def _same(what: str, got: Any, wanted: Any) -> None:
    # As JSON text, where 1, 1.0 and true are three things.
    if json.dumps(got, sort_keys=True) != json.dumps(wanted, sort_keys=True):
        raise Wrong(f"{what} is {str(got)[:200]}, expected {str(wanted)[:200]}")
