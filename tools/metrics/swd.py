"""Sliced Wasserstein distance of image patches at each scale (paper section 5).

Images become a Laplacian pyramid of bands from their own size down to 16 pixels. In each band, the
patches of all real images and those of all fakes are two clouds of points, and their distance is
the mean over random directions of how far the clouds lie apart when projected onto one: the mean
difference of the projections in sorted order. The band of 16 pixels shows whether the large forms
are right, the finest ones whether edges and noise are.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError
from datasets.workers import available_processors
from tools.metrics import draws, inputs, laplacian
from tools.metrics.descriptors import Descriptors, Gatherer, Side
from tools.metrics.draws import Purpose
from tools.metrics.estimate import Estimate, error_of_mean

if TYPE_CHECKING:
    from tools.metrics.inputs import Array

DIRECTIONS = 4 * 128
"""Random directions a level. The paper's 4 repeats of 128 have the same mean as one of 512."""

# Groups of images whose scatter tells the uncertainty, and images that each should have: with very
# few, a group's distance says more about single images than about the scatter.
_GROUPS = 16
_IMAGES_A_GROUP = 4
# Distances are given in thousandths.
_SCALE = 1000.0
# Projections of one side that are sorted at once: a table of 512 MiB at most.
_MOST_PROJECTIONS = 2**27
# Patches that are projected at once.
_PATCHES_AT_ONCE = 2**15


def swd(reals: "Array", fakes: "Array", *, seed: int = 0) -> dict[str, float]:
    """Measure the sliced Wasserstein distance of two sets of images.

    The number of images matters: two samples of one distribution have a distance that falls as
    1/√N. So both sides count equally many, the first min(16,384, N) of each with the smaller N.

    Args:
        reals: uint8 [N, C, S, S], 0 … 255; 1 or 3 channels, S a power of two of at least 16.
        fakes: the same of generated images; their number may differ.
        seed: of patches and directions, 0 to 2**64 - 1.

    Returns:
        The distance ×1000 by level, named by its side in pixels ("128", "64" … "16"), and their
        "mean"; 0 is best. Even equal sets do not quite reach it, for each has its own patches.

    Raises:
        DatasetError: sizes differ or cannot be divided into levels, or a side has no image.
    """
    with SlicedWasserstein(seed=seed) as distance:
        distance.add_reals(reals)
        distance.add_fakes(fakes)
        return distance.values()


