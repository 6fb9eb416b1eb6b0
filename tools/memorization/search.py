"""Exact nearest neighbours in bounded memory."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Vectors that are compared at once: at most so many, and so many numbers in all (float64).
_MOST_VECTORS = 2048
_MOST_NUMBERS = 2**24


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """Vectors that need not all be in memory.

    Attributes:
        count: how many there are.
        length: numbers in each.
        read: (start, stop) -> the vectors of that stretch, [stop - start, length], real numbers.
    """

    count: int
    length: int
    read: Callable[[int, int], np.ndarray]

    @property
    def at_once(self) -> int:
        """How many are compared at once."""
        return max(1, min(_MOST_VECTORS, _MOST_NUMBERS // self.length))


@dataclass(frozen=True, kw_only=True)
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


def nearest(
    queries: Vectors,
    training: Vectors,
    mirrored: Vectors,
    wanted: int,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> Neighbours:
    """Find the exact nearest training vectors, of each training image the nearer form.

    The work is a matrix product, |q|² − 2 q·t + |t|², in float64: of whole numbers, as pixels are,
    it is free of rounding errors, so that an exact copy has the distance 0. Of equally near images
    the one with the lower row comes first, and of equally near forms it is not the mirrored one.

    Args:
        queries: what to look for.
        training: what is searched.
        mirrored: the same images' mirrored forms.
        wanted: neighbours a query; there are at most `training.count`.
        advance: told how many pairs of a query and a training image have been compared.

    Returns:
        The neighbours of every query.
    """
    wanted = min(wanted, training.count)
    found = Neighbours(
        rows=np.zeros((queries.count, wanted), np.int64),
        mirrored=np.zeros((queries.count, wanted), bool),
        distances=np.zeros((queries.count, wanted)),
    )
    for first in range(0, queries.count, queries.at_once):
        last = min(first + queries.at_once, queries.count)
        some = _Search(queries.read(first, last), wanted)
        for start in range(0, training.count, training.at_once):
            stop = min(start + training.at_once, training.count)
            some.compare(start, training.read(start, stop), mirrored.read(start, stop))
            advance((last - first) * (stop - start))
        found.rows[first:last] = some.rows
        found.mirrored[first:last] = some.mirrored
        found.distances[first:last] = np.sqrt(some.squares / queries.length)
    return found


class _Search:
    """The nearest so far of some queries."""

    def __init__(self, queries: np.ndarray, wanted: int) -> None:
        self.queries = queries.astype(np.float64)
        self.lengths = np.square(self.queries).sum(axis=1)[:, None]
        self.rows = np.zeros((len(queries), wanted), np.int64)
        self.mirrored = np.zeros((len(queries), wanted), bool)
        self.squares = np.full((len(queries), wanted), np.inf)

    def compare(self, start: int, training: np.ndarray, mirrored: np.ndarray) -> None:
        """Take up training vectors, of which the first has the row `start`; rows only grow."""
        plain, flipped = self._squares(training), self._squares(mirrored)
        squares = np.minimum(plain, flipped)
        wanted = self.squares.shape[1]
        # After the first stretches this is seldom: most training images are near to no query.
        for query in np.flatnonzero((squares < self.squares[:, -1:]).any(axis=1)):
            nearer = np.flatnonzero(squares[query] < self.squares[query, -1])
            both = np.concatenate([self.squares[query], squares[query, nearer]])
            # A stable order: among equals, the earlier row stays in front.
            order = np.argsort(both, kind="stable")[:wanted]
            is_flipped = flipped[query, nearer] < plain[query, nearer]
            self.squares[query] = both[order]
            self.rows[query] = np.concatenate([self.rows[query], start + nearer])[order]
            self.mirrored[query] = np.concatenate([self.mirrored[query], is_flipped])[order]

    def _squares(self, training: np.ndarray) -> np.ndarray:
        """Give |q − t|², float64 [queries, n]."""
        training = training.astype(np.float64)
        squares: np.ndarray = self.queries @ training.T
        squares *= -2
        squares += self.lengths
        squares += np.square(training).sum(axis=1)
        # Of numbers that are not whole, rounding could leave less than nothing.
        np.maximum(squares, 0, out=squares)
        return squares
