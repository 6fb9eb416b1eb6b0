"""Exact nearest neighbours in bounded memory, at about the speed of a matrix product.

A product in float32 proposes a few candidates for each query; these are measured again by
subtraction in float64. How far the product can be off is bounded, so that for each query it is
known whether nothing else could have come in; where it could, everything is measured again.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Vectors = NDArray[np.float32]
Both = tuple[Vectors, Vectors]

# Vectors that are compared at once: at most so many, and so many numbers in all.
_MOST_VECTORS = 2048
_MOST_NUMBERS = 2**24
# Candidates beyond those wanted: enough that photographs seldom need a second look.
_SPARE = 16
# Numbers that are subtracted at once.
_SUBTRACTED = 2**22
_ROUNDING = 2.0**-24


class Searched(Protocol):
    """Training images as vectors that need not all be in memory."""

    count: int
    """How many there are."""
    length: int
    """Numbers in each vector."""

    def read(self, start: int, stop: int) -> Both:
        """Give the vectors of a stretch, [stop - start, length], and of its mirror images."""
        ...


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The nearest training images of each query, the nearest first.

    Attributes:
        rows: positions among the training images, int64 [queries, K].
        mirrored: whether it is the mirror image that is near, bool [queries, K].
        distances: Euclidean, float64 [queries, K].
    """

    rows: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    distances: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)


def nearest(
    queries: Vectors,
    training: Searched,
    wanted: int,
    *,
    own: NDArray[np.int64] | None = None,
    advance: Callable[[int], object] = lambda pairs: None,
) -> Neighbours:
    """Find the exact nearest training images, of each the nearer of its two forms.

    Of equally near images the one with the lower row comes first, and of equally near forms it is
    not the mirrored one. Equal vectors have the distance 0.

    Args:
        queries: what to look for, float32 [Q, length].
        training: what is searched.
        wanted: neighbours a query; fewer where there are not so many.
        own: for each query, the row that is itself and does not count, or -1; int64 [Q].
        advance: told how many pairs of a query and a training image have been compared.

    Returns:
        The neighbours of every query.
    """
    others = training.count - (own is not None)
    wanted = min(wanted, others)
    own = np.full(len(queries), -1, np.int64) if own is None else own
    if len(queries) == 0 or wanted <= 0:
        empty = np.zeros((len(queries), max(0, wanted)))
        return Neighbours(
            rows=empty.astype(np.int64), mirrored=empty.astype(np.bool_), distances=empty
        )
    candidates = _Candidates(queries, training, own, min(wanted + _SPARE, others))
    for start, both in stretches(training):
        candidates.compare(start, both)
        advance(len(queries) * len(both[0]))
    squares, mirrored = measure(queries, training, candidates.rows)
    found = first_of(candidates.rows, squares, mirrored, wanted)
    # What was dropped is farther than the last candidate, by what the product says of it.
    dropped = candidates.rows.shape[1] < training.count - (own >= 0)
    again = np.flatnonzero(dropped & (found[2][:, -1] >= candidates.dropped_from()))
    if len(again):
        for part, seen in zip(
            found, _by_subtraction(queries[again], training, own[again], wanted), strict=True
        ):
            part[again] = seen
    return Neighbours(rows=found[0], mirrored=found[1], distances=np.sqrt(found[2]))


def product_seconds(queries: int, others: int, length: int) -> float:
    """Estimate how long the products of so many vectors take here, in seconds."""
    size = at_once(length)
    some = torch.ones(size, length)
    out = some @ some.T
    began = time.perf_counter()
    torch.mm(some, some.T, out=out)
    return (time.perf_counter() - began) * (queries / size) * (others / size)


