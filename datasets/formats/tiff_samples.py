"""The samples of a TIFF file, of any number of bits, as arrays.

Pillow unpacks but some depths. So it is told that the file is a picture of bytes, as wide as a row
has of them: then it decompresses and does nothing else.
"""

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.formats.tiff_directory import Directory, Entry, with_directory
from datasets.formats.tiff_layout import FLOAT, PREDICTED, PREDICTED_FLOATS, SIGNED, Layout

Bytes = NDArray[np.uint8]
Samples = NDArray[Any]

_SAMPLES_AT_ONCE = 2**18


class SampleReader:
    """Goes through the samples of a picture, as often as is asked."""

    def __init__(self, data: bytes, directory: Directory, layout: Layout) -> None:
        """Decompress a picture.

        Args:
            data: the whole file.
            directory: what it tells.
            layout: what that means.
        """
        self._directory, self._layout = directory, layout
        # Of a strip or tile: pixels in a row, and samples of these in a plane.
        self._width = layout.piece_width
        self._channels = 1 if layout.separate else layout.samples
        # Tiles at the lower edge are whole, strips are not.
        height = layout.down * layout.piece_height if layout.tile else layout.height
        self._planes = [
            self._decompress(data, height, plane * layout.across * layout.down)
            for plane in range(layout.planes)
        ]

    def bands(self) -> Iterator[tuple[int, Samples]]:
        """Go through the samples from above: some rows [n, W, samples], and the first one's place.

        Their dtype is that of the numbers in the file; uint16 or uint32 for odd numbers of bits.
        """
        layout = self._layout
        count = max(1, _SAMPLES_AT_ONCE // (self._width * layout.across * layout.samples))
        for top in range(0, layout.height, count):
            box = (0, top, self._planes[0].width, min(top + count, layout.height))
            planes = [self._unpacked(np.asarray(plane.crop(box))) for plane in self._planes]
            yield top, planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-1)

    def _decompress(self, data: bytes, height: int, first: int) -> Image.Image:
        """Read the plane that begins with some piece as a picture of bytes: mode L."""
        directory, layout = self._directory, self._layout
        count = layout.across * layout.down
        places, sizes = layout.tags_of_pieces
        number = directory.of_numbers
        entries: dict[int, Entry] = {
            256: number(layout.across * layout.row_bytes),
            257: number(height),
            258: number(8),
            259: number(layout.compression),
            262: number(1),
            266: number(2 if layout.reversed_bits else 1),
            277: number(1),
            places: number(*directory.numbers(places, first=first, most=count)),
        }
        lengths = directory.numbers(sizes, first=first, most=count)
        if len(lengths) == count:
            entries[sizes] = number(*lengths)
        if layout.tile:
            entries |= {322: number(layout.row_bytes), 323: number(layout.piece_height)}
        else:
            entries[278] = number(layout.piece_height)
        image = Image.open(BytesIO(with_directory(data, directory, entries)), formats=["TIFF"])
        image.load()
        return image

    def _unpacked(self, rows: Bytes) -> Samples:
        """Unpack rows of bytes: [n, W, channels]."""
        layout = self._layout
        # [n, across, bytes]: each row of a tile begins with a whole byte.
        parts = rows.reshape(len(rows), layout.across, layout.row_bytes)
        count = self._width * self._channels
        if layout.predictor == PREDICTED_FLOATS:
            numbers = _predicted_floats(parts, layout.bits // 8, self._channels)
        else:
            numbers = _numbers(parts, layout, count, self._directory.order)
        numbers = numbers.reshape(len(rows), layout.across, self._width, self._channels)
        if layout.predictor == PREDICTED:
            numbers = _summed(numbers)
        whole = numbers.reshape(len(rows), layout.across * self._width, self._channels)
        return whole[:, : layout.width]


def _numbers(parts: Bytes, layout: Layout, count: int, order: str) -> Samples:
    """Read numbers as they are stored: from [..., bytes] to [..., count]."""
    bits = layout.bits
    if bits in (8, 16, 32, 64):
        letter = {FLOAT: "f", SIGNED: "i"}.get(layout.format, "u")
        numbers: Samples = np.ascontiguousarray(parts).view(f"{order}{letter}{bits // 8}")
        return numbers
    if bits == 24:
        digits: Sequence[int] = (1, 2**8, 2**16) if order == "<" else (2**16, 2**8, 1)
        threes = parts.reshape(*parts.shape[:-1], count, 3).astype(np.uint32)
        return np.asarray(threes @ np.array(digits, np.uint32))
    # Packed without gaps, the highest bit first, whatever the order of bytes.
    places = np.unpackbits(parts, axis=-1)[..., : count * bits]
    weights = 2 ** np.arange(bits - 1, -1, -1)
    separate = places.reshape(*parts.shape[:-1], count, bits)
    return np.asarray(separate.astype(np.uint16) @ weights.astype(np.uint16))


def _summed(numbers: Samples) -> Samples:
    """Undo predictor 2: each sample is the difference to that at its left, which may wrap."""
    # Floating point numbers too are subtracted as if they were whole ones.
    native = numbers.astype(numbers.dtype.newbyteorder("="), copy=False)
    whole = native.view(f"u{native.dtype.itemsize}")
    summed: Samples = np.cumsum(whole, axis=2, dtype=whole.dtype).view(native.dtype)
    return summed


def _predicted_floats(parts: Bytes, size: int, channels: int) -> Samples:
    """Undo predictor 3: of a row, all highest bytes come first; and bytes are differences."""
    separate = parts.reshape(*parts.shape[:-1], -1, channels)
    summed = np.cumsum(separate, axis=-2, dtype=np.uint8).reshape(*parts.shape[:-1], size, -1)
    together = np.ascontiguousarray(np.swapaxes(summed, -1, -2))
    numbers: Samples = together.view(f">f{size}")
    return numbers[..., 0]
