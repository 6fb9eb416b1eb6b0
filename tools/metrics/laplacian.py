"""Laplacian pyramids, as OpenCV's pyrDown and pyrUp make them (paper section 5).

Both filter with the binomial kernel 1-4-6-4-1 along each axis and mirror the image at its outermost
pixels, which are not repeated (BORDER_REFLECT_101). Rows of even and of odd number are treated
apart: then neither the mirrored edge nor the zeros that pyrUp inserts ever exist.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

# The last level, which holds what all the others leave.
COARSEST = 16

Pixels: TypeAlias = NDArray[np.float32]


def sides(side: int) -> list[int]:
    """Give the sides of a pyramid's levels in pixels: `side`, half of it … 16.

    Args:
        side: a power of two, at least 16.
    """
    return [side] if side <= COARSEST else [side, *sides(side // 2)]


def pyramid(images: Pixels) -> list[Pixels]:
    """Divide images into bands of fineness.

    Args:
        images: float32 [N, C, S, S], S a power of two and at least 16; any value range.

    Returns:
        For each of `sides(S)` float32 [N, C, side, side]: what is lost by halving the image of
        that size, and last the image of 16 pixels itself. The finest level of uint8 pixels is free
        of rounding errors.
    """
    levels = []
    for _ in sides(images.shape[-1])[:-1]:
        smaller = down(images)
        levels.append(images - up(smaller))
        images = smaller
    return [*levels, images]


def down(images: Pixels) -> Pixels:
    """Blur and halve images, float32 [N, C, H, W] with even sides of 4 or more."""
    *leading, height, width = images.shape
    low = np.empty((*leading, height // 2, width), np.float32)
    small = np.empty((*leading, height // 2, width // 2), np.float32)
    _halve(images, into=low)
    _halve(low.swapaxes(-1, -2), into=small.swapaxes(-1, -2))
    return small


def up(images: Pixels) -> Pixels:
    """Double images smoothly, float32 [N, C, H, W] with sides of 2 or more."""
    *leading, height, width = images.shape
    tall = np.empty((*leading, 2 * height, width), np.float32)
    large = np.empty((*leading, 2 * height, 2 * width), np.float32)
    _double(images, into=tall)
    _double(tall.swapaxes(-1, -2), into=large.swapaxes(-1, -2))
    return large


def _halve(images: Pixels, *, into: Pixels) -> None:
    """Blur along the columns and keep every second row.

    Row i becomes (6·even[i] + 4·(odd[i-1] + odd[i]) + even[i-1] + even[i+1]) / 16.
    """
    even, odd = images[..., 0::2, :], images[..., 1::2, :]
    np.multiply(even, 6, out=into)
    fourfold = odd * np.float32(4)
    into += fourfold
    into[..., 1:, :] += fourfold[..., :-1, :]
    into[..., 0, :] += fourfold[..., 0, :]
    into[..., 1:, :] += even[..., :-1, :]
    into[..., 0, :] += even[..., 1, :]
    into[..., :-1, :] += even[..., 1:, :]
    into[..., -1, :] += even[..., -1, :]
    into *= 1 / 16


def _double(images: Pixels, *, into: Pixels) -> None:
    """Put a row between each two.

    Old rows become (6·row[i] + row[i-1] + row[i+1]) / 8, new ones (row[i] + row[i+1]) / 2.
    """
    even, odd = into[..., 0::2, :], into[..., 1::2, :]
    np.multiply(images, 6, out=even)
    even[..., 1:, :] += images[..., :-1, :]
    even[..., 0, :] += images[..., 1, :]
    even[..., :-1, :] += images[..., 1:, :]
    # Below the last row stands an inserted zero, and below that the last row mirrored.
    even[..., -1, :] += images[..., -1, :]
    even *= 1 / 8
    np.add(images[..., :-1, :], images[..., 1:, :], out=odd[..., :-1, :])
    np.multiply(images[..., -1, :], 2, out=odd[..., -1, :])
    odd *= 1 / 2