class SlicedWasserstein:
    """The same from images that come in parts, in bounded memory; see `swd`.

    Results do not depend, to the last bit, on how the images were divided into parts. To be used
    in a `with` block, at the end of which patches and temporary files are gone.
    """

    def __init__(self, *, seed: int = 0, memory: int = 2**30) -> None:
        """Start without images.

        Args:
            seed: of patches and directions, 0 to 2**64 - 1.
            memory: bytes of patches to keep in memory; more go to temporary files, 25 kB for each
                image, level and channel. Another GiB is used at the end, for sorting.

        Raises:
            DatasetError: the seed is out of range.
        """
        self._seed = draws.checked(seed)
        self._memory = memory
        self._shape: tuple[int, ...] | None = None
        self._gatherers: dict[Side, Gatherer] = {}
        self._pool = ThreadPoolExecutor(available_processors())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything and delete temporary files."""
        self._pool.shutdown(cancel_futures=True)
        for gatherer in self._gatherers.values():
            gatherer.close()
        self._gatherers.clear()

    @property
    def images(self) -> int:
        """How many images count on each side: the first so many of both."""
        if len(self._gatherers) < len(Side):
            return 0
        return min(gatherer.count for gatherer in self._gatherers.values())

    def add_reals(self, images: "Array") -> None:
        """Take up real images, uint8 [n, C, S, S]; errors as of `swd`."""
        self._add(Side.REALS, images)

    def add_fakes(self, images: "Array") -> None:
        """Take up generated images, uint8 [n, C, S, S]; errors as of `swd`."""
        self._add(Side.FAKES, images)

    def values(self) -> dict[str, float]:
        """Give the distances alone, as `swd` does."""
        values = {}
        for resolution, reals, fakes in self._levels():
            along = directions(self._seed, resolution, reals.patches().shape[1])
            found = distances(reals, fakes, along, self._pool)
            values[str(resolution)] = _SCALE * float(found.mean())
        return values | {"mean": float(np.mean(list(values.values())))}

    def result(self) -> dict[str, Estimate]:
        """Give the distances and how uncertain they are.

        The uncertainty is one standard error, for other images of the same kind and another seed.
        It is estimated from groups: the images are dealt into 16 at random (fewer if there are
        not 64 images), and each group's reals are compared with its fakes as if there were no
        others, along directions of its own. The distance between samples scatters as 1/√N, whether
        their distributions are equal or not; so the groups' standard deviation divided by √16 is
        that of the whole. Each has a sixteenth of the directions, so the same holds for what the
        choice of directions adds.

        Returns:
            Keys as of `swd`. The uncertainties are None if there is one image a side.

        Raises:
            DatasetError: a side has no image.
        """
        levels = {str(level): self._scatter(level, *both) for level, *both in self._levels()}
        levels["mean"] = np.mean(list(levels.values()), axis=0)
        return {
            name: Estimate(value=value, uncertainty=error_of_mean(levels[name]))
            for name, value in self.values().items()
        }

    def _add(self, side: Side, images: "Array") -> None:
        found = inputs.as_images(images, self._shape)
        if self._shape is None:
            self._shape = divisible(found.shape[1:])
        if side not in self._gatherers:
            self._gatherers[side] = Gatherer(
                side,
                self._shape,
                seed=self._seed,
                pool=self._pool,
                memory=self._memory // len(Side),
            )
        self._gatherers[side].add(found)

    def _levels(self) -> Iterator[tuple[int, Descriptors, Descriptors]]:
        """Give the sides of the levels in pixels, with what was gathered there.

        One after another: of each, what lies on disk is mapped only while it is looked at.
        """
        reals, fakes = (self._gatherers.get(side) for side in Side)
        there, made = (0 if side is None else side.count for side in (reals, fakes))
        inputs.at_least(1, there, made, "Measuring swd")
        assert self._shape is not None and reals and fakes  # There are images.
        first = slice(self.images)
        for resolution in laplacian.sides(self._shape[-1]):
            yield resolution, reals.level(resolution).of(first), fakes.level(resolution).of(first)

    def _scatter(
        self, resolution: int, reals: Descriptors, fakes: Descriptors
    ) -> NDArray[np.float64]:
        """Measure groups of images apart from one another, float64 [groups]."""
        count = min(_GROUPS, self.images, max(2, self.images // _IMAGES_A_GROUP))
        along = directions(self._seed, resolution, reals.patches().shape[1])
        shuffled = (
            draws.order(self._seed, Purpose.GROUPS, self.images, place=(side, 0)) for side in Side
        )
        groups = zip(*(np.array_split(order, count) for order in shuffled), strict=True)
        means = [
            distances(reals.of(mine), fakes.of(yours), along[group::count], self._pool).mean()
            for group, (mine, yours) in enumerate(groups)
        ]
        return _SCALE * np.array(means)


def directions(seed: int, resolution: int, length: int) -> NDArray[np.float32]:
    """Draw unit vectors, uniform on the sphere: float32 [DIRECTIONS, length]."""
    drawn = draws.normal(seed, Purpose.DIRECTIONS, (DIRECTIONS, length), place=(resolution, 0))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn.astype(np.float32)


def distances(
    reals: Descriptors, fakes: Descriptors, along: NDArray[np.float32], pool: ThreadPoolExecutor
) -> NDArray[np.float64]:
    """Measure how far two clouds of patches lie apart along each of some directions.

    Either cloud is normalized first: each channel, over all patches and pixels, to mean 0 and
    standard deviation 1. (A channel that is the same everywhere becomes 0.)

    Args:
        reals: of N images.
        fakes: of as many.
        along: unit vectors, float32 [M, C·PATCH·PATCH].
        pool: threads for sorting; products use those of NumPy.

    Returns:
        Wasserstein-1 distances of the projected clouds, float64 [M].
    """
    clouds = (reals.patches(), *_folded(reals, along)), (fakes.patches(), *_folded(fakes, along))
    at_once = max(1, min(len(along), _MOST_PROJECTIONS // len(reals.patches())))
    tables = [np.empty((at_once, len(patches)), np.float32) for patches, _, _ in clouds]
    found: list[float] = []
    for start in range(0, len(along), at_once):
        some = slice(start, start + at_once)
        for (patches, weights, _), table in zip(clouds, tables, strict=True):
            project(patches, weights[some], table)
        shifts = clouds[0][2][some] - clouds[1][2][some]
        found += pool.map(transport, *tables, shifts)
    return np.array(found)


def project(
    patches: NDArray[np.float32], weights: NDArray[np.float32], table: NDArray[np.float32]
) -> None:
    """Write the products of weights [m, D] and patches [P, D] into the first m rows of a table."""
    for start in range(0, len(patches), _PATCHES_AT_ONCE):
        some = slice(start, start + _PATCHES_AT_ONCE)
        np.matmul(weights, patches[some].T, out=table[: len(weights), some])


def transport(first: NDArray[np.float32], second: NDArray[np.float32], shift: np.float64) -> float:
    """Give the mean of |first - second - shift| in sorted order; both [P] are overwritten."""
    first.sort()
    second.sort()
    first -= second
    first -= np.float32(shift)
    np.abs(first, out=first)
    return float(first.mean(dtype=np.float64))


def _folded(
    cloud: Descriptors, along: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Fold the normalization of a cloud into directions, so that its patches stay as they are.

    Returns:
        weights float32 [M, D] and shifts float64 [M]: (patch · weights) - shift is the projection
        of the normalized patch.
    """
    mean, deviation = cloud.statistics()
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    by_channel = along.reshape(len(along), len(mean), -1) * scale[:, None]
    weights = by_channel.reshape(along.shape).astype(np.float32)
    # Of the weights as they are used, so that their rounding does not move the cloud.
    shifts = weights.reshape(by_channel.shape).sum(axis=2, dtype=np.float64) @ mean
    return weights, shifts


def has_levels(resolution: int) -> bool:
    """Check whether squares of so many pixels a side can be divided into levels."""
    return resolution >= laplacian.COARSEST and not resolution & (resolution - 1)


def divisible(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Insist on a shape [C, S, S] that can be divided into levels, and give it back."""
    _, height, width = shape
    if height != width or not has_levels(width):
        raise DatasetError(
            f"Images of {width}×{height} pixels cannot be divided into levels: swd needs squares "
            f"with a power of two as their side, and at least {laplacian.COARSEST} pixels."
        )
    return shape
