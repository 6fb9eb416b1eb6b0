"""Approximate nearest neighbours for sets too large for the exact search, with FAISS.

An inverted file (Jégou, Douze and Schmid 2011) proposes a short list for each query: vectors are
brought to their 128 principal components, kept in half precision, and looked for in the eighth of
the regions that lie nearest. What is proposed is then measured exactly, in full length, so that
every distance is right; only a neighbour that was never proposed can be missed. How often that
happens is measured against the exact search (`recall`).

An inverted file was chosen over a graph (HNSW), which need not be the same twice when several
threads build it.
"""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.errors import DatasetError
from tools.memorization.search import (
    Neighbours,
    Searched,
    Vectors,
    first_of,
    measure,
    nearest,
    stretches,
)

if TYPE_CHECKING:
    from types import ModuleType

Rows = NDArray[np.int64]

INSTALL = "pip install faiss-cpu"
# Numbers kept of each vector, two bytes each: 256 bytes, and as many for the mirror image.
_COMPONENTS = 128
# Vectors that the components are found from: all of them would only cost time.
_FOR_COMPONENTS = 1024
_ROUNDS = 6
# Vectors that the regions are found from, for each region, and the most regions.
_FOR_REGION = 64
_MOST_REGIONS = 2048
# Part of the regions that is looked into, and the least number of them.
_LOOKED_INTO = 8
_LEAST_LOOKED_INTO = 16
# Images proposed for each one wanted, and at least so many more.
_PROPOSED = 2
_SPARE = 32
_QUERIES_AT_ONCE = 4096


def need() -> None:
    """Make sure that FAISS can be used here.

    Raises:
        DatasetError: it cannot.
    """
    _faiss()


def installed() -> bool:
    """Say whether FAISS can be used here."""
    try:
        need()
    except DatasetError:
        return False
    return True


def _faiss() -> Any:
    try:
        found: ModuleType = importlib.import_module("faiss")
    except ImportError as error:
        raise DatasetError(
            f"the approximate search needs FAISS, which cannot be loaded here ({error}): "
            f"{INSTALL}, or give --search exact."
        ) from error
    return found


@dataclass(frozen=True, kw_only=True)
class Recall:
    """How much of what the exact search finds, the approximate one found too.

    Attributes:
        images: how many were searched for in both ways.
        first: share of them whose nearest training image was found, 0 to 1.
        wanted: neighbours of each that were looked for, K.
        all: share of these that were found, 0 to 1.
    """

    images: int
    first: float
    wanted: int
    all: float


def recall(found: Neighbours, exact: Neighbours) -> Recall:
    """Compare what two searches found for the same queries, of which there is at least one.

    An image as near as the nearest is as good as it.
    """
    common = [
        np.isin(near, listed).mean() for near, listed in zip(exact.rows, found.rows, strict=True)
    ]
    return Recall(
        images=len(exact),
        first=float((found.distances[:, 0] <= exact.distances[:, 0]).mean()),
        wanted=exact.rows.shape[1],
        all=float(np.mean(common)),
    )


