"""The directory of a TIFF file (TIFF 6.0, or BigTIFF): what its first picture is like."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# Size of a value, by its type.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_SHORT, _LONG, _LONG8, _BYTES = 3, 4, (16, 18), (1, 7)
_ORDERS = {b"II": "<", b"MM": ">"}
_LARGEST_TABLES = 2**20
_MAGIC = (b"*\0", b"\0*", b"+\0", b"\0+")


@dataclass(frozen=True)
class Entry:
    """What stands under a tag."""

    kind: int
    """Type of its values, by number."""
    content: memoryview | bytes
    """The values, in the byte order of the file."""


@dataclass(frozen=True)
class Directory:
    """What a TIFF file tells of its first picture."""

    order: str
    """Byte order: < or >."""
    entries: Mapping[int, Entry] = field(repr=False)

    def count(self, tag: int) -> int:
        """Return how many values there are."""
        entry = self.entries.get(tag)
        return 0 if entry is None else len(entry.content) // _SIZES[entry.kind]

    def numbers(
        self, tag: int, default: Sequence[int] = (), *, first: int = 0, most: int = 2**20
    ) -> tuple[int, ...]:
        """Return whole numbers without a sign; the default where there are none.

        Args:
            tag: where.
            default: what a missing tag means.
            first: the first one to return.
            most: how many to return at most.
        """
        entry = self.entries.get(tag)
        letter = None if entry is None else _NUMBERS.get(entry.kind)
        if entry is None or letter is None:
            return tuple(default)
        count = min(most, max(0, self.count(tag) - first))
        place = first * _SIZES[entry.kind] if count else 0
        return struct.unpack_from(f"{self.order}{count}{letter}", entry.content, place)

    def number(self, tag: int, default: int) -> int:
        """Return the first of them."""
        return next(iter(self.numbers(tag, most=1)), default)

    def content(self, tag: int, most: int) -> bytes:
        """Return plain bytes, at most so many; none where there are none."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _BYTES:
            return b""
        return bytes(entry.content[:most])

    def of_numbers(self, *numbers: int) -> Entry:
        """Build an entry of whole numbers."""
        wide = max(numbers) > 0xFFFF
        letter = "I" if wide else "H"
        content = struct.pack(f"{self.order}{len(numbers)}{letter}", *numbers)
        return Entry(_LONG if wide else _SHORT, content)


def is_tiff(data: bytes) -> bool:
    """Check whether a file begins as a TIFF file."""
    return data[:2] in _ORDERS and data[2:4] in _MAGIC


def read_directory(data: bytes) -> Directory:
    """Read the first directory of a file.

    Args:
        data: the whole file.

    Raises:
        struct.error: the file ends within it.
    """
    order = _ORDERS[data[:2]]
    if b"+" in data[2:4]:
        start, counts, entries = *struct.unpack_from(order + "Q", data, 8), "Q", "HHQ8s"
    else:
        start, counts, entries = *struct.unpack_from(order + "I", data, 4), "H", "HHI4s"
    (count,) = struct.unpack_from(order + counts, data, start)
    place = start + struct.calcsize(order + counts)
    step = struct.calcsize(order + entries)
    found: dict[int, Entry] = {}
    # Not copied: a hostile file may tell of the same bytes thousands of times.
    whole = memoryview(data)
    content: memoryview | bytes
    # Classic files have at most 65535 of them, and no sound file more.
    for _ in range(min(count, 0xFFFF)):
        tag, kind, values, inside = struct.unpack_from(order + entries, data, place)
        place += step
        size = _SIZES.get(kind, 0) * values
        if size > len(inside):
            where = int.from_bytes(inside, "little" if order == "<" else "big")
            if where + size > len(data):
                continue  # Damage of what may not be needed: what is needed is missed later.
            content = whole[where : where + size]
        else:
            content = inside[:size]
        if size:
            found.setdefault(tag, Entry(kind, content))
    return Directory(order, found)


def with_directory(data: bytes, directory: Directory, entries: Mapping[int, Entry]) -> bytes:
    """Return a classic TIFF file with the same bytes, of which another directory tells.

    Args:
        data: the whole file.
        directory: its own.
        entries: those of the new one, by tag.

    Raises:
        ValueError: they are larger than the file itself.
    """
    if sum(len(entry.content) for entry in entries.values()) > len(data) + _LARGEST_TABLES:
        raise ValueError("more is told of the picture than there is of it")
    order = directory.order
    tail = [bytes(len(data) % 2)]
    end = len(data) + len(data) % 2
    lines = []
    for tag, entry in sorted(entries.items()):
        kind, content = entry.kind, bytes(entry.content)
        if kind in _LONG8:
            # Whatever a file of less than 4 GB tells of itself has room in 32 bits.
            numbers = struct.unpack(f"{order}{len(content) // 8}Q", content)
            kind, content = _LONG, struct.pack(f"{order}{len(numbers)}I", *numbers)
        inside = content
        if len(content) > 4:
            inside = struct.pack(order + "I", end)
            padded = content + bytes(len(content) % 2)
            tail.append(padded)
            end += len(padded)
        count = len(content) // _SIZES[kind]
        lines.append(struct.pack(order + "HHI", tag, kind, count) + inside.ljust(4, b"\0"))
    header = data[:2] + struct.pack(order + "HI", 42, end)
    written = struct.pack(order + "H", len(lines)) + b"".join(lines) + bytes(4)
    return b"".join([header, data[8:], *tail, written])
