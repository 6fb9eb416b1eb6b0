"""What new photographs look like to the search: the yardstick for generated images.

Two kinds of photographs can tell. Those held out of training were never seen: their distances to
the training photographs are those of new images. And each training photograph, left out in turn,
is new to the others. The first kind is the better one, for it needs no assumption about how the
training photographs were chosen; but a rate of one per cent cannot be told from forty of them. So
where they are few, both kinds are taken together.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError
from datasets.pyramid import Dataset
from tools.memorization.finding import Finder, Found, Photographs
from tools.memorization.statistics import (
    Usual,
    allowed,
    data_copying,
    p_values,
    usual,
)

Numbers = NDArray[np.float64]
Kind = Literal["held-out", "held-out and leave-one-out", "leave-one-out"]

# Training photographs that are each left out in turn.
_MOST_LEFT_OUT = 10_000
# Held-out photographs are enough by themselves if at least so many of them may be flagged.
_ENOUGH_FLAGGED = 5
_READ_AT_ONCE = 512


def compared(dataset: Dataset) -> int:
    """Say how many of a dataset's photographs a yardstick compares with its training ones."""
    left_out = min(len(dataset.rows("train")), _MOST_LEFT_OUT)
    return left_out + len(dataset.rows("held-out"))


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """Two photographs of a dataset that are one.

    Attributes:
        row: of the first, in the dataset.
        other: of the second; rows of training photographs stand first.
        kind: "same file", "same pixels" (or mirrored ones), or "near".
        held_out: whether the second was held out of training.
        mirrored: whether one shows the other mirrored.
    """

    row: int
    other: int
    kind: Literal["same file", "same pixels", "near"]
    held_out: bool
    mirrored: bool


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Photographs whose distances are known.

    Attributes:
        numbers: which they are among the training or the held-out photographs, [n].
        rows: rows of the dataset, [n].
        found: by the name of the space.
        single: whether they have no duplicate, bool [n].
    """

    numbers: NDArray[np.int64]
    rows: NDArray[np.int64]
    found: dict[str, Found]
    single: NDArray[np.bool_]

    def distances(self, space: str) -> Numbers:
        """Give the distances of those without duplicates."""
        return self.found[space].distances[self.single]

    def cells(self, space: str) -> NDArray[np.int64]:
        """Give the regions of those without duplicates."""
        return self.found[space].cells[self.single]


class Yardstick:
    """Distances of photographs, and what follows from them for others.

    Args:
        finder: of a dataset's training photographs.
        false_alarm: share of new images that may be flagged, 0 to 1.
        seed: what the photographs to be left out are drawn from, if there are very many.
        most: how many are left out at most, each in turn.
        with_held_out: whether photographs held out of training count; False to judge these
            themselves.
        advance: told how many photographs are done, after each part.

    Attributes:
        held_out: the photographs held out of training.
        left_out: training photographs, each of them compared with all the others.
        usual: by space, how far new images usually are.
        duplicates: those found; complete if every training photograph was left out once.
        kind: what the calibration is made of.
        places: of the calibration's n + 1 places, how many are flagged in each space.
        rate: share of new images that is flagged: in any space, at most.

    Raises:
        DatasetError: there are no two photographs to compare.
    """

    def __init__(
        self,
        finder: Finder,
        *,
        false_alarm: float = 0.01,
        seed: int = 0,
        most: int = _MOST_LEFT_OUT,
        with_held_out: bool = True,
        advance: Callable[[int], object] = lambda photographs: None,
    ) -> None:
        self.finder = finder
        self.spaces = [space.name for space in finder.spaces]
        training = finder.training
        dataset = training.dataset
        rows = dataset.rows("held-out")
        held = Photographs(dataset, rows if with_held_out else rows[:0], training.side)
        if len(training) < 2:
            raise DatasetError(
                f"{dataset.path} has {len(training)} training photograph: there is nothing to "
                "measure nearness by."
            )
        numbers = np.random.default_rng(seed).permutation(len(training))[:most]
        numbers.sort()
        self.left_out = self._sample(training, numbers, own=numbers, advance=advance)
        self.held_out = self._sample(held, np.arange(len(held)), own=None, advance=advance)
        self.usual = {name: usual(self.left_out.found[name].distances) for name in self.spaces}
        self._places = np.full(len(training), -1)
        self._places[numbers] = np.arange(len(numbers))
        self.duplicates = self._find_duplicates(dataset)
        self._pictures = self._name_pictures()
        doubled = {row for pair in self.duplicates for row in (pair.row, pair.other)}
        for sample in (self.left_out, self.held_out):
            sample.single[:] = [row not in doubled for row in sample.rows.tolist()]
        self._decide(false_alarm)

    def _sample(
        self,
        photographs: Photographs,
        numbers: NDArray[np.int64],
        *,
        own: NDArray[np.int64] | None,
        advance: Callable[[int], object],
    ) -> Sample:
        def parts() -> Iterator[NDArray[np.uint8]]:
            for start in range(0, len(numbers), _READ_AT_ONCE):
                which = numbers[start : start + _READ_AT_ONCE]
                yield photographs.read(which, photographs.side)

        return Sample(
            numbers=numbers,
            rows=photographs.rows[numbers],
            found=self.finder.find(parts(), own=own, advance=advance),
            single=np.ones(len(numbers), np.bool_),
        )

    def _find_duplicates(self, dataset: Dataset) -> list[Duplicate]:
        pairs: dict[tuple[int, int], Duplicate] = {}
        held = set(self.held_out.rows.tolist())
        for row, entry in enumerate(dataset.entries):
            if entry.duplicate_of is not None:
                first, second = sorted((row, entry.duplicate_of), key=lambda r: (r in held, r))
                pairs[first, second] = Duplicate(
                    row=first, other=second, kind="same file",
                    held_out=second in held, mirrored=False,
                )  # fmt: skip
        rows = self.finder.training.rows
        for sample in (self.left_out, self.held_out):
            for name in self.spaces:
                near = sample.found[name]
                for place in np.flatnonzero(near.distances <= self.usual[name].near):
                    row, other = int(rows[near.nearest[place]]), int(sample.rows[place])
                    if sample is self.left_out:
                        row, other = min(row, other), max(row, other)
                    mirrored = bool(near.neighbours.mirrored[place, 0])
                    if (row, other) not in pairs:
                        pairs[row, other] = Duplicate(
                            row=row, other=other, kind=_kind(dataset, row, other, mirrored),
                            held_out=other in held, mirrored=mirrored,
                        )  # fmt: skip
        return [pairs[key] for key in sorted(pairs)]

    def _name_pictures(self) -> NDArray[np.int64]:
        """Number the pictures that training photographs show: duplicates show the same one."""
        rows = self.finder.training.rows.tolist()
        first = {row: row for row in rows}

        def root(row: int) -> int:
            while first[row] != row:
                first[row] = row = first[first[row]]
            return row

        for pair in self.duplicates:
            if pair.row in first and pair.other in first:
                first[root(pair.other)] = root(pair.row)
        return np.array([root(row) for row in rows], np.int64)

    def _decide(self, false_alarm: float) -> None:
        """Choose the calibration, and the places in it that are flagged."""
        # Each space gets its part of the rate (Bonferroni), so that it holds for all together.
        share = false_alarm / len(self.spaces)
        held, left = int(self.held_out.single.sum()), int(self.left_out.single.sum())
        if allowed(held, share) >= _ENOUGH_FLAGGED:
            self.kind: Kind = "held-out"
            self.count, least = held, 1
        else:
            self.kind = "held-out and leave-one-out" if held else "leave-one-out"
            # The image's own neighbour counts too, so that no p-value is below two places.
            self.count, least = held + left, 2
        self.places = max(least, allowed(self.count, share))
        self.rate = min(1.0, self.places * len(self.spaces) / (self.count + 1))

    @property
    def independent(self) -> bool:
        """Whether the calibration's distances are independent of each other.

        Two training photographs that are each other's nearest have one distance.
        """
        return self.kind == "held-out"

    def calibration(self, space: str) -> tuple[Numbers, NDArray[np.int64]]:
        """Give the distances of the calibration in a space, and their regions."""
        parts = [self.held_out] if self.independent else [self.held_out, self.left_out]
        return (
            np.concatenate([part.distances(space) for part in parts]),
            np.concatenate([part.cells(space) for part in parts]),
        )

    def disagreement(self, space: str) -> float | None:
        """Give the z-score of held-out distances being larger than left-out ones.

        About standard normal if both are photographs of one kind; None for too few of them.
        """
        held, left = self.held_out.distances(space), self.left_out.distances(space)
        test = data_copying(held, left)
        return None if test is None else test.z

    def spacing(self, space: str, found: Found, *, own: NDArray[np.int64] | None = None) -> Numbers:
        """Return the distance of each image's nearest training photograph to its own nearest, [N].

        Args:
            space: name of the space.
            found: the images' neighbours in it.
            own: for each image, the training photograph that it is and that does not count, [N].

        Returns:
            [N]; NaN where it is not known.
        """
        places = self._places[found.nearest]
        near = self.left_out.found[space].neighbours
        distances = near.distances[places]
        # Duplicates are no kin: beside them, every copy would seem authentic.
        far = distances > self.usual[space].near
        if own is not None:
            far &= near.rows[places] != own[:, None]
        first = np.where(far.any(axis=1), far.argmax(axis=1), distances.shape[1] - 1)
        spacings = np.take_along_axis(distances, first[:, None], 1)[:, 0]
        return np.where(places >= 0, spacings, np.nan)

    def leads(self, space: str, found: Found) -> Numbers:
        """Return each image's distance to its nearest photograph, in parts of that to the next.

        The next is the first of its neighbours that is no duplicate of the nearest.

        Returns:
            [N], 0 to 1: 1 where both are equally near; NaN where all neighbours are duplicates.
        """
        distances, pictures = found.neighbours.distances, self._pictures[found.neighbours.rows]
        others = pictures != pictures[:, :1]
        second = np.take_along_axis(distances, others.argmax(axis=1)[:, None], 1)[:, 0]
        known = others.any(axis=1) & (second > 0)
        leads = np.full(len(second), np.nan)
        leads[known] = distances[known, 0] / second[known]
        return leads

    def p_values(self, space: str, found: Found) -> Numbers:
        """Give the chance that a new image is as near as each of these, [N].

        Where training photographs are left out in turn, this is full conformal prediction: the
        image is counted among them, and to its own nearest one it is the nearest other. So a copy
        makes one of the calibration's distances as small as its own.
        """
        distances, _ = self.calibration(space)
        if self.independent:
            return p_values(found.distances, distances)
        more = ~(self.spacing(space, found) <= found.distances)
        return p_values(found.distances, distances, more)


def _kind(dataset: Dataset, row: int, other: int, mirrored: bool) -> Literal["same pixels", "near"]:
    pixels = dataset.level(dataset.levels[-1])
    first = pixels[row][:, ::-1] if mirrored else pixels[row]
    return "same pixels" if np.array_equal(first, pixels[other]) else "near"


__all__ = ["Duplicate", "Sample", "Usual", "Yardstick", "compared"]
