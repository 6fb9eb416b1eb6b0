"""How far generated images lie among the real ones, and the other way round.

A set of images stands for a region of feature space: the union of balls around each of them that
reach to its k-th nearest neighbour in the set. Precision is the share of fakes in the region of the
reals, recall the share of reals in that of the fakes (Kynkäänniemi et al. 2019). Density counts in
how many balls of reals a fake lies, and coverage is the share of these balls with a fake in them
(Naeem et al. 2020): neither is misled by a few outliers with large balls.
"""

import math
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tools.metrics import inputs
from tools.metrics.estimate import Estimate

if TYPE_CHECKING:
    from tools.metrics.inputs import Array

NEIGHBOURS = {"precision": 3, "recall": 3, "density": 5, "coverage": 5}
"""The metrics, and which neighbour a ball reaches to, as their authors recommend."""

# Whose balls they look at.
_BALLS = {"precision": "reals", "recall": "fakes", "density": "reals", "coverage": "reals"}
# Vectors of each side that are compared at once: tables of 128 MiB.
_AT_ONCE = 4096


def manifold(
    reals: "Array", fakes: "Array", *, names: Collection[str] = tuple(NEIGHBOURS)
) -> dict[str, Estimate]:
    """Measure precision, recall, density and coverage, exactly and in bounded memory.

    Balls are closed: what lies on the surface lies within. So copies of images are found within
    even where neighbours are copies too and balls have no size.

    Args:
        reals: features, real numbers [N, D].
        fakes: features [M, D].
        names: which to measure, of `NEIGHBOURS`; at least one.

    Returns:
        The metrics by name: from 0 to 1, and density from 0 with a mean of about 1 between equal
        distributions. Uncertainties are one standard error for other images of the same kind on
        both sides: from the scatter between those that are counted, and between the others of how
        many hang on each. (Balls are held fast meanwhile, which makes it rather too large.)

    Raises:
        DatasetError: a side has no more images than k, or features differ in length.
    """
    first = inputs.as_features(reals)
    second = inputs.as_features(fakes, first.shape[1])
    most = max(NEIGHBOURS[name] for name in names)
    # On both sides, though only one has balls: a share of so few would tell nothing.
    inputs.at_least(most + 1, len(first), len(second), f"Measuring {', '.join(names)}")
    sets = {"reals": _Vectors(first), "fakes": _Vectors(second)}
    squares = {side: _nearest(sets[side], most) for side in {_BALLS[name] for name in names}}
    regions: dict[tuple[str, int], _Region] = {}
    for name in names:
        side, k = _BALLS[name], NEIGHBOURS[name]
        points = sets["fakes" if side == "reals" else "reals"]
        regions[side, k] = _Region(squares[side][:, k - 1], len(points))
    for rows, columns, between in _tiles(sets["reals"], sets["fakes"], lenient=True):
        for (side, _), region in regions.items():
            if side == "reals":
                region.take(rows, columns, between)
            else:
                region.take(columns, rows, between.T)
    return {name: _estimate(name, regions[_BALLS[name], NEIGHBOURS[name]]) for name in names}


class _Vectors:
    """Vectors [N, D] with their squared lengths, float64 [N]."""

    def __init__(self, features: NDArray[np.float32]) -> None:
        self.features = features
        self.squares = np.concatenate([np.square(rows).sum(axis=1) for _, rows in self.parts()])

    def __len__(self) -> int:
        return len(self.features)

    def parts(self) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Give the vectors in float64, some at a time."""
        for start in range(0, len(self), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            yield some, self.features[some].astype(np.float64)


class _Region:
    """The balls around one set of images, and which points of the other set lie in them.

    The table of balls and points comes in tiles, each once; only its margins are kept.
    """

    def __init__(self, squared_radii: NDArray[np.float64], points: int) -> None:
        self.squared_radii = squared_radii
        self.points_in_ball = np.zeros(len(squared_radii), np.int64)
        self.balls_around_point = np.zeros(points, np.int64)
        # One of them; of interest where it is the only one.
        self.point_in_ball = np.zeros(len(squared_radii), np.int64)
        self.ball_around_point = np.zeros(points, np.int64)

    def take(self, balls: slice, points: slice, squares: NDArray[np.float64]) -> None:
        """Count a tile of squared distances, [balls, points]."""
        inside = squares <= self.squared_radii[balls, None]
        for others, counts, one, axis in (
            (points, self.points_in_ball[balls], self.point_in_ball[balls], 1),
            (balls, self.balls_around_point[points], self.ball_around_point[points], 0),
        ):
            here = inside.sum(axis=axis)
            counts += here
            np.copyto(one, others.start + inside.argmax(axis=axis), where=here > 0)


def _estimate(name: str, region: _Region) -> Estimate:
    """Turn what was counted into a metric."""
    balls, points = len(region.points_in_ball), len(region.balls_around_point)
    if name == "density":
        # Each pair of a ball and a point in it adds as much.
        scale = 1 / (NEIGHBOURS[name] * points)
        return Estimate(
            value=float(region.points_in_ball.sum() * scale),
            uncertainty=scale
            * math.hypot(
                math.sqrt(balls) * region.points_in_ball.std(ddof=1),
                math.sqrt(points) * region.balls_around_point.std(ddof=1),
            ),
        )
    if name == "coverage":
        return _share(region.points_in_ball, region.point_in_ball, points)
    return _share(region.balls_around_point, region.ball_around_point, balls)


def _share(counts: NDArray[np.int64], one: NDArray[np.int64], others: int) -> Estimate:
    """Give the share of those that meet at least one of the others.

    Args:
        counts: how many they meet, [N].
        one: the number of one that they meet, [N].
        others: how many others there are.
    """
    count, meeting = len(counts), int(np.count_nonzero(counts))
    # Not quite the share itself (Laplace's rule): all or none of a sample leaves some doubt.
    share = (meeting + 1) / (count + 2)
    lost_without = np.bincount(one[counts == 1], minlength=others)
    return Estimate(
        value=meeting / count,
        uncertainty=math.hypot(
            math.sqrt(share * (1 - share) / count),
            math.sqrt(others) * lost_without.std(ddof=1) / count,
        ),
    )


def _nearest(vectors: _Vectors, k: int) -> NDArray[np.float64]:
    """Give the squared distances from each vector to the k others nearest to it, [N, k], rising."""
    found = np.full((len(vectors), k), np.inf)
    for rows, columns, squares in _tiles(vectors, vectors):
        if rows == columns:
            np.fill_diagonal(squares, np.inf)
        both = np.concatenate([found[rows], squares], axis=1)
        found[rows] = np.partition(both, k - 1, axis=1)[:, :k]
    found.sort(axis=1)
    return found


def _tiles(
    first: _Vectors, second: _Vectors, *, lenient: bool = False
) -> Iterator[tuple[slice, slice, NDArray[np.float64]]]:
    """Give all squared distances of two sets of vectors, tile by tile.

    They are |a|² - 2 a·b + |b|², which rounding can move by D·ε·(|a|² + |b|²), with a distance of 0
    perhaps above one that was equal when it was computed elsewhere. Lenient ones are less by four
    times as much: far less than any difference that features have by themselves.
    """
    factor = 1 - 4 * first.features.shape[1] * np.finfo(float).eps if lenient else 1.0
    for rows, mine in first.parts():
        for columns, yours in second.parts():
            squares: NDArray[np.float64] = mine @ yours.T
            squares *= -2
            squares += factor * first.squares[rows, None]
            squares += factor * second.squares[columns]
            yield rows, columns, squares
