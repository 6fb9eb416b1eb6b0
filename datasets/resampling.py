"""Lanczos resampling as products of matrices: faster than Pillow's, and no less exact.

A processor multiplies matrices many times faster than it gathers the neighbours of a pixel. The
filter is a band matrix, cut here into blocks that are nearly dense. All numbers are whole: pixels
times weights in units of 2**-14. Their sums stay below 2**24, where float32 is exact, so that the
result depends on no order of summation: it is the same on every processor, with every library and
every number of threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Edges = tuple[float, float]

_LOBES = 3
_WEIGHT_BITS = 14
_UNIT = np.float32(2.0**-_WEIGHT_BITS)
# Pixels that a block makes: of more, more weights are zero; of fewer, the products are small.
_BLOCK = 16
# Multiplications in a product of matrices: with more, libraries start threads, which cost more than
# they spare, and are in the way of the other processes.
_PRODUCT = 2**18
# Blocks of rows made at once, of narrow and of wide pictures: few enough that all numbers between
# stay in the processor's cache, and enough that products are not too small.
_BLOCKS, _BLOCKS_WIDE, _WIDE = 4, 2, 1024


def lanczos(pixels: Pixels, *, across: Edges, down: Edges, side: int) -> Pixels:
    """Resample a part of a picture by Lanczos with three lobes, antialiased, as Pillow does.

    Near the edges of the part, the filter reads the picture beyond them, where there is any.

    Args:
        pixels: [H, W, C].
        across: left and right edge of the part in pixels, from 0 to W.
        down: its upper and lower edge, from 0 to H.
        side: height and width of the result.

    Returns:
        [side, side, C], rounded after each of the two directions.
    """
    height, width, channels = pixels.shape
    lines = pixels.reshape(height, width * channels)
    result = np.empty((side, side, channels), np.uint8)
    # Of a strip, first as they lie in the picture, then channels apart, so that neighbours there
    # are neighbours in memory, then of the result.
    together = _BLOCKS if width <= _WIDE else _BLOCKS_WIDE
    strip = together * _BLOCK
    rows = np.zeros((strip, width * channels), np.float32)
    planes = np.zeros((channels * strip, width), np.float32)
    columns = np.empty((channels * strip, side), np.float32)
    downwards, sideways = _band(height, *down, side), _band(width, *across, side)
    strips = [downwards[n : n + together] for n in range(0, len(downwards), together)]
    # One piece of memory for all strips: for each new one, the system would clear its pages again.
    tallest = max(blocks[-1].inputs.stop - blocks[0].inputs.start for blocks in strips)
    floats = np.empty((tallest, width * channels), np.float32)
    for top, blocks in zip(range(0, side, strip), strips, strict=True):
        count = min(strip, side - top)
        first, last = blocks[0].inputs.start, blocks[-1].inputs.stop
        near = floats[: last - first]
        near[:] = lines[first:last]
        for block in blocks:
            inputs = near[block.inputs.start - first : block.inputs.stop - first]
            made = rows[block.outputs.start - top :][: len(block.weights)]
            piece = max(1, _PRODUCT // block.weights.size)
            for left in range(0, width * channels, piece):
                part = slice(left, left + piece)
                np.matmul(block.weights, inputs[:, part], out=made[:, part])
        _round(rows)
        for channel in range(channels):
            plane = planes[channel * strip :][:count]
            plane[:] = rows[:count].reshape(count, width, channels)[..., channel]
        for block in sideways:
            np.matmul(planes[:, block.inputs], block.weights.T, out=columns[:, block.outputs])
        _round(columns)
        whole = np.clip(columns, 0, 255, out=columns).astype(np.uint8)
        for channel in range(channels):
            result[top : top + count, :, channel] = whole[channel * strip :][:count]
    return result


@dataclass(frozen=True)
class _Block:
    """Some neighbouring outputs of the filter."""

    outputs: slice
    """Which they are."""
    inputs: slice
    """What they are made of."""
    weights: NDArray[np.float32]
    """[outputs, inputs], whole numbers; each row sums to 2**14."""


@lru_cache(maxsize=64)
def _band(length: int, start: float, end: float, side: int) -> list[_Block]:
    """Give the filter that makes `side` pixels of those from `start` to `end`, of `length`."""
    step = (end - start) / side
    stretch = max(step, 1.0)  # Antialiasing: who leaves pixels out averages over them first.
    centres = start + (np.arange(side, dtype=np.float64) + 0.5) * step
    low = np.maximum(0, np.floor(centres - _LOBES * stretch + 0.5)).astype(int)
    high = np.minimum(length, np.floor(centres + _LOBES * stretch + 0.5)).astype(int)
    return list(_cut(centres, stretch, low, high))


def _cut(
    centres: NDArray[np.float64], stretch: float, low: NDArray[np.int_], high: NDArray[np.int_]
) -> Iterator[_Block]:
    for first in range(0, len(centres), _BLOCK):
        outputs = slice(first, min(first + _BLOCK, len(centres)))
        inputs = slice(int(low[outputs].min()), int(high[outputs].max()))
        weights = np.zeros((outputs.stop - first, inputs.stop - inputs.start), np.float32)
        for row, place in enumerate(range(first, outputs.stop)):
            distances = (np.arange(low[place], high[place]) + 0.5 - centres[place]) / stretch
            near = slice(low[place] - inputs.start, high[place] - inputs.start)
            weights[row, near] = _whole(np.sinc(distances) * np.sinc(distances / _LOBES))
        yield _Block(outputs, inputs, weights)


def _whole(weights: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Scale weights to whole numbers with the sum 2**14, so that what is even stays even."""
    whole: NDArray[np.floating[Any]] = np.rint(weights * (2**_WEIGHT_BITS / weights.sum()))
    # The largest bears the difference: there it is the smallest part.
    whole[np.argmax(whole)] += 2**_WEIGHT_BITS - whole.sum()
    return whole


def _round(sums: NDArray[np.float32]) -> None:
    """Bring sums of pixels times weights back to whole pixels, in place."""
    np.rint(np.multiply(sums, _UNIT, out=sums), out=sums)
