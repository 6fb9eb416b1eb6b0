"""Multi-scale structural similarity (Wang et al. 2003): the paper's variation (section 5).

Two images are compared window by window at five scales, each half as large as the one before: by
how alike contrast and structure are at all of them, and also how alike brightness is at the
coarsest. A generator whose images resemble one another has a high mean over random pairs.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError
from tools.metrics import draws, inputs
from tools.metrics.draws import Purpose
from tools.metrics.estimate import Estimate, mean_of

if TYPE_CHECKING:
    from tools.metrics.inputs import Array

PAIRS = 10_000
"""Pairs of generated images, as in the paper."""

# From the finest scale to the coarsest.
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# The Gaussian window; on images smaller than it, it has their size, and is as much narrower.
_WINDOW, _DEVIATION = 11, 1.5
# They keep quotients of small numbers steady: (K1·255)² and (K2·255)².
_STEADY_MEAN, _STEADY_CONTRAST = (0.01 * 255) ** 2, (0.03 * 255) ** 2
# Pixels that are filtered by one matrix product: more are wasted work, fewer wasted calls.
_BLOCK = 16
# Pixels of a side that are compared at once.
_PIXELS_AT_ONCE = 2**18


def ms_ssim(first: "Array", second: "Array") -> NDArray[np.float64]:
    """Compare pairs of images.

    Colour channels are compared apart, and the result averaged over windows and channels; a mean
    less than 0 counts as 0 at each scale. Images of any size do, small ones with smaller windows.

    Args:
        first: uint8 [N, C, H, W], 0 … 255; 1 or 3 channels.
        second: the partners of the first, of the same shape.

    Returns:
        Similarities from 0 to 1 (equal), float64 [N]. They do not depend on the other pairs.

    Raises:
        DatasetError: sizes differ.
        ValueError: there are not equally many.
    """
    left = inputs.as_images(first)
    right = inputs.as_images(second, left.shape[1:])
    if len(left) != len(right):
        raise ValueError(f"{len(left)} images cannot be paired with {len(right)}")
    size = _at_once(left.shape)
    found = np.empty(len(left))
    for start in range(0, len(left), size):
        some = slice(start, start + size)
        found[some] = _compare(left[some].astype(np.float64), right[some].astype(np.float64))
    return found


class Variation:
    """The mean similarity of random pairs of images that come one after another.

    No image belongs to two pairs, so that pairs are independent. They are drawn at random from as
    many images as memory allows; where more come, an image's partner is one of those not long
    before it. Images that lie in some order, such as by class, should therefore be shuffled first.
    The result does not depend on how the images were divided into parts.

    Attributes:
        pairs: how many are formed from the images so far.
    """

    def __init__(self, *, seed: int = 0, pairs: int = PAIRS, memory: int = 2**29) -> None:
        """Start without images.

        Args:
            seed: of who is paired with whom, 0 to 2**64 - 1.
            pairs: how many to form at most; images beyond twice as many are left out.
            memory: bytes of images that wait for a partner, at most (but always two images).

        Raises:
            DatasetError: the seed is out of range.
        """
        self._seed = draws.checked(seed)
        self._most_images = 2 * pairs
        self._memory = memory
        self._count = 0
        # Images that wait are the first so many in here.
        self._waiting = 0
        self._room: NDArray[np.uint8] | None = None
        self._similarities: list[NDArray[np.float64]] = []

    @property
    def pairs(self) -> int:
        """How many pairs the images so far make."""
        return self._count // 2

    def add(self, images: "Array") -> None:
        """Take up images, uint8 [n, C, H, W]; errors as of `ms_ssim`."""
        found = inputs.as_images(images, None if self._room is None else self._room.shape[1:])
        if self._room is None:
            places = max(2, min(self._most_images, self._memory // math.prod(found.shape[1:])))
            self._room = np.empty((places, *found.shape[1:]), np.uint8)
        found = found[: self._most_images - self._count]
        size = _at_once(found.shape)
        for start in range(0, len(found), size):
            self._pair(self._room, found[start : start + size])

    def result(self) -> Estimate:
        """Give the mean over pairs; the uncertainty is its standard error.

        Raises:
            DatasetError: there are fewer than two images.
        """
        if self._room is None or self._count < 2:
            raise DatasetError("MS-SSIM needs at least 2 generated images to compare; give more.")
        # Those that still wait are paired with one another.
        order = draws.order(self._seed, Purpose.PAIRS, self._waiting, place=(0, 1))
        similarities = list(self._similarities)
        size = 2 * _at_once(self._room.shape)
        for start in range(0, len(order) - 1, size):
            pairs = order[start : min(start + size, len(order) // 2 * 2)]
            similarities.append(ms_ssim(self._room[pairs[0::2]], self._room[pairs[1::2]]))
        return mean_of(np.concatenate(similarities))

    def _pair(self, room: NDArray[np.uint8], images: NDArray[np.uint8]) -> None:
        """Let images wait while there is room, and each beyond that take a partner from there."""
        words = draws.bits(
            self._seed, Purpose.PAIRS, len(images) * draws.WORDS_A_STEP, step=self._count
        )[:: draws.WORDS_A_STEP]
        left, right = [], []
        for image, word in zip(images, words >> np.uint64(32), strict=True):
            if self._waiting < len(room):
                room[self._waiting] = image
                self._waiting += 1
            else:
                partner = int(draws.below(word, self._waiting))
                left.append(room[partner].copy())
                right.append(image)
                self._waiting -= 1
                room[partner] = room[self._waiting]
        self._count += len(images)
        if left:
            self._similarities.append(ms_ssim(np.stack(left), np.stack(right)))


def _compare(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compare images float64 [N, C, H, W]; gives [N]."""
    result = np.ones(len(first))
    for weight in _WEIGHTS[:-1]:
        _, contrast = _statistics(first, second)
        result *= np.maximum(contrast.mean(axis=(1, 2, 3)), 0) ** weight
        first, second = _halve(first), _halve(second)
    brightness, contrast = _statistics(first, second)
    both = (brightness * contrast).mean(axis=(1, 2, 3))
    similarity: NDArray[np.float64] = result * np.maximum(both, 0) ** _WEIGHTS[-1]
    return similarity