def at_once(length: int) -> int:
    """Say how many vectors of some length are compared at once."""
    return max(1, min(_MOST_VECTORS, _MOST_NUMBERS // length))


def stretches(training: Searched) -> Iterator[tuple[int, Both]]:
    """Give all training vectors in parts, each with the row of its first."""
    size = at_once(training.length)
    for start in range(0, training.count, size):
        yield start, training.read(start, min(start + size, training.count))


class _Candidates:
    """The seemingly nearest so far, by products in float32.

    What is kept of a pair is |t|² − 2 q·t, of vectors from which one and the same vector has been
    taken away: that changes no distance, and makes the products small and their errors with them.
    """

    def __init__(
        self, queries: Vectors, training: Searched, own: NDArray[np.int64], keep: int
    ) -> None:
        self._own, self._length = own, training.length
        first = training.read(0, min(training.count, at_once(training.length)))[0]
        self._centre = first.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._queries = torch.from_numpy(queries - self._centre)
        # Made once: fresh memory for every product would cost as much as a part of it.
        self._spaces = [torch.empty(0), torch.empty(0)]
        self._scores = torch.full((len(queries), keep), torch.inf)
        self._rows = torch.zeros((len(queries), keep), dtype=torch.int64)
        self._longest = 0.0

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the candidates, [Q, keep], in no order."""
        return self._rows.numpy()

    def compare(self, start: int, both: Both) -> None:
        """Take up a stretch of training vectors, of which the first has the row `start`."""
        forms = [torch.from_numpy(form - self._centre) for form in both]
        squares = [_lengths(form) for form in forms]
        self._longest = max(self._longest, *(float(square.max()) ** 0.5 for square in squares))
        lengths = [square.float()[None] for square in squares]
        size = at_once(self._length)
        for first in range(0, len(self._queries), size):
            part = slice(first, first + size)
            some = self._queries[part]
            plain, flipped = (
                torch.addmm(length, some, form.T, alpha=-2, out=self._space(number, some, form))
                for number, (length, form) in enumerate(zip(lengths, forms, strict=True))
            )
            scores = torch.minimum(plain, flipped, out=plain)
            own = self._own[part] - start
            mine = np.flatnonzero((own >= 0) & (own < scores.shape[1]))
            scores[mine, own[mine]] = torch.inf
            self._keep(part, scores, start)

    def _space(self, number: int, some: Tensor, form: Tensor) -> Tensor:
        if self._spaces[number].shape != (len(some), len(form)):
            self._spaces[number] = torch.empty(len(some), len(form))
        return self._spaces[number]

    def _keep(self, part: slice, scores: Tensor, start: int) -> None:
        keep = self._scores.shape[1]
        # After the first stretches this is seldom: most training images are near to no query.
        better = torch.nonzero(scores.amin(dim=1) < self._scores[part].amax(dim=1))[:, 0]
        if len(better) == 0:
            return
        least, columns = scores[better].topk(min(keep, scores.shape[1]), dim=1, largest=False)
        rows = better + part.start
        both = torch.cat([self._scores[rows], least], dim=1)
        names = torch.cat([self._rows[rows], columns + start], dim=1)
        self._scores[rows], order = both.topk(keep, dim=1, largest=False)
        self._rows[rows] = names.gather(1, order)

    def dropped_from(self) -> NDArray[np.float64]:
        """Give the squared distance from which on images may have been dropped, [Q].

        A product of n terms is off by at most n u |q| |t|, in whatever order they are added, with
        the rounding u = 2^-24 (Higham 2002, §3.1). The few roundings beside it are allowed for.
        """
        squares = _lengths(self._queries).numpy()
        error = (self._length + 32) * _ROUNDING * (np.sqrt(squares) + self._longest) ** 2
        worst = self._scores.amax(dim=1).double().numpy()
        return np.asarray(worst + squares - error, np.float64)


def _lengths(vectors: Tensor) -> Tensor:
    """Give the squared lengths of vectors, float64 [n]."""
    size = max(1, _SUBTRACTED // vectors.shape[1])
    found = torch.empty(len(vectors), dtype=torch.float64)
    for start in range(0, len(vectors), size):
        part = slice(start, start + size)
        found[part] = vectors[part].double().square().sum(dim=1)
    return found


def measure(
    queries: Vectors, training: Searched, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Measure each query's candidates by subtraction in float64.

    Args:
        queries: float32 [Q, length].
        training: where the candidates are.
        rows: of the candidates, int64 [Q, k].

    Returns:
        Squared distances of the nearer forms, float64 [Q, k], and whether these are the mirrored
        ones, bool [Q, k].
    """
    squares = np.empty(rows.shape)
    mirrored = np.empty(rows.shape, np.bool_)
    size = max(1, _SUBTRACTED // training.length)
    order = np.argsort(rows, axis=None, kind="stable")
    ordered = rows.ravel()[order]
    for start, both in stretches(training):
        first, last = np.searchsorted(ordered, [start, start + len(both[0])])
        for begin in range(first, last, size):
            places = order[begin : min(begin + size, last)]
            which = rows.ravel()[places] - start
            some = queries[places // rows.shape[1]]
            plain, flipped = (_squares(some, form[which]) for form in both)
            squares.ravel()[places] = np.minimum(plain, flipped)
            mirrored.ravel()[places] = flipped < plain
    return squares, mirrored


def _by_subtraction(
    queries: Vectors, training: Searched, own: NDArray[np.int64], wanted: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """Measure everything: for queries with so many equally near images that products fail."""
    rows = np.zeros((len(queries), wanted), np.int64)
    mirrored = np.zeros((len(queries), wanted), np.bool_)
    squares = np.full((len(queries), wanted), np.inf)
    for start, both in stretches(training):
        numbers = np.arange(start, start + len(both[0]))
        for place, query in enumerate(queries):
            plain, flipped = (_squares(query[None], form) for form in both)
            near = np.minimum(plain, flipped)
            near[numbers == own[place]] = np.inf
            found = first_of(
                np.concatenate([rows[place], numbers])[None],
                np.concatenate([squares[place], near])[None],
                np.concatenate([mirrored[place], flipped < plain])[None],
                wanted,
            )
            rows[place], mirrored[place], squares[place] = (part[0] for part in found)
    return rows, mirrored, squares


def _squares(some: Vectors, others: Vectors) -> NDArray[np.float64]:
    """Give |a − b|² row by row, float64 [n]."""
    found = np.empty(len(others))
    size = max(1, _SUBTRACTED // others.shape[1])
    for start in range(0, len(others), size):
        part = others[start : start + size].astype(np.float64)
        part -= some if len(some) == 1 else some[start : start + size]
        found[start : start + size] = np.square(part, out=part).sum(axis=1)
    return found


def first_of(
    rows: NDArray[np.int64],
    squares: NDArray[np.float64],
    mirrored: NDArray[np.bool_],
    wanted: int,
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """Sort candidates by distance, equal ones by row, and keep the first `wanted`."""
    order = np.lexsort((rows, squares), axis=1)[:, :wanted]
    return (
        np.take_along_axis(rows, order, 1),
        np.take_along_axis(mirrored, order, 1),
        np.take_along_axis(squares, order, 1),
    )
