"""Endless shuffled minibatches, any position of which is reachable at once."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError
from datasets.levels import read_into
from datasets.pyramid import Dataset

Pixels = NDArray[np.uint8]
# Level, position and number of pictures of a minibatch, and the rows of it that are wanted.
_Place = tuple[int, int, int, tuple[int, ...] | None]


def permutation(count: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Shuffle the numbers 0 … count - 1.

    The order is a function of the arguments alone, and stays so with every version of NumPy: it
    uses the bits of Philox, which are fixed by its definition, and not a NumPy shuffle, which is
    not.

    Args:
        count: how many numbers, 0 or more.
        seed: 0 to 2**64 - 1.
        epoch: 0 to 2**64 - 1; each gives an order that is independent of the others.
    """
    bits = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64))
    return np.argsort(bits.random_raw(count), kind="stable")


class Stream:
    """The training pictures of a dataset, in a new order every epoch, for ever.

    Position p is the p-th picture shown since the start of training. What stands there depends on
    the dataset, the seed and p, not on what was read before; so a run may continue anywhere. Who
    goes on from minibatch to minibatch finds the next one read already, in threads.

    Attributes:
        resolution: side of the largest level in pixels.
        channels: 3 (colour) or 1 (grey).
        classes: class names in the order of their numbers, or None.
        fingerprint: the dataset's.
        count: number of training pictures, the length of an epoch.
        labels: class numbers of all training pictures, int64 [count], or None.
    """

    def __init__(self, dataset: Dataset, *, seed: int) -> None:
        """Start a stream.

        Args:
            dataset: where the pictures come from; held-out ones never do.
            seed: 0 to 2**64 - 1.

        Raises:
            DatasetError: the dataset has no training pictures, or the seed is out of range.
        """
        if not 0 <= seed < 2**64:
            raise DatasetError(f"The seed {seed} does not lie from 0 to 2**64 - 1.")
        self._dataset = dataset
        self._seed = seed
        self._rows = dataset.rows("train")
        self._levels = {level: dataset.level(level) for level in dataset.levels}
        # Reading ahead: what would come next, and what is being read because it will.
        self._lock = threading.Lock()
        self._next: tuple[int, int] | None = None
        self._ahead: tuple[_Place, Future[Pixels]] | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="reading-ahead")
        # Orders of the last two epochs asked for: a minibatch may reach into the next one. A tuple
        # that is replaced as a whole, so that threads that read ahead need no lock.
        self._orders: tuple[tuple[int, NDArray[np.int64]], ...] = ()
        self.resolution = dataset.resolution
        self.channels = dataset.channels
        self.classes = dataset.classes
        self.fingerprint = dataset.fingerprint
        self.count = len(self._rows)
        self.labels = None if dataset.labels is None else dataset.labels[self._rows]

    def minibatch(
        self, level: int, position: int, count: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
        """Read the pictures at `position` … `position + count - 1`.

        Args:
            level: gives pictures of 2**level pixels.
            position: training pictures shown before, 0 or more.
            count: pictures to read, at least 1; may exceed an epoch.

        Returns:
            Pictures, uint8 [count, H, W, C], and their class numbers, int64 [count], or None for
            a dataset without classes. Both are new arrays.
        """
        return self._taken((level, position, count, None))

    def rows_of_minibatch(
        self, level: int, position: int, count: int, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
        """Read some of the pictures of `minibatch`.

        Args:
            level: as of `minibatch`, like the next two.
            position: of the minibatch's first picture.
            count: pictures of the minibatch.
            rows: the numbers, 0 … count - 1, of those that are wanted, int64 [n].

        Returns:
            As `minibatch`, [n, H, W, C] and [n], in the order of `rows`.
        """
        return self._taken((level, position, count, tuple(rows.tolist())))

    def _taken(self, place: _Place) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
        """Read a place's pictures, or take them where they were read ahead."""
        level, position, count, wanted = place
        after = (level, position + count, count, wanted)
        rows = self._rows_of(place)
        with self._lock:
            ahead, self._ahead = self._ahead, None
            goes_on, self._next = self._next == place[:2], after[:2]
        if ahead is not None and ahead[0] == place:
            pictures = ahead[1].result()
        else:
            if ahead is not None:
                ahead[1].cancel()
            pictures = self._read(level, rows)
        # While the caller works with this one: the next, if it seems that it will be wanted.
        if goes_on:
            reading = self._reader.submit(self._read_place, after)
            with self._lock:
                self._ahead = after, reading
        labels = self._dataset.labels
        return pictures, None if labels is None else labels[rows]

    def _read_place(self, place: _Place) -> Pixels:
        return self._read(place[0], self._rows_of(place))

    def _rows_of(self, place: _Place) -> NDArray[np.int64]:
        """List the dataset's rows of a place."""
        _, position, count, wanted = place
        rows = self._rows[self._places(position, count)]
        return rows if wanted is None else rows[list(wanted)]

    def _read(self, level: int, rows: NDArray[np.int64]) -> Pixels:
        pixels = self._levels[level]
        pictures = np.empty((len(rows), *pixels.shape[1:]), np.uint8)
        read_into(pictures, pixels, rows)
        return pictures

    def _places(self, position: int, count: int) -> NDArray[np.int64]:
        if position < 0 or count < 1:
            raise ValueError(f"no minibatch of {count} pictures at position {position}")
        places = []
        while count > 0:
            epoch, offset = divmod(position, self.count)
            piece = self._order(epoch)[offset : offset + count]
            places.append(piece)
            position, count = position + len(piece), count - len(piece)
        return np.concatenate(places)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        for known, order in self._orders:
            if known == epoch:
                return order
        order = permutation(self.count, seed=self._seed, epoch=epoch)
        self._orders = ((epoch, order), *self._orders[:1])
        return order
