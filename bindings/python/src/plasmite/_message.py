"""Messages, decoded when they are looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, overload

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# How an envelope of the library begins, and what stands before its data: never in a tag, where quotes are escaped.
_START = '{"seq":'
_DATA = '"data":'
_decode_at = json.JSONDecoder().raw_decode
# The data was not looked at yet.
_NOT_YET: Any = object()


@dataclass(frozen=True)
class MessageMeta:
    """What belongs to a message besides its data."""

    #: In the order the writer gave them, duplicates kept.
    tags: list[str]


class Message:
    """One message. It can't be changed, and stays what it is while the pool goes on."""

    # All but the middle one are set in every message: to look at a slot that is not set takes longer than to set it.
    __slots__ = ("_data", "_rest", "_source")

    #: The envelope as the library wrote it: compact JSON, without a newline. Or, of a message just appended, what it is
    #: made of when somebody wants it: seq, time in nanoseconds, tags, data as JSON.
    _source: str | tuple[int, int, tuple[str, ...], bytes]
    #: The data, once it was decoded.
    _data: Any
    #: The other parts of the envelope, set once they were decoded.
    _rest: dict[str, Any]

    def __init__(self, source: str | tuple[int, int, tuple[str, ...], bytes]) -> None:
        _set_source(self, source)
        _set_data(self, _NOT_YET)

    def _line(self) -> str:
        source = self._source
        if isinstance(source, str):
            return source
        seq, time_ns, tags, data = source
        line = (
            f'{{"seq":{seq},"time":"{_format_time(time_ns)}","meta":{{"tags":'
            f'{json.dumps(tags, ensure_ascii=False, separators=(",", ":"))}}},"data":{data.decode()}}}'
        )
        _set_source(self, line)
        return line

    def _envelope(self) -> dict[str, Any]:
        """All but the data, which may be large, or hold a number too long for this Python."""
        try:
            return self._rest
        except AttributeError:
            line = self._line()
            # Up to the comma.
            rest: dict[str, Any] = json.loads(line[: line.index(_DATA) - 1] + "}")
            _set_rest(self, rest)
            return rest

    @property
    def raw(self) -> bytes:
        """The envelope as JSON bytes."""
        return self._line().encode()

    @property
    def seq(self) -> int:
        """The message's number in its pool, from 1."""
        source = self._source
        if not isinstance(source, str):
            return source[0]
        if source.startswith(_START):
            return int(source[len(_START) : source.index(",")])
        return int(self._envelope()["seq"])

    @property
    def time_rfc3339(self) -> str:
        """When it was appended, in UTC, with nanoseconds."""
        return str(self._envelope()["time"])

    @property
    def time(self) -> datetime:
        """When it was appended, in UTC, cut to the microseconds that a datetime holds."""
        return _parse_time(self.time_rfc3339)

    @property
    def data(self) -> Any:
        """The JSON object that the writer gave."""
        data = self._data
        if data is _NOT_YET:
            line = self._line()
            data, _ = _decode_at(line, line.index(_DATA) + len(_DATA))
            _set_data(self, data)
        return data

    @property
    def meta(self) -> MessageMeta:
        """What belongs to the message besides its data: the tags."""
        return MessageMeta(self.tags)

    @property
    def tags(self) -> list[str]:
        """The tags, in the order the writer gave them, duplicates kept."""
        tags: list[str] = self._envelope()["meta"]["tags"]
        return tags

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to {name!r}: a message can't be changed")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete {name!r}: a message can't be changed")

    def __eq__(self, other: object) -> bool:
        return self._line() == other._line() if isinstance(other, Message) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._line())

    def __reduce__(self) -> tuple[Any, ...]:
        return parse_message, (self.raw,)

    def __repr__(self) -> str:
        return f"Message(seq={self.seq}, time={self.time_rfc3339!r}, tags={self.tags!r}, data={self.data!r})"


# The descriptors of the slots, which get past the __setattr__ that keeps everybody else out.
_set_source = Message.__dict__["_source"].__set__
_set_data = Message.__dict__["_data"].__set__
_set_rest = Message.__dict__["_rest"].__set__


class Messages(Sequence[Message]):
    """Messages one after the other, each made when it is looked at."""

    __slots__ = ("_block", "_split")

    def __init__(self, block: bytes) -> None:
        # JSON Lines, until somebody looks.
        self._block = block
        self._split: list[str] | None = None

    def _lines(self) -> list[str]:
        if self._split is None:
            self._split, self._block = lines_of(self._block), b""
        return self._split

    def __len__(self) -> int:
        return len(self._lines())

    @overload
    def __getitem__(self, index: int) -> Message: ...

    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...

    def __getitem__(self, index: int | slice) -> Message | list[Message]:
        found = self._lines()[index]
        return Message(found) if isinstance(found, str) else [Message(line) for line in found]

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, (Messages, list, tuple)) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Messages({list(self)!r})"


def lines_of(block: bytes) -> list[str]:
    """The lines of JSON Lines, as text."""
    lines = block.decode().split("\n")
    lines.pop()
    return lines


def parse_message(raw: bytes) -> Message:
    """Makes a message of an envelope, ``{"seq":…,"time":…,"meta":{"tags":[…]},"data":{…}}``.

    Raises TypeError when ``raw`` is not bytes-like, ValueError when it is no envelope.
    """
    if not isinstance(raw, (bytes, bytearray, memoryview)):
        raise TypeError(f"a message must be bytes-like, not {type(raw).__name__}")
    line = bytes(raw).decode()
    envelope = json.loads(line)
    if not isinstance(envelope, dict):
        raise ValueError("a message must be a JSON object")
    meta = envelope.get("meta")
    tags = meta.get("tags") if isinstance(meta, dict) else None
    if type(envelope.get("seq")) is not int or envelope["seq"] < 0:
        raise ValueError("a message needs a seq")
    if not isinstance(envelope.get("time"), str):
        raise ValueError("a message needs a time")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError("a message needs meta with tags")
    if "data" not in envelope:
        raise ValueError("a message needs data")
    _parse_time(envelope["time"])
    message = Message(line)
    _set_data(message, envelope.pop("data"))
    _set_rest(message, envelope)
    if message.seq != envelope["seq"]:
        raise ValueError("a message needs one seq")
    return message


def nanoseconds(message: Message) -> int:
    """The message's time in nanoseconds since 1970."""
    whole = message.time.replace(microsecond=0) - _EPOCH
    match = _TIME.fullmatch(message.time_rfc3339)
    fraction = (match[3] if match else None) or "0"
    return (whole.days * 86_400 + whole.seconds) * 10**9 + int(fraction[:9].ljust(9, "0"))


def _format_time(time_ns: int) -> str:
    seconds, fraction = divmod(time_ns, 10**9)
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{fraction:09}Z"


def _parse_time(text: str) -> datetime:
    # datetime.fromisoformat reads neither a Z nor nine digits before CPython 3.11.
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"time={text!r} is not an RFC 3339 time")
    date, clock, fraction, sign, hours, minutes = match.groups()
    time = datetime.fromisoformat(f"{date}T{clock}.{(fraction or '')[:6]:0<6}+00:00")
    if sign is None:
        return time
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return time - offset if sign == "+" else time + offset
