"""TFRecord files with pictures, as the paper's authors published them; without TensorFlow.

A file is a sequence of records, each of them eight bytes with the length of the data, a checksum of
these, the data, and a checksum of the data. The data is a message of the kind `tf.train.Example`:
named features, here `shape`, three numbers [C, H, W], and `data`, the bytes of the pixels in that
order. All numbers are little-endian.
"""

import struct
from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from datasets.crc32c import crc32c
from datasets.errors import UnusableError

Pixels = NDArray[np.uint8]

HEADER_BYTES = 12
FOOTER_BYTES = 4
_LONGEST_SIDE = 4096
# The largest picture and its names.
MOST_BYTES = 3 * _LONGEST_SIDE**2 + 2**16
# Besides a picture and its shape, a record may say other things.
_MOST_FEATURES = 100

# Numbers of the fields in the message, and how what follows is packed.
_NUMBER, _BYTES = 0, 2
_FEATURES = _FEATURE = _KEY = _BYTES_LIST = _VALUES = 1
_VALUE, _INT64_LIST = 2, 3


def pack(picture: Pixels) -> bytes:
    """Make the record of a picture [H, W, C]."""
    height, width, channels = picture.shape
    numbers = b"".join(map(_varint, (channels, height, width)))
    shape = _field(_INT64_LIST, _field(_VALUES, numbers))
    pixels = _field(_BYTES_LIST, _field(_VALUES, np.moveaxis(picture, 2, 0).tobytes()))
    features = b"".join(
        _field(_FEATURE, _field(_KEY, key) + _field(_VALUE, value))
        for key, value in ((b"shape", shape), (b"data", pixels))
    )
    data = _field(_FEATURES, features)
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def unpack_length(header: bytes) -> int:
    """Read the first twelve bytes of a record: how many bytes of data follow.

    Raises:
        UnusableError: they are no such thing.
    """
    if len(header) != HEADER_BYTES or _checksum(header[:8]) != header[8:]:
        raise UnusableError("not the start of a record")
    length: int = struct.unpack("<Q", header[:8])[0]
    if length > MOST_BYTES:
        raise UnusableError("a record of impossible length")
    return length


def unpack(data: bytes, checksum: bytes) -> Pixels:
    """Read the picture in the data of a record.

    Args:
        data: the data.
        checksum: the four bytes after it.

    Returns:
        [H, W, C], C 1 or 3.

    Raises:
        UnusableError: the checksum is wrong, or this is no picture.
    """
    if _checksum(data) != checksum:
        raise UnusableError("damaged: its checksum is wrong")
    try:
        features = dict(islice(_features(data), _MOST_FEATURES))
        numbers = (
            n for values in _inside(features[b"shape"], _INT64_LIST) for n in _int64s(values)
        )
        # No more than one too many: a list of millions would fill the memory.
        shape = list(islice(numbers, 4))
        (pixels,) = (
            part
            for values in _inside(features[b"data"], _BYTES_LIST)
            for part in _inside(values, _VALUES)
        )
        channels, height, width = shape
    except (ValueError, KeyError, IndexError):
        raise UnusableError("a record that is no picture") from None
    if channels not in (1, 3) or not all(0 < side <= _LONGEST_SIDE for side in (height, width)):
        raise UnusableError("a record of impossible shape")
    if len(pixels) != channels * height * width:
        raise UnusableError("a record that is no picture")
    planes = np.frombuffer(pixels, np.uint8).reshape(channels, height, width)
    return np.ascontiguousarray(np.moveaxis(planes, 0, 2))


def _checksum(data: bytes) -> bytes:
    """The CRC-32C, turned and shifted so that a checksum of checksums is none."""
    total = crc32c(data)
    return struct.pack("<I", ((total >> 15 | total << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _features(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    for features in _inside(data, _FEATURES):
        for feature in _inside(features, _FEATURE):
            (key,) = _inside(feature, _KEY)
            (value,) = _inside(feature, _VALUE)
            yield key, value


def _int64s(values: bytes) -> Iterator[int]:
    """Numbers of a list, packed one after another or each as a field of its own."""
    for number, value in _fields(values):
        if number != _VALUES:
            continue
        if isinstance(value, int):
            yield value
            continue
        place = 0
        while place < len(value):
            one, place = _read_varint(value, place)
            yield one


def _inside(message: bytes, wanted: int) -> Iterator[bytes]:
    for number, value in _fields(message):
        if number == wanted and isinstance(value, bytes):
            yield value


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Go through the fields of a message; `ValueError` or `IndexError` where it is none."""
    place = 0
    while place < len(message):
        tag, place = _read_varint(message, place)
        number, packing = tag >> 3, tag & 7
        if packing == _NUMBER:
            value, place = _read_varint(message, place)
            yield number, value
        elif packing == _BYTES:
            size, place = _read_varint(message, place)
            if size > len(message) - place:
                raise ValueError(size)
            yield number, message[place : place + size]
            place += size
        else:
            raise ValueError(packing)


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    """Read a number, seven bits a byte, and give the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number without an end")


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content
