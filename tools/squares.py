"""Image files of any shape as squares of one size that a dataset has."""

import statistics
from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from datasets import door
from datasets.errors import UnusableError
from datasets.framing import Box, UnturnedCrop, fit, parse_crop, upright
from datasets.pyramid import Dataset
from datasets.sources import Source

Pixels = NDArray[np.uint8]

# Of files, so many tell of what sizes all are.
_LOOKED_AT = 16


def size_of(source: Source, number: int) -> tuple[int, int] | None:
    """Return height and width of a picture; None if it cannot be read."""
    try:
        data = source.load(number)
        height, width = (upright(data, 3) if isinstance(data, bytes) else data).shape[:2]
    except (UnusableError, OSError):
        return None
    return int(height), int(width)


class Squares:
    """What becomes of pictures that are compared with a dataset's.

    Args:
        source: the pictures.
        name: what it was called on the command line.
        like: the dataset.

    Attributes:
        side: height and width of all, in pixels: their own, if they are squares of one size; else
            the largest of the dataset's that half of them reach. None if no picture can be read.
    """

    def __init__(self, source: Source, name: str, like: Dataset) -> None:
        self._crop: UnturnedCrop = "centre"
        found = _sizes(source)
        self.side = _common_side(found, [2**level for level in like.levels])
        try:
            crop = parse_crop(str(like.description.framing.get("crop")))
        except ValueError:
            return
        if crop != "face":
            self._crop = crop
        elif any(height != width for height, width in found):
            door.warn(
                f"{like.path} was cropped around faces, and of {name} what is not square is cut "
                "out in the middle: a copy whose face lies elsewhere is not seen."
            )

    def of(self, picture: Pixels, side: int) -> Pixels:
        """Return a picture, uint8 [H, W, C], cropped as the dataset's were: [side, side, C]."""
        height, width = picture.shape[:2]
        if height != width and self._crop == "top":
            left = max(0, width - height) // 2
            picture = picture[:width, left : left + height]
        elif height != width and isinstance(self._crop, Box):
            x, y, size = self._crop.x, self._crop.y, self._crop.size
            if x + size <= width and y + size <= height:
                picture = picture[y : y + size, x : x + size]
        return fit(picture, side)


def _sizes(source: Source) -> list[tuple[int, int]]:
    """Return heights and widths of some pictures of a source; of one, if few are good."""
    count = len(source.names)
    looked_at = range(0, count, -(-count // _LOOKED_AT))
    found = [shape for number in looked_at if (shape := size_of(source, number))]
    if found:
        return found
    first = (shape for number in range(count) if (shape := size_of(source, number)))
    return list(islice(first, 1))


def _common_side(found: Sequence[tuple[int, int]], sides: Sequence[int]) -> int | None:
    if not found:
        return None
    height, width = found[0]
    if height == width and len(set(found)) == 1:
        return height
    usual = statistics.median_low(min(shape) for shape in found)
    return max((side for side in sides if side <= usual), default=sides[0])
