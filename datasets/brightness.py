"""From samples of more than 8 bits, or of numbers without a declared range, to 8 bits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import UnusableError

Samples = NDArray[Any]
Bands = Callable[[], Iterator[Samples]]
"""Goes through all samples of a picture, piece by piece, as often as it is called."""

# Resampling makes numbers a little below 0 and a little above white.
_OVERSHOOT = 1 / 8
# A single bright spot does not tell what white is. At least this part of a picture must lie above
# what is white by a smaller reading.
_LEAST_PART = 0.02
_BYTE, _WORD, _LONG = 255, 65535, 2**32 - 1
# Fractions up to here may be per cent; whole numbers up to here may be of 14 bits, as cameras have.
_PER_CENT, _14_BITS = 100, 2**14 - 1

_OUTSIDE = "brightness outside 0 to 65535"
_UNCLEAR = "brightness of an unclear range: neither 0 to 1, nor 0 to 255, nor 0 to 65535"


def from_bits(bits: int, *, inverted: bool = False) -> NDArray[np.uint8]:
    """Compute the brightness of every sample of some bits, rounded to the nearest.

    Args:
        bits: 1 to 16.
        inverted: whether 0 is white.

    Returns:
        uint8 [2**bits], to be looked up in.
    """
    white = 2**bits - 1
    samples = np.arange(white + 1, dtype=np.uint32)
    result: NDArray[np.uint8] = ((255 * samples + white // 2) // white).astype(np.uint8)
    return result[::-1] if inverted else result


@dataclass(frozen=True)
class Range:
    """What numbers without a declared range mean."""

    white: float
    """The number that is white; 0 is black."""

    def to_8_bits(self, samples: Samples, *, inverted: bool = False) -> NDArray[np.uint8]:
        """Scale samples to 0 to 255; what lies beyond black and white is clipped.

        Args:
            samples: of any shape.
            inverted: whether 0 is white and `white` black.
        """
        scaled = samples * np.float64(255 / self.white)
        np.clip(scaled, 0, 255, out=scaled)
        if inverted:
            np.subtract(255, scaled, out=scaled)
        return np.asarray(np.rint(scaled), np.uint8)


def find_range(bands: Bands) -> Range:
    """Find out from all samples of a picture what their numbers mean.

    Fractions are 0 to 1, and numbers 0 to 255 or 0 to 65535, where it is clear which: where the
    picture makes use of that range, and not just with some spots.

    Args:
        bands: the samples, whole numbers or floating point.

    Raises:
        UnusableError: no range is clear, or some are infinite or not numbers.
    """
    seen = _Seen()
    for band in bands():
        if band.size:
            seen.add(band)
    white = _white_of_floats(seen) if seen.kind == "f" else _white_of_integers(seen)
    # Whole numbers are not resampled ones.
    below = -_OVERSHOOT * white if seen.kind == "f" else 0
    if seen.least < below:
        raise UnusableError(_OUTSIDE)
    return Range(white)


@dataclass
class _Seen:
    """What is known of all samples."""

    kind: str = "u"
    """Of their dtype: u, i or f."""
    bits: int = 32
    """Of each."""
    least: float = np.inf
    most: float = -np.inf
    whole: bool = True
    of_bytes: bool = True
    """Whether they are multiples of 257, as 8 bits become when they are made 16."""
    count: int = 0
    above_1: int = 0
    above_255: int = 0

    def add(self, samples: Samples) -> None:
        self.kind, self.bits = samples.dtype.kind, 8 * samples.dtype.itemsize
        if self.kind == "f" and not np.isfinite(samples).all():
            raise UnusableError("brightness that is infinite or not a number")
        self.least = min(self.least, float(samples.min()))
        self.most = max(self.most, float(samples.max()))
        self.of_bytes = self.of_bytes and not (samples % 257).any()
        if self.kind == "f":
            self.whole = self.whole and bool((samples == np.floor(samples)).all())
            self.above_1 += int(np.count_nonzero(samples > 1))
            self.above_255 += int(np.count_nonzero(samples > _BYTE))
        self.count += samples.size


def _white_of_integers(seen: _Seen) -> float:
    if seen.most <= _BYTE and seen.most != 1:
        return _BYTE
    # Integers of 16 bits with a sign have no 65535 for white.
    wide = seen.of_bytes or seen.most > _14_BITS
    if wide and seen.most <= _WORD and seen.bits > 16:
        return _WORD
    # 32 bits as the standard means them, where nearly all of them are made use of.
    if seen.kind == "u" and seen.most > _LONG / 4:
        return _LONG
    raise UnusableError(_OUTSIDE if seen.most > _WORD else _UNCLEAR)


def _white_of_floats(seen: _Seen) -> float:
    overshot = 1 + _OVERSHOOT
    if seen.most <= overshot:
        return 1
    if seen.most > _WORD * overshot:
        raise UnusableError(_OUTSIDE)
    if seen.above_1 >= _LEAST_PART * seen.count:
        if seen.of_bytes:
            return _WORD
        if (seen.whole or seen.most > _PER_CENT * overshot) and seen.most <= _BYTE * overshot:
            return _BYTE
        used = seen.whole or seen.above_255 >= _LEAST_PART * seen.count
        if used and seen.most > _14_BITS * overshot:
            return _WORD
    raise UnusableError(_UNCLEAR)
