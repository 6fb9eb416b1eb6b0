"""The checksum CRC-32C (Castagnoli), as TFRecord files carry it."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # with its bits reversed, lowest power first
_ONES = 0xFFFFFFFF
# Shorter data is quicker byte by byte.
_FEW_BYTES = 256


def crc32c(data: bytes) -> int:
    """Compute the CRC-32C of `data`.

    Python is too slow to go through megabytes byte by byte. A checksum is linear, so the data is
    cut into pieces of equal length, the checksums of all of them are computed side by side, and
    neighbours are joined until one is left.
    """
    if len(data) < _FEW_BYTES:
        return _few(data)
    # About as many pieces as bytes in each; a power of two, so that joining has few step lengths.
    length = 1 << (len(data).bit_length() // 2 - 1)
    pieces = 1 << (-(-len(data) // length) - 1).bit_length()
    # To begin with all ones is to begin with zeros and the first four bytes inverted; and once
    # begun with zeros, further zeros in front change nothing.
    padded = np.zeros(pieces * length, np.uint8)
    start = len(padded) - len(data)
    padded[start:] = np.frombuffer(data, np.uint8)
    padded[start : start + 4] ^= 0xFF
    table = _byte_table()
    sums = np.zeros(pieces, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(pieces, length).T):
        sums = table[(sums ^ column) & 0xFF] ^ (sums >> np.uint32(8))
    while len(sums) > 1:
        sums = _followed_by_zeros(sums[0::2], length) ^ sums[1::2]
        length *= 2
    return int(sums[0]) ^ _ONES


def _few(data: bytes) -> int:
    table = _byte_list()
    total = _ONES
    for byte in data:
        total = table[(total ^ byte) & 0xFF] ^ (total >> 8)
    return total ^ _ONES


@cache
def _byte_list() -> list[int]:
    """For each byte, what it does to a checksum of zeros."""
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


@cache
def _byte_table() -> NDArray[np.uint32]:
    return np.array(_byte_list(), np.uint32)


def _followed_by_zeros(sums: NDArray[np.uint32], count: int) -> NDArray[np.uint32]:
    """What checksums become when `count` zero bytes follow, a power of two."""
    table = _zeros_table(count)
    result = np.zeros_like(sums)
    for place in range(4):
        result ^= table[place][(sums >> np.uint32(8 * place)) & 0xFF]
    return result


@cache
def _zeros_table(count: int) -> NDArray[np.uint32]:
    """What `count` zero bytes, a power of two, make of each byte in each of four places.

    Returns:
        [4, 256].
    """
    if count > 1:
        half = _zeros_table(count // 2)
        return np.stack([_followed_by_zeros(row, count // 2) for row in half])
    places = np.arange(256, dtype=np.uint32)[None] << np.array([[0], [8], [16], [24]], np.uint32)
    table: NDArray[np.uint32] = _byte_table()[places & 0xFF] ^ (places >> np.uint32(8))
    return table
