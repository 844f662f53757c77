"""Messages, decoded when they are looked at."""

from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError, dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_START = b'{"seq":'


@dataclass(frozen=True)
class MessageMeta:
    """What belongs to a message besides its data."""

    #: In the order the writer gave them, duplicates kept.
    tags: list[str]


class Message:
    """One message. It can't be changed, and stays what it is while the pool goes on."""

    __slots__ = ("_envelope", "_raw")

    #: The envelope as it came from the library: compact JSON, without a newline.
    _raw: bytes
    _envelope: dict[str, Any]

    def __init__(self, raw: bytes) -> None:
        _set_raw(self, raw)

    def _decoded(self) -> dict[str, Any]:
        try:
            return self._envelope
        except AttributeError:
            envelope: dict[str, Any] = json.loads(self._raw)
            _set_envelope(self, envelope)
            return envelope

    @property
    def raw(self) -> bytes:
        """The envelope as JSON bytes."""
        return self._raw

    @property
    def seq(self) -> int:
        """The message's number in its pool, from 1."""
        raw = self._raw
        if raw.startswith(_START):
            return int(raw[len(_START) : raw.index(b",")])
        return int(self._decoded()["seq"])

    @property
    def time_rfc3339(self) -> str:
        """When it was appended, in UTC, with nanoseconds."""
        return str(self._decoded()["time"])

    @property
    def time(self) -> datetime:
        """When it was appended, in UTC, cut to the microseconds that a datetime holds."""
        return _parse_time(self.time_rfc3339)

    @property
    def data(self) -> Any:
        """The JSON object that the writer gave."""
        return self._decoded()["data"]

    @property
    def meta(self) -> MessageMeta:
        return MessageMeta(self.tags)

    @property
    def tags(self) -> list[str]:
        tags: list[str] = self._decoded()["meta"]["tags"]
        return tags

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to {name!r}: a message can't be changed")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete {name!r}: a message can't be changed")

    def __eq__(self, other: object) -> bool:
        return self._raw == other._raw if isinstance(other, Message) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._raw)

    def __reduce__(self) -> tuple[type[Message], tuple[bytes]]:
        return Message, (self._raw,)

    def __repr__(self) -> str:
        return f"Message(seq={self.seq}, time={self.time_rfc3339!r}, tags={self.tags!r}, data={self.data!r})"


# The descriptors of the slots, which get past the __setattr__ that keeps everybody else out.
_set_raw = Message.__dict__["_raw"].__set__
_set_envelope = Message.__dict__["_envelope"].__set__


def parse_message(raw: bytes) -> Message:
    """Makes a message of an envelope, ``{"seq":…,"time":…,"meta":{"tags":[…]},"data":{…}}``.

    Raises TypeError when ``raw`` is not bytes-like, ValueError when it is no envelope.
    """
    if not isinstance(raw, (bytes, bytearray, memoryview)):
        raise TypeError(f"a message must be bytes-like, not {type(raw).__name__}")
    raw = bytes(raw)
    envelope = json.loads(raw)
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
    message = Message(raw)
    _set_envelope(message, envelope)
    return message


def nanoseconds(message: Message) -> int:
    """The message's time in nanoseconds since 1970."""
    whole = message.time.replace(microsecond=0) - datetime(1970, 1, 1, tzinfo=timezone.utc)
    match = _TIME.fullmatch(message.time_rfc3339)
    fraction = (match[3] if match else None) or "0"
    return (whole.days * 86_400 + whole.seconds) * 10**9 + int(fraction[:9].ljust(9, "0"))


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
