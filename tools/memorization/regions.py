"""Regions of a feature space: Lloyd's k-means, on few vectors and with a fixed start."""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

_ROUNDS = 20
_AT_ONCE = 4096


def centres(vectors: Vectors, count: int, seed: int) -> Vectors:
    """Find the centres of regions.

    Args:
        vectors: what is divided into regions, [N, D], N at least 1.
        count: number of regions; fewer where there are fewer vectors.
        seed: what the first centres are drawn from.

    Returns:
        float32 [count, D].
    """
    numbers = np.random.default_rng(seed).permutation(len(vectors))[:count]
    found = vectors[np.sort(numbers)]
    for _ in range(_ROUNDS if len(found) > 1 else 0):
        cells = assign(vectors, found)
        # A region that has lost all its vectors stays where it was.
        means = [
            vectors[cells == cell].mean(axis=0) if (cells == cell).any() else centre
            for cell, centre in enumerate(found)
        ]
        if np.array_equal(means, found):
            break
        found = np.stack(means)
    return found


def assign(vectors: Vectors, centres: Vectors) -> NDArray[np.int64]:
    """Give the number of the nearest centre for each of the vectors [N, D], int64 [N]."""
    lengths = np.square(centres).sum(axis=1)
    found = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        found[part] = np.argmin(lengths - 2 * (vectors[part] @ centres.T), axis=1)
    return found
