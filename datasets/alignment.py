"""The oriented crop of CelebA-HQ: every face upright, equally large and in the same place."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from datasets.errors import UnusableError

# All as parts of the square's side.
_REACH = 0.3  # outside the picture by this much, its colour is the median colour
_BLUR = 0.02  # standard deviation of the blur outside of the picture
_MARGIN = 0.02  # read around the square, for the blur and for resampling
# A square so much larger than the picture comes of points that are no face.
_MOST_SIDES = 3
_MEDIAN_STEP = 4


@dataclass(frozen=True)
class Square:
    """A square that may be turned, in pixels from the upper left corner of the picture."""

    centre: NDArray[np.float64]
    """[2], x and y."""
    across: NDArray[np.float64]
    """[2], from the centre to the middle of its right side."""

    @property
    def down(self) -> NDArray[np.float64]:
        """From the centre to the middle of its lower side: [2]."""
        return _quarter_turn(self.across)

    @property
    def side(self) -> float:
        """Its side."""
        return 2 * math.hypot(*self.across)

    @property
    def corners(self) -> NDArray[np.float64]:
        """Upper left, upper right, lower right, lower left: [4, 2]."""
        x, y = self.across, self.down
        around: NDArray[np.float64] = np.array([-x - y, x - y, x + y, y - x])
        return self.centre + around


def face_square(face: NDArray[np.float32]) -> Square:
    """Find the square that frames a face (Karras et al. 2018, appendix C).

    Args:
        face: [4, 2], left eye, right eye, left and right corner of the mouth, as x and y of pixels,
            whose centres are whole numbers.

    Raises:
        UnusableError: these points are no face.
    """
    # From the centres of pixels to their corners.
    left_eye, right_eye, left_corner, right_corner = face.astype(np.float64) + 0.5
    eyes, mouth = (left_eye + right_eye) / 2, (left_corner + right_corner) / 2
    between, down = right_eye - left_eye, mouth - eyes
    # The direction from eye to eye and that from eyes to mouth, which is steadier in a face that
    # looks aside, count both.
    across = between - _quarter_turn(down)
    length = math.hypot(*across)
    if length < 1e-3:
        raise UnusableError("points that are no face")
    across *= max(2.0 * math.hypot(*between), 1.8 * math.hypot(*down)) / length
    return Square(eyes + 0.1 * down, across)


def cut_out(image: Image.Image, square: Square, resolution: int) -> Image.Image:
    """Cut a turned square out of a picture and resample it.

    Where the square leaves the picture, the picture is mirrored, ever more blurred and ever closer
    to the median colour with the distance; pixels of the picture itself stay as they are.

    Args:
        image: mode RGB, L or CMYK.
        square: what to cut out.
        resolution: pixels of the result's side.

    Returns:
        The same mode, [resolution, resolution].

    Raises:
        UnusableError: the square lies outside of the picture, or is far too large for it.
    """
    size = np.array(image.size)
    if (
        (square.centre < 0).any()
        or (square.centre > size).any()
        or square.side > _MOST_SIDES * size.max()
    ):
        raise UnusableError("a face outside of the picture")
    margin = 2 + _MARGIN * square.side
    low = np.floor(square.corners.min(axis=0) - margin).astype(int)
    high = np.ceil(square.corners.max(axis=0) + margin).astype(int)
    inner_low, inner_high = np.maximum(low, 0), np.minimum(high, size)
    part = image.crop((*inner_low.tolist(), *inner_high.tolist()))
    # A large square is first reduced by a whole factor, to not less than twice the result.
    factor = max(1, int(square.side / (2 * resolution)))
    part = part.reduce(factor)
    before = -(-(inner_low - low) // factor)
    after = -(-(high - inner_high) // factor)
    if before.any() or after.any():
        part = _padded(part, before, after, square.side / factor)
    corner = (square.corners[0] - inner_low) / factor + before
    # Turned at a whole multiple of the result's size that loses no pixel, then reduced.
    fine = resolution * math.ceil(square.side / factor / resolution)
    x, y = (2 * square.across / factor / fine).tolist(), (2 * square.down / factor / fine).tolist()
    turned = part.transform(
        (fine, fine),
        Image.Transform.AFFINE,
        (x[0], y[0], corner[0], x[1], y[1], corner[1]),
        Image.Resampling.BICUBIC,
    )
    return turned.resize((resolution, resolution), Image.Resampling.LANCZOS)


def _padded(
    part: Image.Image, before: NDArray[np.int_], after: NDArray[np.int_], side: float
) -> Image.Image:
    """Go on beyond the picture's edges: by so many pixels [2], as x and y, before it and after."""
    pixels = np.asarray(part)
    height, width = pixels.shape[:2]
    widths = [(before[1], after[1]), (before[0], after[0])] + [(0, 0)] * (pixels.ndim - 2)
    mirrored = np.pad(pixels, widths, mode="reflect")
    blurred = Image.fromarray(mirrored, part.mode).filter(ImageFilter.GaussianBlur(_BLUR * side))
    # How far outside of the picture each pixel lies, as a part of the reach.
    rows = _outside(mirrored.shape[0], before[1], height)
    columns = _outside(mirrored.shape[1], before[0], width)
    distance = np.hypot(rows[:, None], columns[None]) / (_REACH * side)
    distance = distance.reshape(distance.shape + (1,) * (pixels.ndim - 2)).astype(np.float32)
    result = mirrored + (np.asarray(blurred, np.float32) - mirrored) * np.minimum(3 * distance, 1)
    median = np.median(pixels[::_MEDIAN_STEP, ::_MEDIAN_STEP], axis=(0, 1)).astype(np.float32)
    result += (median - result) * np.minimum(distance, 1)
    return Image.fromarray(np.rint(result).astype(np.uint8), part.mode)


def _outside(count: int, before: int, inside: int) -> NDArray[np.float64]:
    places = np.arange(count)
    return np.maximum(np.maximum(before - places, places - (before + inside - 1)), 0).astype(float)


def _quarter_turn(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([-vector[1], vector[0]])
