"""The nearest training photographs of any images, in several feature spaces at once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.pyramid import Dataset
from tools.memorization import moves, regions
from tools.memorization.approximate import Index, Recall, recall
from tools.memorization.features import Space, resized
from tools.memorization.search import Both, Neighbours, Vectors, nearest

Pixels = NDArray[np.uint8]
Rows = NDArray[np.int64]

# Vectors of training images are kept, if all of them together take no more bytes than this.
_KEPT = 400 * 2**20
# Vectors of images that are searched for together.
_SEARCHED = 320 * 2**20
# Where moves are tried: so many training images are compared closely.
_SHORT_LIST = 32
_CLOSELY_AT_ONCE = 64
# Images that the regions of a space are found from.
_FOR_REGIONS = 4096


class Photographs:
    """Some rows of a dataset, at any size up to `side`.

    Args:
        dataset: where they are.
        rows: which they are.
        side: height and width at which they are compared with other images, 2**L.
    """

    def __init__(self, dataset: Dataset, rows: Rows, side: int) -> None:
        self.dataset, self.rows, self.side = dataset, rows, side

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, numbers: slice | Rows, side: int) -> Pixels:
        """Give some of them, uint8 [n, side, side, C]."""
        # A dataset's smaller levels are made of its largest. Others are made as those of the
        # images that they are compared with, or copies would differ by how they were rounded.
        level = side if self.side == self.dataset.resolution else self.side
        pixels = self.dataset.level(level.bit_length() - 1)
        return resized(np.asarray(pixels[self.rows[numbers]]), side)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The nearest training photographs of some images, in one space.

    Attributes:
        neighbours: rows are positions among the training photographs.
        cells: in which region of the space each image lies, int64 [N].
    """

    neighbours: Neighbours
    cells: Rows

    @property
    def distances(self) -> NDArray[np.float64]:
        """Distance to the nearest, [N]."""
        return self.neighbours.distances[:, 0]

    @property
    def nearest(self) -> Rows:
        """Which training photograph that is, [N]."""
        return self.neighbours.rows[:, 0]


class Finder:
    """Finds the nearest of some training photographs.

    Args:
        training: the photographs.
        spaces: what near means; no two of one name.
        wanted: neighbours an image.
        cells: regions that each space is divided into.
        seed: what these are drawn from.
        approximate: whether to search through an index, which may miss some.

    Attributes:
        approximate: as given.

    Raises:
        DatasetError: approximate, and FAISS is not installed.
    """

    def __init__(
        self,
        training: Photographs,
        spaces: Sequence[Space],
        *,
        wanted: int,
        cells: int = 1,
        seed: int = 0,
        approximate: bool = False,
    ) -> None:
        self.training, self.spaces, self.wanted = training, spaces, wanted
        self.approximate = approximate
        self._indexes: dict[str, Index] = {}
        self._searched = {}
        self._centres = {}
        kept = 0
        for space in spaces:
            searched = _Searched(training, space, keep=_KEPT - kept)
            kept += searched.kept_bytes
            self._searched[space.name] = searched
            self._centres[space.name] = regions.centres(
                searched.some(_FOR_REGIONS, seed), cells, seed
            )
            if approximate:
                self._indexes[space.name] = Index(searched, seed=seed)

    def find(
        self,
        images: Iterable[Pixels],
        *,
        own: Rows | None = None,
        advance: Callable[[int], object] = lambda images: None,
    ) -> dict[str, Found]:
        """Find the nearest training photographs of images.

        Args:
            images: in parts, uint8 [n, side, side, C] with the side of the training photographs.
            own: for each image, the position of the training photograph that it is and that does
                not count, or -1; [N].
            advance: told how many images are done, after each part.

        Returns:
            By the name of the space.
        """
        stretches: list[dict[str, Found]] = []
        waiting: list[_Described] = []
        done = 0

        def search() -> None:
            nonlocal done
            count = sum(part.count for part in waiting)
            which = None if own is None else own[done : done + count]
            stretches.append({s.name: self._search(s, waiting, which) for s in self.spaces})
            done += count
            advance(count)
            waiting.clear()

        for part in images:
            waiting.append(_Described(part, self.spaces))
            if sum(described.bytes for described in waiting) >= _SEARCHED:
                search()
        if waiting or not stretches:
            search()
        return {s.name: _joined([found[s.name] for found in stretches]) for s in self.spaces}

    def recall(self, images: Pixels) -> dict[str, Recall]:
        """Measure what the index finds of what the exact search finds.

        Args:
            images: to search for in both ways, uint8 [N, side, side, C], N at least 1.

        Returns:
            By the name of the space; nothing where every search is exact.
        """
        described = _Described(images, self.spaces)
        found = {}
        for space in self.spaces:
            if space.name in self._indexes:
                queries, wanted = described.vectors[space.name], self._listed(space)
                listed = self._indexes[space.name].nearest(queries, wanted)
                exact = nearest(queries, self._searched[space.name], wanted)
                found[space.name] = recall(listed, exact)
        return found

    def _listed(self, space: Space) -> int:
        """Say how many neighbours to search for."""
        return max(self.wanted, _SHORT_LIST) if space.moves else self.wanted

    def _search(self, space: Space, waiting: list["_Described"], own: Rows | None) -> Found:
        searched = self._searched[space.name]
        parts = [part.vectors[space.name] for part in waiting]
        queries = np.concatenate(parts) if parts else np.empty((0, searched.length), np.float32)
        wanted = self._listed(space)
        if space.name in self._indexes:
            found = self._indexes[space.name].nearest(queries, wanted, own=own)
        else:
            found = nearest(queries, searched, wanted, own=own)
        if space.moves and len(queries):
            looks = np.concatenate([part.looks[space.name] for part in waiting])
            found = self._closely(space, looks, found)
        return Found(neighbours=found, cells=regions.assign(queries, self._centres[space.name]))

    def _closely(self, space: Space, looks: moves.Luminance, listed: Neighbours) -> Neighbours:
        """Measure a short list again, each image moved in the best way."""
        distances = np.empty(listed.rows.shape)
        for start in range(0, len(looks), _CLOSELY_AT_ONCE):
            part = slice(start, start + _CLOSELY_AT_ONCE)
            near = self.training.read(listed.rows[part].ravel(), space.side)
            flipped = listed.mirrored[part].ravel()
            near[flipped] = near[flipped][:, :, ::-1]
            candidates = moves.luminance(space.crop(near))
            shape = (*listed.rows[part].shape, *candidates.shape[1:])
            distances[part] = moves.distances(looks[part], candidates.reshape(shape))
        order = np.lexsort((listed.rows, distances), axis=1)[:, : self.wanted]
        return Neighbours(
            rows=np.take_along_axis(listed.rows, order, 1),
            mirrored=np.take_along_axis(listed.mirrored, order, 1),
            distances=np.take_along_axis(distances, order, 1),
        )


