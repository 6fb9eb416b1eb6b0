"""How alike two pictures are when one may be moved a little: registration by search.

A copy that was shifted or cropped differs from its original in every pixel, and yet is the same
picture. So the query is moved in small steps, and the best match counts. What is matched is fine
detail (luminance less its blur, a difference of Gaussians as of Marr and Hildreth 1980), by
normalized correlation: light and shade over the whole face are alike in any two portraits, lines
and edges are not.
"""

import math
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Pixels = NDArray[np.uint8]
Luminance = NDArray[np.float32]

# Parts of the side that a query is moved by, at most, in each direction …
_SHIFT = 3 / 32
# … and what part of it is seen: less than 1 is a crop of it, more is what was cropped out.
_ZOOMS = (0.9, 0.95, 1.0, 1.05, 1.1)
# Shifts are tried in steps of half a pixel.
_STEPS = (0.0, 0.5)
# Standard deviation of the blur, in parts of the side: one pixel of 32.
_BLUR = 1 / 32
_QUERIES_AT_ONCE = 16


def luminance(images: Pixels) -> Luminance:
    """Give the mean of the channels, float32 [N, H, W] in [0, 1], of uint8 [N, H, W, C]."""
    return np.asarray(images.astype(np.float32).mean(axis=3) / np.float32(255), np.float32)


def distances(queries: Luminance, candidates: Luminance) -> NDArray[np.float64]:
    """Compare each query, moved in the best way, with its own candidates.

    Args:
        queries: [N, S, S].
        candidates: [N, M, S, S], for each query.

    Returns:
        float64 [N, M], the distance √(2 − 2·correlation) of the fine detail of the inner
        pictures: 0 for equal ones, about √2 for unrelated ones.
    """
    found = np.empty(candidates.shape[:2])
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        part = slice(start, start + _QUERIES_AT_ONCE)
        found[part] = _some(torch.from_numpy(queries[part]), torch.from_numpy(candidates[part]))
    return found


def _some(queries: Tensor, candidates: Tensor) -> NDArray[np.float64]:
    count, others, side, _ = candidates.shape
    margin = max(1, round(_SHIFT * side))
    inner = _detail(candidates.reshape(-1, 1, side, side))
    inner = inner[:, :, margin : side - margin, margin : side - margin]
    still = _of_length_one(inner.reshape(count, others, -1))
    best = torch.full((count, others), -torch.inf)
    chosen = torch.empty_like(still)
    for zoom, across, down in product(_ZOOMS, _STEPS, _STEPS):
        moved = _shifts(_zoomed(queries[:, None], zoom, across, down), margin)
        match, which = torch.bmm(still, moved.transpose(1, 2)).max(dim=2)
        query, other = torch.nonzero(match > best, as_tuple=True)
        best[query, other] = match[query, other]
        chosen[query, other] = moved[query, which[query, other]]
    # By subtraction, so that equal pictures are at 0 and not at a rounding error's root.
    squares: NDArray[np.float64] = (chosen - still).double().square().sum(dim=2).numpy()
    return np.asarray(np.sqrt(squares), np.float64)


def _zoomed(images: Tensor, zoom: float, across: float, down: float) -> Tensor:
    """Give the fine detail of [N, 1, S, S], of which a part `zoom` of the side fills the square.

    Before, they are shifted by `across` and `down` pixels.
    """
    if (zoom, across, down) != (1, 0, 0):
        pixel = 2 / images.shape[2]
        matrix = torch.tensor([[zoom, 0, across * pixel], [0, zoom, down * pixel]])
        matrix = matrix.expand(len(images), 2, 3)
        points = F.affine_grid(matrix, list(images.shape), align_corners=False)
        images = F.grid_sample(images, points, padding_mode="border", align_corners=False)
    return _detail(images)


def _shifts(images: Tensor, margin: int) -> Tensor:
    """Cut all squares out that are smaller by `margin` at each edge: [N, shifts, numbers]."""
    size = images.shape[2] - 2 * margin
    return _of_length_one(F.unfold(images, size).transpose(1, 2))


def _detail(images: Tensor) -> Tensor:
    """Take away from [N, 1, S, S] its blur."""
    blur = _blur(images.shape[2])
    return images - blur @ images @ blur.T


def _blur(side: int) -> Tensor:
    """Give the matrix [S, S] that blurs a line; beyond the edge, the last pixel goes on."""
    width = _BLUR * side
    reach = math.ceil(3 * width)
    steps = torch.arange(-reach, reach + 1)
    weights = torch.exp(-steps.float().square() / (2 * width * width))
    matrix = torch.zeros(side, side)
    places = (torch.arange(side)[:, None] + steps).clamp(0, side - 1)
    return matrix.scatter_add_(1, places, (weights / weights.sum()).expand(side, -1))


def _of_length_one(vectors: Tensor) -> Tensor:
    """Take the mean away from the last dimension, and scale it to length one."""
    centred = vectors - vectors.mean(dim=-1, keepdim=True)
    # What has no detail has no direction; it stays zero.
    lengths = centred.square().sum(dim=-1, keepdim=True).sqrt()
    return centred / lengths.clamp(min=1e-6)
