"""Which numbers of an array mean black and white.

Arrays of pictures come as floats of -1 … 1 (networks), of 0 … 1 (most libraries) or of 0 … 255, and
no file says which. Each read as another is a picture, only a wrong one; so the range is decided
once for all pictures, from all numbers, told, and refused where it could be more than one.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets import door, pictures
from datasets.errors import DatasetError
from datasets.progress import progress

_USUAL = "-1:1, 0:1 or 0:255"
# Numbers that are looked at at once.
_AT_ONCE = 2**22
# How far networks and resampling filters overshoot, in parts of a range's width.
_OVERSHOOT = 0.25
# Of -1 … 1, the output of a network that has learned nothing yet may go as far as this.
_WILD = 32.0
# Pictures whose darkest and brightest number are nearer than this could be of any range.
_FLAT = 0.1
# Dark pictures among bright ones that are looked at closely.
_DARK_ONES = 16
_RANGE = re.compile(r"\s*(-?[0-9.]+(?:e-?[0-9]+)?)\s*:\s*(-?[0-9.]+(?:e-?[0-9]+)?)\s*", re.ASCII)


@dataclass(frozen=True)
class ValueRange:
    """The numbers that mean black and white; `low` is less than `high`, both are finite."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}"

    @property
    def width(self) -> float:
        """The difference of the two."""
        return self.high - self.low

    def to_uint8(self, images: NDArray[np.generic]) -> pictures.Pixels:
        """Return pixels, uint8 [N, H, W, C], of images [N, C, H, W]; what lies outside is clipped.

        `low` becomes 0 and `high` 255, rounded to the nearest (half to even).
        """
        if (self.low, self.high) == (-1, 1):
            with np.errstate(over="ignore"):  # infinity is clipped as well
                return pictures.to_uint8(np.asarray(images, np.float32))
        levels = (np.moveaxis(images, 1, -1).astype(np.float64) - self.low) * (255 / self.width)
        return np.ascontiguousarray(np.rint(np.clip(levels, 0, 255)).astype(np.uint8))


def parse_range(text: str) -> ValueRange:
    """Read a range such as `-1:1`.

    Raises:
        ValueError: it is none.
    """
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    found = ValueRange(float(match[1]), float(match[2]))
    if not (math.isfinite(found.width) and found.width > 0):
        raise ValueError(text)
    return found


def find_range(array: NDArray[np.generic], name: str, asked: ValueRange | None) -> ValueRange:
    """Decide in which range an array's pictures are, and tell the user.

    Args:
        array: numbers [N, …], N pictures; may be larger than the memory.
        name: what it was called on the command line.
        asked: what was given as --range; None to find out.

    Raises:
        DatasetError: numbers are not finite, or what they mean is not certain.
    """
    seen = _Seen(array, name)
    found = asked or seen.decide()
    outside = seen.low < found.low or seen.high > found.high
    clipped = "; what lies outside is clipped" if outside else ""
    door.tell(
        f"{name}: {seen.kind} from {_number(seen.low)} to {_number(seen.high)}, read as "
        f"{found.low:g} … {found.high:g}{clipped}",
        err=True,
    )
    margin = 2 * _OVERSHOOT * found.width
    below, above = seen.usual_low < found.low - margin, seen.usual_high > found.high + margin
    if below or above:
        door.warn(
            f"most pictures of {name} reach far beyond {found.low:g} … {found.high:g}: if these "
            "numbers mean something else, give --range LOW:HIGH."
        )
    return found


