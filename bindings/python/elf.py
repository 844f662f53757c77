"""What an ELF file says of itself: for which machine it is, what it is called, and what it needs of other libraries.

Read from the tables that the loader itself goes by (the dynamic section and the version needs), which are there in
stripped files too.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MACHINES = {62: "x86_64", 183: "aarch64"}

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_SONAME = 0, 1, 5, 14
_DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF


class ElfError(ValueError):
    """The file is no ELF file, is damaged, or is for a machine that we know nothing of."""


@dataclass(frozen=True)
class Elf:
    machine: str
    soname: str | None
    #: The libraries that it is linked with.
    needed: tuple[str, ...]
    #: Which version of which library it needs: ("libc.so.6", "GLIBC_2.34").
    versions: frozenset[tuple[str, str]]


def read(path: Path) -> Elf:
    try:
        return parse(path.read_bytes())
    except ElfError as error:
        raise ElfError(f"{path}: {error}") from None


def parse(data: bytes) -> Elf:
    try:
        return _File(data).elf()
    except (struct.error, ValueError) as error:
        raise error if isinstance(error, ElfError) else ElfError(f"damaged: {error}") from error


class _File:
    def __init__(self, data: bytes) -> None:
        if data[:4] != b"\x7fELF":
            raise ElfError("not an ELF file")
        if data[4:6] != b"\x02\x01":
            raise ElfError("not a 64-bit, little-endian ELF file")
        self.data = data
        number = self.unpack("<H", 18)[0]
        machine = MACHINES.get(number)
        if machine is None:
            raise ElfError(f"for machine {number}, known are {MACHINES}")
        self.machine = machine
        (table,) = self.unpack("<Q", 32)
        size, count = self.unpack("<HH", 54)
        #: type, offset, address and size in the file of each segment.
        self.segments = [self.segment(table + i * size) for i in range(count)]
        self.dynamic = list(self.entries())
        self.strings = self.offset_of(self.first(_DT_STRTAB)) if self.dynamic else 0

    def elf(self) -> Elf:
        soname = self.first(_DT_SONAME)
        return Elf(
            machine=self.machine,
            soname=None if soname is None else self.string(soname),
            needed=tuple(self.string(value) for tag, value in self.dynamic if tag == _DT_NEEDED),
            versions=frozenset(self.versions()),
        )

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        if offset > len(self.data):
            raise ElfError(f"damaged: it has {len(self.data)} bytes, and points to byte {offset}")
        return struct.unpack_from(layout, self.data, offset)

    def segment(self, offset: int) -> tuple[int, int, int, int]:
        kind, _flags, start, address, _physical, size = self.unpack("<IIQQQQ", offset)
        return kind, start, address, size

    def entries(self) -> Iterator[tuple[int, int]]:
        """The dynamic section's tags and values."""
        for kind, start, _address, size in self.segments:
            if kind == _PT_DYNAMIC:
                for offset in range(start, start + size, 16):
                    tag, value = self.unpack("<QQ", offset)
                    if tag == _DT_NULL:
                        return
                    yield tag, value

    def first(self, wanted: int) -> int | None:
        return next((value for tag, value in self.dynamic if tag == wanted), None)

    def offset_of(self, address: int | None) -> int:
        """Where in the file that lies which the loader maps at an address."""
        if address is not None:
            for kind, start, first, size in self.segments:
                if kind == _PT_LOAD and first <= address < first + size:
                    return start + address - first
        raise ElfError("damaged: the dynamic section points outside the file")

    def string(self, index: int) -> str:
        start = self.strings + index
        return self.data[start : self.data.index(b"\0", start)].decode()

    def versions(self) -> Iterator[tuple[str, str]]:
        address = self.first(_DT_VERNEED)
        if address is None:
            return
        library = self.offset_of(address)
        for _ in range(self.first(_DT_VERNEEDNUM) or 0):
            _version, count, name, first, following = self.unpack("<HHIII", library)
            version = library + first
            for _ in range(count):
                _hash, _flags, _other, text, step = self.unpack("<IHHII", version)
                yield self.string(name), self.string(text)
                version += _forward(step)
            library += _forward(following)


def _forward(step: int) -> int:
    """The way to a next entry. The last one has none, and nobody follows it then."""
    return step or sys.maxsize
