"""Exact nearest neighbours in bounded memory."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Training vectors compared at once: the largest table is [queries, this] float32.
_CHUNK = 2048


@dataclass(frozen=True)
class Neighbours:
    """The nearest training vectors of each query, the nearest first.

    Attributes:
        rows: positions among the training vectors, int64 [queries, K].
        mirrored: whether it is the mirrored form that is near, bool [queries, K].
        distances: root mean square difference, float64 [queries, K].
    """

    rows: np.ndarray
    mirrored: np.ndarray
    distances: np.ndarray


Vectors = Callable[[int, int], tuple[np.ndarray, np.ndarray]]
"""(start, stop) -> training vectors and those of the mirrored images, float32 [n, D] each."""


def nearest(
    queries: np.ndarray,
    vectors: Vectors,
    count: int,
    wanted: int,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> Neighbours:
    """Find the exact nearest training vectors, of each training image the nearer form.

    The bulk of the work is a matrix product, |q|² − 2 q·t + |t|²; it keeps somewhat more candidates
    than are wanted, whose distances are then computed by subtraction in float64, since the product
    form has no digits left for what is nearly equal.

    Args:
        queries: float32 [Q, D].
        vectors: gives any stretch of the training vectors.
        count: how many training images there are.
        wanted: neighbours a query; at most `count` are given.
        advance: told of every stretch that is done, by its length.

    Returns:
        The neighbours of every query.
    """
    wanted = min(wanted, count)
    kept = min(wanted + 8, count)
    best = np.full((len(queries), kept), np.inf, np.float32)
    rows = np.zeros((len(queries), kept), np.int64)
    flipped = np.zeros((len(queries), kept), bool)
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        plain, mirrored = (_squares(queries, part) for part in vectors(start, stop))
        is_mirrored = mirrored < plain
        squares = np.concatenate([best, np.where(is_mirrored, mirrored, plain)], axis=1)
        here = np.broadcast_to(np.arange(start, stop), is_mirrored.shape)
        order = np.argpartition(squares, kept - 1, axis=1)[:, :kept]
        best = np.take_along_axis(squares, order, axis=1)
        rows = np.take_along_axis(np.concatenate([rows, here], axis=1), order, axis=1)
        flipped = np.take_along_axis(np.concatenate([flipped, is_mirrored], axis=1), order, axis=1)
        advance(stop - start)
    return _exactly(queries, vectors, rows, flipped, wanted)


def _squares(queries: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Give |q − t|² but for |q|², which does not change a query's order; float32 [Q, n]."""
    squares: np.ndarray = queries @ part.T
    squares *= -2
    squares += np.square(part).sum(axis=1)
    return squares


def _exactly(
    queries: np.ndarray, vectors: Vectors, rows: np.ndarray, flipped: np.ndarray, wanted: int
) -> Neighbours:
    """Order the candidates by distances computed in float64."""
    distances = np.empty(rows.shape)
    for row in np.unique(rows):
        forms = np.concatenate(vectors(int(row), int(row) + 1)).astype(np.float64)
        at = np.nonzero(rows == row)
        difference = queries[at[0]] - forms[flipped[at].astype(np.int64)]
        distances[at] = np.sqrt(np.square(difference).mean(axis=1))
    # Equal distances come in the order of their rows, whatever the order they were found in.
    order = np.lexsort((rows, distances), axis=1)[:, :wanted]
    return Neighbours(
        rows=np.take_along_axis(rows, order, axis=1),
        mirrored=np.take_along_axis(flipped, order, axis=1),
        distances=np.take_along_axis(distances, order, axis=1),
    )
