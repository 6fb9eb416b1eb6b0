"""What the sliced Wasserstein distance compares: random patches at each scale (paper section 5)."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tools.metrics import draws, laplacian
from tools.metrics.draws import Purpose
from tools.metrics.shelf import Shelf

PATCHES = 128
"""Patches an image and level."""
PATCH = 7
"""Side of a patch in pixels."""
MOST_IMAGES = 16_384
"""Images a side, as in the paper; further ones are left out."""

# Pixels that a thread works on at once: few enough for a processor's cache, if images allow.
_PIXELS_AT_ONCE = 2**18
_PARTS_AT_ONCE = 8

Corners: TypeAlias = NDArray[np.int64]


class Side(IntEnum):
    """Whose images: each side has its own patches, as two sets of images have in the paper."""

    REALS = 0
    FAKES = 1


@dataclass(frozen=True, kw_only=True)
class Descriptors:
    """All patches of some images at one level, not yet normalized.

    Attributes:
        rows: pixels, float32 [images, PATCHES·C·PATCH·PATCH].
        sums: of each image's pixels, by channel, float64 [images, C].
        squares: the same of the pixels' squares.
    """

    rows: NDArray[np.float32]
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]

    def of(self, images: NDArray[np.int64] | slice) -> "Descriptors":
        """Give those of some of the images."""
        return Descriptors(
            rows=self.rows[images], sums=self.sums[images], squares=self.squares[images]
        )

    def patches(self) -> NDArray[np.float32]:
        """Give one patch a row, [images·PATCHES, C·PATCH·PATCH]."""
        return self.rows.reshape(len(self.rows) * PATCHES, -1)

    def statistics(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the mean and the standard deviation of each channel over everything, [C] each."""
        pixels = len(self.rows) * PATCHES * PATCH * PATCH
        mean = self.sums.sum(axis=0) / pixels
        variance = self.squares.sum(axis=0) / pixels - mean * mean
        # Rounding must not leave less than nothing.
        return mean, np.sqrt(np.maximum(variance, 0))


class Gatherer:
    """Gathers the patches of one side's images as they come.

    Attributes:
        count: how many images so far.
    """

    def __init__(
        self,
        side: Side,
        shape: tuple[int, ...],
        *,
        seed: int,
        pool: ThreadPoolExecutor,
        memory: int,
    ) -> None:
        """Start without images.

        Args:
            side: whose images they are.
            shape: of an image, [C, S, S].
            seed: of the patches' places.
            pool: threads to work in.
            memory: bytes of patches to keep in memory; more go to temporary files.
        """
        self._side, self._seed, self._pool = side, seed, pool
        self.count = 0
        resolutions = laplacian.sides(shape[-1])
        width = PATCHES * shape[0] * PATCH * PATCH
        share = memory // len(resolutions)
        self._shelves = {
            resolution: Shelf(width, most_rows=MOST_IMAGES, memory=share)
            for resolution in resolutions
        }
        # Sums and squares of each image at each level.
        moments = np.zeros((len(resolutions), 2, MOST_IMAGES, shape[0]))
        self._moments = dict(zip(resolutions, moments, strict=True))

    def add(self, images: NDArray[np.uint8]) -> None:
        """Take up images [n, C, S, S]; those beyond `MOST_IMAGES` in all are left out."""
        images = images[: MOST_IMAGES - self.count]
        size = max(1, _PIXELS_AT_ONCE // math.prod(images.shape[2:]))
        # A few parts at a time: what is finished waits in memory until it is put away, in order.
        for start in range(0, len(images), _PARTS_AT_ONCE * size):
            some = images[start : start + _PARTS_AT_ONCE * size]
            parts = [some[first : first + size] for first in range(0, len(some), size)]
            numbers = range(self.count, self.count + len(some), size)
            for levels in self._pool.map(self._describe, parts, numbers):
                for resolution, level in levels.items():
                    self._put_away(resolution, level)
            self.count += len(some)

    def level(self, resolution: int) -> Descriptors:
        """Give what was gathered at the level of so many pixels, to be read only."""
        sums, squares = self._moments[resolution][:, : self.count]
        return Descriptors(rows=self._shelves[resolution].rows(), sums=sums, squares=squares)

    def close(self) -> None:
        """Forget everything."""
        for shelf in self._shelves.values():
            shelf.close()

    def _put_away(self, resolution: int, level: Descriptors) -> None:
        shelf = self._shelves[resolution]
        start = shelf.count
        shelf.append(level.rows)
        self._moments[resolution][:, start : shelf.count] = level.sums, level.squares

    def _describe(self, images: NDArray[np.uint8], first: int) -> dict[int, Descriptors]:
        """Cut the patches of images of which the first has the number `first`."""
        levels = laplacian.pyramid(images.astype(np.float32))
        return {level.shape[-1]: self._cut(level, first) for level in levels}

    def _cut(self, level: laplacian.Pixels, first: int) -> Descriptors:
        rows, columns = corners(self._seed, self._side, level.shape[-1], first, len(level))
        found = cut(level, rows, columns)
        flat = found.reshape(*found.shape[:3], PATCH * PATCH)
        return Descriptors(
            rows=found.reshape(len(level), -1),
            sums=flat.sum(axis=(1, 3), dtype=np.float64),
            squares=np.square(flat).sum(axis=(1, 3), dtype=np.float64),
        )


def corners(
    seed: int, side: Side, resolution: int, first: int, count: int
) -> tuple[Corners, Corners]:
    """Draw where the patches of images lie: uniform among all places within an image.

    Args:
        seed: 0 to 2**64 - 1.
        side: whose images.
        resolution: the level's side in pixels.
        first: number of the first image on its side.
        count: how many images.

    Returns:
        Rows and columns of the patches' upper left pixels, int64 [count, PATCHES] each. Those of
        an image depend on its number alone, not on `first` and `count`.
    """
    words = draws.bits(
        seed,
        Purpose.PATCHES,
        count * PATCHES,
        step=first * PATCHES // draws.WORDS_A_STEP,
        place=(resolution, side),
    ).reshape(count, PATCHES)
    places = resolution - PATCH + 1
    upper, lower = words >> np.uint64(32), words & np.uint64(2**32 - 1)
    return draws.below(upper, places), draws.below(lower, places)


def cut(images: laplacian.Pixels, rows: Corners, columns: Corners) -> NDArray[np.float32]:
    """Cut patches out of images.

    Args:
        images: float32 [N, C, S, S].
        rows: upper pixels of the patches, int64 [N, P].
        columns: their left pixels, int64 [N, P].

    Returns:
        float32 [N, P, C, PATCH, PATCH], contiguous.
    """
    windows = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), axis=(2, 3))
    found: NDArray[np.float32] = windows[np.arange(len(images))[:, None], :, rows, columns]
    return found