def _statistics(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the likeness of brightness, and of contrast and structure, of each window."""
    side = min(_WINDOW, *first.shape[2:])
    window = _gaussian(side)
    mean, other_mean = _blur(first, window), _blur(second, window)
    means = mean * other_mean
    square_means = mean**2 + other_mean**2
    covariance = _blur(first * second, window) - means
    variances = _blur(first**2 + second**2, window) - square_means
    brightness = (2 * means + _STEADY_MEAN) / (square_means + _STEADY_MEAN)
    contrast = (2 * covariance + _STEADY_CONTRAST) / (variances + _STEADY_CONTRAST)
    return brightness, contrast


def _gaussian(side: int) -> NDArray[np.float64]:
    """Give a window's weights along one axis, [side], of sum 1."""
    places = np.arange(side) - (side - 1) / 2
    weights: NDArray[np.float64] = np.exp(-0.5 * (places / (_DEVIATION * side / _WINDOW)) ** 2)
    weights /= weights.sum()
    return weights


def _blur(images: NDArray[np.float64], window: NDArray[np.float64]) -> NDArray[np.float64]:
    """Filter images [N, C, H, W] where the window lies inside: [N, C, H - k + 1, W - k + 1].

    As matrix products with the window's band matrix, one an image: the fastest way in NumPy, and
    one in which an image's result cannot depend on what stands beside it.
    """
    *leading, height, width = images.shape
    lost = len(window) - 1
    band = np.zeros((_BLOCK + lost, _BLOCK))
    for place, weight in enumerate(window):
        np.fill_diagonal(band[place:], weight)
    wide = np.empty((*leading, height, width - lost))
    for start in range(0, width - lost, _BLOCK):
        count = min(_BLOCK, width - lost - start)
        part = images[..., start : start + count + lost]
        np.matmul(part, band[: count + lost, :count], out=wide[..., start : start + count])
    result = np.empty((*leading, height - lost, width - lost))
    for start in range(0, height - lost, _BLOCK):
        count = min(_BLOCK, height - lost - start)
        part = wide[..., start : start + count + lost, :]
        np.matmul(band[: count + lost, :count].T, part, out=result[..., start : start + count, :])
    return result


def _halve(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average 2×2 pixels, [N, C, H, W] to half of it; an odd last row or column is repeated."""
    for axis in (2, 3):
        if images.shape[axis] % 2:
            images = np.concatenate([images, images.take([-1], axis)], axis)
    return (
        images[..., 0::2, 0::2]
        + images[..., 0::2, 1::2]
        + images[..., 1::2, 0::2]
        + images[..., 1::2, 1::2]
    ) / 4


def _at_once(shape: tuple[int, ...]) -> int:
    """Say how many images [N, C, H, W] to compare at once."""
    return max(1, _PIXELS_AT_ONCE // math.prod(shape[1:]))