class Index:
    """Training images and their mirror images, to be searched approximately.

    Takes about 530 bytes a training image, whatever the length of its vectors.

    Args:
        training: what is searched; read twice.
        seed: what the components and regions are found from is drawn from this.

    Raises:
        DatasetError: FAISS is not installed.
    """

    def __init__(self, training: Searched, *, seed: int = 0) -> None:
        faiss = _faiss()
        self._training = training
        forms = 2 * training.count
        regions = max(1, min(_MOST_REGIONS, int(2 * forms**0.5), forms // 39))
        drawn = np.random.default_rng(seed).permutation(training.count)
        some = self._some(np.sort(drawn[:_FOR_COMPONENTS]))
        self._centre = some.mean(dim=0)
        self._components = _components(some - self._centre)
        sample = np.sort(drawn[: regions * _FOR_REGION // 2])
        threads = torch.get_num_threads()
        # FAISS has threads of its own beside torch's. In its many small steps they would wait for
        # each other more than they work; only the search, in a few large ones, is worth them.
        faiss.omp_set_num_threads(1)
        size = self._components.shape[1]
        flat = faiss.index_factory(size, f"IVF{regions},SQfp16")
        flat.cp.min_points_per_centroid = 1  # FAISS warns of less; the recall will tell.
        flat.train(self._some(sample, short=True).numpy())
        for start, both in stretches(training):
            numbers = np.arange(start, start + len(both[0]))
            # Both forms have one name: which of them is near is seen when they are measured.
            for form in both:
                flat.add_with_ids(self._short(form).numpy(), numbers)
        faiss.omp_set_num_threads(threads)
        flat.nprobe = min(regions, max(_LEAST_LOOKED_INTO, -(-regions // _LOOKED_INTO)))
        self._index = flat

    def nearest(self, queries: Vectors, wanted: int, *, own: Rows | None = None) -> Neighbours:
        """Find near training images; arguments and result as of `search.nearest`."""
        others = self._training.count - (own is not None)
        wanted = min(wanted, others)
        if len(queries) == 0 or wanted <= 0:
            return nearest(queries, self._training, wanted, own=own)
        mine = np.full(len(queries), -1, np.int64) if own is None else own
        keep = min(max(_PROPOSED * wanted, wanted + _SPARE), others)
        rows = np.empty((len(queries), keep), np.int64)
        counts = np.empty(len(queries), np.int64)
        # Each image may be found in both forms, and so may the query itself.
        asked = min(2 * (keep + 1), 2 * self._training.count)
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            part = slice(start, start + _QUERIES_AT_ONCE)
            proposed = self._index.search(self._short(queries[part]).numpy(), asked)[1]
            rows[part], counts[part] = _different(proposed, mine[part], keep)
        squares, mirrored = measure(queries, self._training, rows)
        squares[np.arange(keep) >= counts[:, None]] = np.inf
        ordered = first_of(rows, squares, mirrored, wanted)
        found = Neighbours(rows=ordered[0], mirrored=ordered[1], distances=np.sqrt(ordered[2]))
        again = np.flatnonzero(counts < wanted)
        if len(again):
            # The regions looked into held too few.
            theirs = None if own is None else own[again]
            exact = nearest(queries[again], self._training, wanted, own=theirs)
            found.rows[again], found.mirrored[again] = exact.rows, exact.mirrored
            found.distances[again] = exact.distances
        return found

    def _some(self, numbers: Rows, *, short: bool = False) -> Tensor:
        """Give the vectors of some images and, in the same order, of their mirror images."""
        found: tuple[list[Tensor], list[Tensor]] = ([], [])
        for start, both in stretches(self._training):
            first, last = np.searchsorted(numbers, [start, start + len(both[0])])
            if first == last:
                continue
            for kept, form in zip(found, both, strict=True):
                chosen = form[numbers[first:last] - start]
                kept.append(self._short(chosen) if short else torch.from_numpy(chosen))
        return torch.cat([*found[0], *found[1]])

    def _short(self, vectors: Vectors) -> Tensor:
        """Give the components of vectors, float32 [n, components]."""
        return (torch.from_numpy(vectors) - self._centre) @ self._components


def _components(vectors: Tensor) -> Tensor:
    """Give about the principal components of centred vectors [n, D], as columns [D, ≤ 128]."""
    # By subspace iteration from some of the vectors: a full decomposition would take minutes.
    found = vectors[:_COMPONENTS].T
    for _ in range(_ROUNDS):
        found = torch.linalg.qr(vectors.T @ (vectors @ found))[0]
    return found.contiguous()


def _different(proposed: Rows, own: Rows, keep: int) -> tuple[Rows, Rows]:
    """Take the first different rows of what was proposed for each query.

    Args:
        proposed: [Q, P], the nearest first; -1 for none.
        own: the row of each query that does not count, or -1; [Q].
        keep: how many to take at most.

    Returns:
        Rows [Q, keep], and how many of them were proposed [Q]; the rest are 0.
    """
    rows = np.zeros((len(proposed), keep), np.int64)
    counts = np.zeros(len(proposed), np.int64)
    for place, (names, mine) in enumerate(zip(proposed.tolist(), own.tolist(), strict=True)):
        kept = [name for name in dict.fromkeys(names) if name not in (mine, -1)][:keep]
        rows[place, : len(kept)] = kept
        counts[place] = len(kept)
    return rows, counts
