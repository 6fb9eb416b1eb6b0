"""Faces drawn by program: training pictures that need no download.

Every face is a point in a space of continuous traits (`Face`), drawn from (seed, index) alone.
It is painted in layers from back to front. Shapes are signed distances turned into coverage whose
edge is as wide as a pixel, so one face looks the same at every resolution.

Three frames of coordinates are used, all with x to the right and y down:

- image: [-1, 1] across the picture;
- head: the image undone from tilt, scale and shift, so that an upright head stands in it;
- face: the head frame undone from turning and nodding. Features are placed in it as if the head
  looked straight ahead, and the side turned away comes out narrower by itself.
"""

import numpy as np
from numpy.typing import NDArray

from datasets.drawn.painting import paint
from datasets.drawn.traits import Face

__all__ = ["MAX_RESOLUTION", "Face", "draw"]

MAX_RESOLUTION = 256

# Smaller pictures are reduced from this one: below it an iris is thinner than a pixel's edge.
_MIN_CANVAS = 64
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def draw(index: int, resolution: int, *, seed: int = 0, channels: int = 3) -> NDArray[np.uint8]:
    """Draw the face of (seed, index), the same one at every resolution.

    Args:
        index: Which face, in [0, 2**64).
        resolution: Height and width in pixels, a power of two from 4 to `MAX_RESOLUTION`.
        seed: Which endless series of faces, in [0, 2**64).
        channels: 3 for RGB, 1 for its luminance.

    Returns:
        The picture, uint8 [resolution, resolution, channels].

    Raises:
        ValueError: If an argument is out of its range.
    """
    if not 4 <= resolution <= MAX_RESOLUTION or resolution & (resolution - 1):
        raise ValueError(
            f"Drawn faces have a resolution that is a power of two from 4 to {MAX_RESOLUTION}, "
            f"not {resolution}."
        )
    if channels not in (1, 3):
        raise ValueError(f"Drawn faces have 1 or 3 channels, not {channels}.")
    for name, value in (("index", index), ("seed", seed)):
        if not 0 <= value < 2**64:
            raise ValueError(
                f"The {name} of a drawn face lies from 0 to 2**64 - 1, not at {value}."
            )
    size = max(resolution, _MIN_CANVAS)
    picture = paint(Face.random(seed, index), size)
    step = size // resolution
    picture = picture.reshape(3, resolution, step, resolution, step).mean(axis=(2, 4))
    if channels == 1:
        picture = np.tensordot(_LUMA, picture, 1)[None]
    return (picture.transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8)