class _Described:
    """Some images as each space sees them."""

    def __init__(self, images: Pixels, spaces: Sequence[Space]) -> None:
        self.count = len(images)
        self.vectors: dict[str, Vectors] = {}
        self.looks: dict[str, moves.Luminance] = {}
        for space in spaces:
            sized = resized(images, space.side)
            self.vectors[space.name] = space.vectors(sized)
            if space.moves:
                self.looks[space.name] = moves.luminance(space.crop(sized))
        self.bytes = sum(v.nbytes for v in (*self.vectors.values(), *self.looks.values()))


class _Searched:
    """Training photographs as vectors of one space: made when they are read, or kept."""

    def __init__(self, training: Photographs, space: Space, *, keep: int) -> None:
        self._training, self._space = training, space
        self.count = len(training)
        self.length = self._make(slice(0, 1))[0].shape[1]
        size = 2 * 4 * self.length * self.count
        self.kept_bytes = size if size <= keep else 0
        self._kept: dict[tuple[int, int], Both] = {}

    def read(self, start: int, stop: int) -> Both:
        """Give the vectors of a stretch, and of its mirror images."""
        found = self._kept.get((start, stop))
        if found is None:
            found = self._make(slice(start, stop))
            if self.kept_bytes and stop - start > 1:
                self._kept[start, stop] = found
        return found

    def some(self, count: int, seed: int) -> Vectors:
        """Give the vectors of at most so many photographs, chosen by chance."""
        numbers = np.random.default_rng(seed).permutation(self.count)[:count]
        return self._vectors(np.sort(numbers))

    def _make(self, which: slice) -> Both:
        return self._vectors(which), self._vectors(which, mirrored=True)

    def _vectors(self, which: slice | Rows, *, mirrored: bool = False) -> Vectors:
        pixels = self._training.read(which, self._space.side)
        return self._space.vectors(np.ascontiguousarray(pixels[:, :, ::-1]) if mirrored else pixels)


def _joined(parts: list[Found]) -> Found:
    near = [part.neighbours for part in parts]
    return Found(
        neighbours=Neighbours(
            rows=np.concatenate([part.rows for part in near]),
            mirrored=np.concatenate([part.mirrored for part in near]),
            distances=np.concatenate([part.distances for part in near]),
        ),
        cells=np.concatenate([part.cells for part in parts]),
    )
