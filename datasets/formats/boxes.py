"""The boxes of HEIC and AVIF files (ISO/IEC 14496-12 and 23008-12): what they tell beforehand."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
# Of any codec; which, the other brands tell. Phones name the codec.
_ANY_CODEC = {b"mif1", b"mif2", b"msf1", b"miaf"}
_LONGEST_BRANDS = 1024
# A photograph in tiles has a few hundred items, each with a few properties.
_MOST_BOXES = 100_000

Property = tuple[bytes, memoryview]
"""Its four letters, and what stands in it."""


@dataclass(frozen=True)
class Primary:
    """What the boxes tell of the picture that a file is about."""

    size: tuple[int, int] | None = None
    """Width and height as they are stored, before any turn."""
    codes: tuple[int, int] | None = None
    """ColourPrimaries and TransferCharacteristics, by the numbers of H.273."""


def is_avif(data: bytes) -> bool:
    """Check whether a file begins as AVIF."""
    return bool(_brands(data) & _AVIF)


def is_heic(data: bytes) -> bool:
    """Check whether a file begins as HEIC, or as HEIF of an unknown codec."""
    brands = _brands(data)
    return bool(brands & (_HEIC | _ANY_CODEC)) and not brands & _AVIF


def read_primary(data: bytes) -> Primary:
    """Read what the boxes tell of the primary picture; of what is damaged or missing, nothing."""
    try:
        for name, meta in _boxes(memoryview(data)):
            if name == b"meta":
                return _of_properties(_properties(dict(_boxes(meta[4:]))))
    except (struct.error, KeyError, IndexError):
        pass
    return Primary()


def _brands(data: bytes) -> set[bytes]:
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), _LONGEST_BRANDS, len(data))
    # The major one, its version, and those that it is compatible with.
    return {data[8:12]} | {data[place : place + 4] for place in range(16, end - 3, 4)}


def _boxes(data: memoryview) -> Iterator[Property]:
    place = 0
    for _ in range(_MOST_BOXES):
        if place + 8 > len(data):
            return
        size, name = struct.unpack_from(">I4s", data, place)
        start = place + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        # The last one may go on to the end of the file.
        end = len(data) if size == 0 else place + size
        if end < start:
            return
        yield name, data[start:end]
        place = end


def _properties(meta: dict[bytes, memoryview]) -> list[Property]:
    """Find the properties of the primary item."""
    pitm = meta[b"pitm"]
    (primary,) = struct.unpack_from(">H" if pitm[0] == 0 else ">I", pitm, 4)
    inside = dict(_boxes(meta[b"iprp"]))
    known = list(_boxes(inside[b"ipco"]))
    return [
        known[number - 1]
        for item, numbers in _associations(inside[b"ipma"])
        if item == primary
        for number in numbers
        if 0 < number <= len(known)
    ]


def _associations(ipma: memoryview) -> Iterator[tuple[int, list[int]]]:
    """Go through the items: their number, and the numbers of their properties."""
    version, wide = ipma[0], ipma[3] & 1
    (count,) = struct.unpack_from(">I", ipma, 4)
    place = 8
    for _ in range(min(count, _MOST_BOXES)):
        item, several = struct.unpack_from(">HB" if version == 0 else ">IB", ipma, place)
        place += 3 if version == 0 else 5
        numbers = struct.unpack_from(f">{several}{'H' if wide else 'B'}", ipma, place)
        place += several * (2 if wide else 1)
        # The highest bit tells that it is essential.
        yield item, [number & (0x7FFF if wide else 0x7F) for number in numbers]


def _of_properties(properties: list[Property]) -> Primary:
    size = codes = None
    for name, content in properties:
        if name == b"ispe" and size is None:
            size = struct.unpack_from(">2I", content, 4)
        elif name == b"colr" and bytes(content[:4]) == b"nclx" and codes is None:
            codes = struct.unpack_from(">2H", content, 4)
    return Primary(size, codes)
