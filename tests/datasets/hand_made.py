"""Image files put together byte by byte, after the standards' own texts."""

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]
Chunk = tuple[bytes, bytes]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def packed(samples: Numbers, bits: int, order: str = ">") -> list[bytes]:
    """Rows of samples [H, n] as bytes: whole ones in an order, all others the highest bit first."""
    if bits in (16, 24, 32):
        end: Literal["big", "little"] = "big" if order == ">" else "little"
        return [b"".join(int(v).to_bytes(bits // 8, end) for v in row) for row in samples]
    rows = ["".join(format(int(value), f"0{bits}b") for value in row) for row in samples]
    whole = [row + "0" * (-len(row) % 8) for row in rows]
    return [int(row, 2).to_bytes(len(row) // 8, "big") for row in whole]


def png(
    samples: Numbers,
    bits: int,
    colour_type: int,
    before: Sequence[Chunk] = (),
    after: Sequence[Chunk] = (),
) -> bytes:
    """A PNG file of samples [H, W, C], with chunks before its pixels and after them."""
    height, width, channels = samples.shape
    rows = packed(samples.reshape(height, width * channels), bits)
    return (
        PNG_SIGNATURE
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))
        + b"".join(chunk(*each) for each in before)
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
        + b"".join(chunk(*each) for each in after)
        + chunk(b"IEND", b"")
    )


def lzw(data: bytes) -> bytes:
    """TIFF's LZW, with single bytes for words, and forgotten before codes have ten bits."""
    codes = []
    for place in range(0, len(data), 200):
        codes += [256, *data[place : place + 200]]
    text = "".join(format(code, "09b") for code in [*codes, 257])
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def packbits(data: bytes) -> bytes:
    pieces = [data[place : place + 128] for place in range(0, len(data), 128)]
    return b"".join(bytes([len(piece) - 1]) + piece for piece in pieces)


Coder = Callable[[bytes], bytes]
COMPRESSED: dict[int, Coder] = {1: bytes, 5: lzw, 8: zlib.compress, 32773: packbits}


@dataclass
class Tiff:
    """A TIFF file of samples [H, W, C]."""

    samples: Numbers
    bits: int
    photometric: int
    order: str = "<"
    big: bool = False
    format: int | None = None
    compression: int = 1
    predictor: int = 1
    rows_per_strip: int | None = None
    tile: tuple[int, int] | None = None
    separate: bool = False
    extra: tuple[int, ...] = ()
    rows: list[bytes] | None = None
    """Of a single strip, if not those that the samples make."""
    tags: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    """Further ones: type and content."""

    def to_bytes(self) -> bytes:
        pieces = [COMPRESSED[self.compression](piece) for piece in self._pieces()]
        height, width, count = self.samples.shape
        tags = {
            256: self._numbers(width),
            257: self._numbers(height),
            258: self._numbers(*[self.bits] * count),
            259: self._numbers(self.compression),
            262: self._numbers(self.photometric),
            277: self._numbers(count),
        }
        where, sizes = (324, 325) if self.tile else (273, 279)
        if self.tile:
            tags |= {322: self._numbers(self.tile[0]), 323: self._numbers(self.tile[1])}
        else:
            tags[278] = self._numbers(self.rows_per_strip or height)
        if self.separate:
            tags[284] = self._numbers(2)
        if self.predictor != 1:
            tags[317] = self._numbers(self.predictor)
        if self.extra:
            tags[338] = self._numbers(*self.extra)
        if self.format is not None:
            tags[339] = self._numbers(*[self.format] * count)
        start = 16 if self.big else 8
        places = [start + sum(map(len, pieces[:n])) for n in range(len(pieces))]
        tags[where] = self._numbers(*places)
        tags[sizes] = self._numbers(*map(len, pieces))
        return self._file(b"".join(pieces), tags | self.tags)

    def _numbers(self, *numbers: int) -> tuple[int, bytes]:
        return 4, struct.pack(f"{self.order}{len(numbers)}I", *numbers)

    def _pieces(self) -> list[bytes]:
        if self.rows is not None:
            return [b"".join(self.rows)]
        planes = [self.samples]
        if self.separate:
            planes = [self.samples[..., n : n + 1] for n in range(self.samples.shape[-1])]
        return [piece for plane in planes for piece in self._of_plane(plane)]

    def _of_plane(self, plane: Numbers) -> list[bytes]:
        height, width, count = plane.shape
        if self.tile is None:
            step = self.rows_per_strip or height
            parts = [plane[top : top + step] for top in range(0, height, step)]
        else:
            across, down = self.tile
            # Beyond the edges, tiles hold anything.
            padded = np.full((-(-height // down) * down, -(-width // across) * across, count), 1)
            padded[:height, :width] = plane
            parts = [
                padded[top : top + down, left : left + across]
                for top in range(0, padded.shape[0], down)
                for left in range(0, padded.shape[1], across)
            ]
        return [b"".join(self._rows(part)) for part in parts]

    def _rows(self, part: Numbers) -> list[bytes]:
        if self.predictor == 2:
            part = part.astype(np.int64)
            part = np.diff(part, axis=1, prepend=0) % 2**self.bits
        return packed(part.reshape(len(part), -1), self.bits, self.order)

    def _file(self, pixels: bytes, tags: dict[int, tuple[int, bytes]]) -> bytes:
        sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 12: 8}
        head = "HHQ" if self.big else "HHI"
        room = 8 if self.big else 4
        start = (16 if self.big else 8) + len(pixels)
        pixels += bytes(start % 2)
        start += start % 2
        outside, lines = b"", b""
        after = start + (8 if self.big else 2) + len(tags) * (20 if self.big else 12) + room
        for tag, (kind, content) in sorted(tags.items()):
            lines += struct.pack(self.order + head, tag, kind, len(content) // sizes[kind])
            if len(content) > room:
                place = after + len(outside)
                lines += struct.pack(self.order + ("Q" if self.big else "I"), place)
                outside += content + bytes(len(content) % 2)
            else:
                lines += content.ljust(room, b"\0")
        sign = b"II" if self.order == "<" else b"MM"
        if self.big:
            header = struct.pack(self.order + "HHHQ", 43, 8, 0, start)
            count = struct.pack(self.order + "Q", len(tags))
        else:
            header = struct.pack(self.order + "HI", 42, start)
            count = struct.pack(self.order + "H", len(tags))
        return sign + header + pixels + count + lines + bytes(room) + outside


def shorts(order: str, values: Sequence[int]) -> tuple[int, bytes]:
    """A tag of 16-bit numbers."""
    return 3, struct.pack(f"{order}{len(values)}H", *values)
