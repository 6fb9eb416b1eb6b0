"""The chunks of a PNG file: those that make the picture, and those that tell its colours."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6

# What Pillow is given. All else is text, time, animation and the like; text is read by Pillow only
# up to a limit of its own, beyond which it refuses the picture.
_OF_THE_PICTURE = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
# What is read here, by the largest size of a sound one.
_BESIDE = {
    b"tRNS": 256,
    b"cICP": 4,
    b"iCCP": 2**24,
    b"sRGB": 1,
    b"gAMA": 4,
    b"cHRM": 32,
    b"eXIf": 2**24,
}
# Texts in which older programs keep what has chunks of its own today.
_TEXTS = (b"Raw profile type exif", b"XML:com.adobe.xmp")
_MOST_TEXT = 2**20
_CHUNK = struct.Struct(">I4s")


@dataclass(frozen=True)
class Header:
    """The chunk IHDR."""

    width: int
    height: int
    depth: int
    """Bits of a sample."""
    colour_type: int


@dataclass(frozen=True)
class PngChunks:
    """A PNG file, taken apart."""

    header: Header
    picture: bytes
    """A PNG file of the same picture with nothing beside it."""
    beside: dict[bytes, bytes]
    """Contents of the first tRNS, cICP, iCCP, sRGB, gAMA, cHRM and eXIf that are sound."""
    texts: dict[bytes, bytes]
    """Texts that may tell the orientation, by keyword; none is long."""


def take_apart(data: bytes) -> PngChunks | None:
    """Take a PNG file apart.

    Args:
        data: the whole file, as far as it is there.

    Returns:
        Its parts; None where it does not begin as a PNG file must.
    """
    header = _header(data)
    if header is None:
        return None
    beside: dict[bytes, bytes] = {}
    texts: dict[bytes, bytes] = {}
    pieces = []
    # Chunks of the picture mostly follow each other: from where to where they do.
    first = last = 0
    for name, start, end in _chunks(data):
        if name in _OF_THE_PICTURE or (name == b"tRNS" and header.colour_type == PALETTE):
            if start != last:
                pieces.append(data[first:last])
                first = start
            last = end
        if name in _BESIDE and name not in beside and _is_sound(data, name, start, end):
            beside[name] = data[start + 8 : end - 4]
        elif name in (b"tEXt", b"zTXt", b"iTXt") and end <= len(data):
            found = _text(name, data[start + 8 : min(end - 4, start + 8 + _MOST_TEXT)])
            if found is not None:
                texts.setdefault(*found)
    pieces.append(data[first:last])
    return PngChunks(header, b"".join(pieces), beside, texts)


def inflated(data: bytes, most: int) -> bytes | None:
    """Inflate what is at most so many bytes large; None where it is larger, or damaged."""
    stream = zlib.decompressobj()
    try:
        result = stream.decompress(data, most + 1)
    except zlib.error:
        return None
    return result if stream.eof and len(result) <= most else None


def with_header(picture: bytes, header: Header) -> bytes:
    """Return a PNG file that claims another depth and colour type than it did."""
    content = bytearray(picture[12:29])
    content[12], content[13] = header.depth, header.colour_type
    return picture[:12] + content + zlib.crc32(content).to_bytes(4, "big") + picture[33:]


def _header(data: bytes) -> Header | None:
    if data[:8] != SIGNATURE or data[8:16] != b"\0\0\0\rIHDR" or len(data) < 33:
        return None
    return Header(*struct.unpack_from(">IIBB", data, 16))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Go through the chunks: their names, where they begin, and where they end.

    The last one may end behind the file, or be what is no chunk at all: then it is called IEND.
    """
    yield b"IHDR", 0, 33
    place = 33
    while place < len(data):
        if place + 12 > len(data):
            yield b"IEND", place, len(data)
            return
        length, name = _CHUNK.unpack_from(data, place)
        if not name.isalpha():
            yield b"IEND", place, len(data)
            return
        yield name, place, place + 12 + length
        if name == b"IEND":
            return
        place += 12 + length


def _is_sound(data: bytes, name: bytes, start: int, end: int) -> bool:
    return (
        0 < end - start - 12 <= _BESIDE[name]
        and end <= len(data)
        and zlib.crc32(data[start + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
    )


def _text(name: bytes, content: bytes) -> tuple[bytes, bytes] | None:
    """Read a text that may tell the orientation."""
    keyword, _, rest = content[:200].partition(b"\0")
    if keyword not in _TEXTS:
        return None
    rest = content[len(keyword) + 1 :]
    compressed = name == b"zTXt"
    if name == b"iTXt":
        # Whether it is compressed, and how; its language; the keyword in this language.
        flags, parts = rest[:2], rest[2:].split(b"\0", 2)
        if len(parts) < 3:
            return None
        compressed, rest = flags[:1] == b"\1", parts[2]
    elif compressed:
        rest = rest[1:]
    text = inflated(rest, _MOST_TEXT) if compressed else rest
    return None if text is None else (keyword, text)