class _Seen:
    """What the numbers of an array are like.

    Attributes:
        kind: of numbers, as the user is told.
        lows: the lowest number of each picture, [N].
        highs: the highest one.
        usual_low: the lowest number of a usual picture: the median.
        usual_high: the highest one.
        middle: between these two.
    """

    def __init__(self, array: NDArray[np.generic], name: str) -> None:
        self._array, self._name = array, name
        self.kind = "floats" if array.dtype.kind == "f" else f"{array.dtype} numbers"
        self.lows = np.full(len(array), np.inf)
        self.highs = np.full(len(array), -np.inf)
        with (
            # Of numbers beyond 64 bits, which are refused as not finite.
            np.errstate(over="ignore"),
            progress(f"Looking at {name}", total=array.size, unit="numbers") as bar,
        ):
            for rows, part in _parts(array):
                # Either is NaN where a number is.
                self.lows[rows] = np.minimum(self.lows[rows], part.min(axis=1))
                self.highs[rows] = np.maximum(self.highs[rows], part.max(axis=1))
                bar.advance(part.size)
        self._refuse_not_finite()
        self.low, self.high = float(self.lows.min()), float(self.highs.max())
        self.usual_low = float(np.median(self.lows))
        self.usual_high = float(np.median(self.highs))
        self.middle = (self.usual_low + self.usual_high) / 2

    def _refuse_not_finite(self) -> None:
        bad = np.flatnonzero(~(np.isfinite(self.lows) & np.isfinite(self.highs)))
        if len(bad):
            more = f", and in {len(bad) - 1} other rows" if len(bad) > 1 else ""
            raise DatasetError(
                f"{self._name} has numbers that are not finite (NaN or infinity) in row {bad[0]}"
                f"{more}: such pictures cannot be compared with others; leave them out."
            )

    def decide(self) -> ValueRange:
        """Return the one usual range that the numbers can be of.

        Raises:
            DatasetError: there is none, or more than one.
        """
        if self._array.dtype.kind == "f":
            found = self._of_network() or self._of_unit() or self._of_bytes()
        else:
            found = self._of_bytes() if self.low >= 0 and self.high <= 255 else None
        if found is None:
            lowest, highest = int(self.lows.argmin()), int(self.highs.argmax())
            raise DatasetError(
                f"{self._name} holds {self.kind} from {_number(self.low)} (row {lowest}) to "
                f"{_number(self.high)} (row {highest}), and it is not certain what is black and "
                f"what is white there: give --range LOW:HIGH, such as {_USUAL}."
            )
        return found

    def _of_network(self) -> ValueRange | None:
        """Return -1 … 1 where so much is negative that it cannot be noise around 0 … 1."""
        negative = self.usual_low <= -0.5 or (self.usual_low <= -_OVERSHOOT and self.middle <= 0.25)
        return ValueRange(-1, 1) if negative and max(-self.low, self.high) <= _WILD else None

    def _of_unit(self) -> ValueRange | None:
        """Return 0 … 1, with overshoot, where pictures are dark somewhere and not flat."""
        inside = self.low >= -_OVERSHOOT and (self.usual_low > -0.05 or self.middle > 0.25)
        reached = self.low <= 0.25 and self.high - self.low >= _FLAT
        below = self.high <= 1.5 and self.usual_high <= 1 + _OVERSHOOT
        return ValueRange(0, 1) if inside and reached and below else None

    def _of_bytes(self) -> ValueRange | None:
        """Return 0 … 255, with overshoot, where at least one picture is as bright as that.

        Raises:
            DatasetError: some of the pictures seem to be of a smaller range.
        """
        margin = _OVERSHOOT * 255
        if not (-margin <= self.low and 32 <= self.high <= 255 + margin):
            return None
        if self.usual_low < -25:
            return None
        dark = np.flatnonzero((self.highs <= 1.5) & (self.highs > self.lows))
        for row in dark[:_DARK_ONES]:
            picture = np.asarray(self._array[row], np.float64)
            if (picture != np.rint(picture)).any():
                raise DatasetError(
                    f"{self._name} is of more than one range: row {row} goes from "
                    f"{_number(self.lows[row])} to {_number(self.highs[row])}, and row "
                    f"{int(self.highs.argmax())} to {_number(self.high)}; bring all to one."
                )
        return ValueRange(0, 255)


def _parts(array: NDArray[np.generic]) -> Iterator[tuple[slice, NDArray[np.generic]]]:
    """Go through an array in the order of its file: which rows, and numbers [rows, any]."""
    count = len(array)
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        # Every picture is scattered over the whole file.
        across = array.T.reshape(-1, count)
        size = max(1, _AT_ONCE // count)
        for start in range(0, len(across), size):
            yield slice(None), across[start : start + size].T
        return
    size = max(1, _AT_ONCE // max(1, array[0].size))
    for start in range(0, count, size):
        part = array[start : start + size]
        yield slice(start, start + len(part)), part.reshape(len(part), -1)


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1e4 else f"{value:.3g}"
