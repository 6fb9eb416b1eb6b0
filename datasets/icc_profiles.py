"""Colour profiles (ICC.1:2001) made from numbers, and what the header of a given one says."""

import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Chromaticity = tuple[float, float]
"""x and y of CIE 1931."""

# Every multiple of 1/255 is one of the curve's points, so that 8-bit samples are not interpolated.
_POINTS = 16 * 255 + 1
_WHITE = np.array([0.9642, 1.0, 0.8249])  # D50, which profiles refer to
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_HEADER_BYTES = 128
_MOST_TAGS = 100
_HDR_TRANSFERS = (16, 18)  # PQ and HLG, by their numbers in H.273


def curve_points() -> Numbers:
    """Return the encoded values, 0 to 1, at which a profile's curve is given: [N]."""
    return np.linspace(0, 1, _POINTS)


def rgb_profile(white: Chromaticity, primaries: tuple[Chromaticity, ...], curve: Numbers) -> bytes:
    """Build the profile of an RGB space.

    Args:
        white: chromaticity of its white.
        primaries: chromaticities of red, green and blue.
        curve: linear light, 0 to 1, at each of `curve_points()`.

    Raises:
        ValueError: such primaries span no colours.
    """
    matrix = _to_d50(white, primaries)
    response = _curve(curve)
    return _profile(
        b"RGB ",
        {b"wtpt": _xyz(_WHITE)}
        | {name + b"XYZ": _xyz(matrix[:, n]) for n, name in enumerate((b"r", b"g", b"b"))}
        | {name + b"TRC": response for name in (b"r", b"g", b"b")},
    )


def grey_profile(curve: Numbers) -> bytes:
    """Build the profile of a grey scale from linear light, 0 to 1, at each of `curve_points()`."""
    return _profile(b"GRAY", {b"wtpt": _xyz(_WHITE), b"kTRC": _curve(curve)})


def is_high_dynamic_range(profile: bytes) -> bool:
    """Check whether a profile says of itself, in its tag `cicp`, that it is one of PQ or HLG."""
    if len(profile) < _HEADER_BYTES + 4:
        return False
    count = min(int.from_bytes(profile[_HEADER_BYTES : _HEADER_BYTES + 4], "big"), _MOST_TAGS)
    for place in range(_HEADER_BYTES + 4, _HEADER_BYTES + 4 + 12 * count, 12):
        entry = profile[place : place + 12]
        if len(entry) == 12 and entry[:4] == b"cicp":
            start = int.from_bytes(entry[4:8], "big")
            content = profile[start : start + 12]
            # After its own name and four zeros: primaries, transfer, matrix, range.
            return len(content) == 12 and content[9] in _HDR_TRANSFERS
    return False


def _to_d50(white: Chromaticity, primaries: tuple[Chromaticity, ...]) -> Numbers:
    """Compute the matrix from linear RGB to XYZ, adapted to the white of profiles: [3, 3]."""
    columns = np.array([[x, y, 1 - x - y] for x, y in primaries]).T
    x, y = white
    if y <= 0 or abs(np.linalg.det(columns)) < 1e-4:
        raise ValueError("primaries that span no colours")
    own_white = np.array([x, y, 1 - x - y]) / y
    parts = np.linalg.solve(columns, own_white)
    cones = _BRADFORD @ own_white
    if (parts <= 0).any() or (cones <= 0).any():
        raise ValueError("a white that is no mixture of its primaries")
    adapted = np.linalg.solve(_BRADFORD, np.diag((_BRADFORD @ _WHITE) / cones) @ _BRADFORD)
    result: Numbers = adapted @ (columns * parts)
    if np.abs(result).max() > 10:
        raise ValueError("primaries that span no colours")
    return result


def _xyz(numbers: Numbers) -> bytes:
    whole = (round(float(number) * 65536) for number in numbers)
    return b"XYZ " + bytes(4) + struct.pack(">3i", *whole)


def _curve(linear: Numbers) -> bytes:
    whole = np.rint(65535 * np.clip(linear, 0, 1)).astype(">u2")
    return b"curv" + bytes(4) + struct.pack(">I", len(whole)) + whole.tobytes()


def _profile(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    table, data = struct.pack(">I", len(tags)), b""
    start = _HEADER_BYTES + 4 + 12 * len(tags)
    places: dict[bytes, int] = {}
    for name, content in tags.items():
        # The three curves of an RGB space are one, stored once.
        place = places.setdefault(content, start + len(data))
        if place == start + len(data):
            data += content + bytes(-len(content) % 4)
        table += name + struct.pack(">2I", place, len(content))
    header = (
        struct.pack(">I4s", start + len(data), b"")
        + b"\2\x40\0\0mntr"  # version 2.4, of a display
        + space
        + b"XYZ "
        + bytes(12)
        + b"acsp"
        + bytes(28)
        + _xyz(_WHITE)[8:]
    )
    return header.ljust(_HEADER_BYTES, b"\0") + table + data
