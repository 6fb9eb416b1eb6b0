"""Images and features for the tests of the metrics."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]


def varied_images(
    numbers: np.random.Generator,
    count: int,
    side: int = 32,
    *,
    channels: int = 3,
    contrast: float = 1.0,
) -> Images:
    """Coarse coloured patches with fine noise, each image with its own mean and noise."""
    coarse = numbers.standard_normal((count, channels, side // 4, side // 4)) * 30 * contrast
    images = coarse.repeat(4, axis=2).repeat(4, axis=3)
    images += numbers.standard_normal((count, channels, 1, 1)) * 40
    noise = numbers.uniform(4, 12, (count, 1, 1, 1))
    images += numbers.standard_normal(images.shape) * noise
    return np.clip(np.rint(images + 128), 0, 255).astype(np.uint8)


def parts_of(array: NDArray[Any], sizes: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Divide an array into parts of these sizes, again and again until it ends."""
    start, turn = 0, 0
    while start < len(array):
        stop = start + sizes[turn % len(sizes)]
        yield array[start:stop]
        start, turn = stop, turn + 1
