"""From distances to answers: what may be said of single images, and of all of them.

An image's distance is that to its nearest training image. Photographs that were never trained on
say what a new image's distance looks like; they are the calibration. All p-values rest on nothing
but this: that a new image is as likely to lie at any place among the calibration as another.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
# Fewer than this in a cell say nothing there (Meehan et al. leave such cells out).
_LEAST_IN_CELL = 20
_MOST_CELLS = 10
_NEAR_SPREADS = 5


def p_values(
    distances: Numbers, calibration: Numbers, more: NDArray[np.bool_] | None = None
) -> Numbers:
    """Give the chance that a new image comes as near to the training images as each of these.

    The conformal p-value: (1 + how many calibration distances are no larger) / (1 + how many there
    are). It is exact whatever the distribution (Vovk, Gammerman and Shafer 2005), and never smaller
    than 1 / (1 + n).

    Args:
        distances: [N].
        calibration: distances of new images, [n].
        more: whether one more of the calibration's distances counts as no larger, bool [N].

    Returns:
        [N], in (0, 1].
    """
    below = np.searchsorted(np.sort(calibration), distances, side="right")
    extra = 0 if more is None else more
    return np.asarray(np.minimum(1.0, (1.0 + below + extra) / (1.0 + len(calibration))), np.float64)


def allowed(calibration: int, false_alarm: float) -> int:
    """Count the places of n + 1 that are flagged, so that at most `false_alarm` of new images are.

    A p-value is flagged if it is at most `allowed / (n + 1)`; zero means that there are too few
    calibration images for so small a rate.
    """
    # Not floor alone: 0.01 · 100 is 1 and must not become 0 by a rounding error.
    return math.floor(false_alarm * (calibration + 1) + 1e-9)


def chance_of_flagged(flagged: int, images: int, places: float, calibration: float) -> float:
    """Give the chance that so many or more of new images are flagged.

    The images share one calibration, so their number is not binomial: where the threshold happens
    to lie too high, it does so for all. Under exchangeability it is beta-binomial with parameters
    k and n + 1 - k, exactly, for distances without ties.

    Args:
        flagged: how many were flagged.
        images: of how many.
        places: how many places of the calibration are flagged, k (see `allowed`), above 0.
        calibration: number of calibration distances, n, at least k.
    """
    if flagged <= 0:
        return 1.0
    a, b = places, calibration + 1 - places
    below = (_beta_binomial(count, images, a, b) for count in range(min(flagged, images + 1)))
    return max(0.0, 1.0 - math.fsum(below))


def _beta_binomial(count: int, images: int, a: float, b: float) -> float:
    def log_beta(x: float, y: float) -> float:
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    ways = -math.log(images + 1) - log_beta(images - count + 1, count + 1)
    return math.exp(ways + log_beta(count + a, images - count + b) - log_beta(a, b))


def discoveries(values: Numbers, rate: float = 0.05) -> NDArray[np.bool_]:
    """Choose images of which at most `rate` are expected to be no copies.

    (Benjamini and Hochberg 1995: what remains after allowing for how many images were tested.)

    Args:
        values: p-values, [N].
        rate: false discovery rate.

    Returns:
        bool [N].
    """
    order = np.argsort(values)
    limits = rate * np.arange(1, len(values) + 1) / len(values)
    good = np.flatnonzero(values[order] <= limits)
    chosen = np.zeros(len(values), np.bool_)
    if len(good):
        chosen[order[: good[-1] + 1]] = True
    return chosen


def chance_of_discoveries(values: Numbers) -> float:
    """Compute the chance that new images have p-values as small as these, [N], N above 0.

    (Simes 1986: the smallest rate at which Benjamini and Hochberg would find any. It holds for
    p-values that share one calibration: Bates et al. 2023.)
    """
    ordered = np.sort(values)
    return float(min(1.0, (ordered * len(values) / np.arange(1, len(values) + 1)).min()))


def share_interval(part: int, whole: int, z: float = 1.959964) -> tuple[float, float]:
    """Give the 95 % confidence interval of a share (Wilson 1927)."""
    share, square = part / whole, z * z / whole
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / whole + square / whole / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def mann_whitney(first: Numbers, second: Numbers) -> float:
    """Give the z-score of how often `first` is larger than `second`; ties count half.

    Below zero: `first` is the smaller. Standard normal if both have one distribution.
    """
    m, n = len(first), len(second)
    both = np.concatenate([first, second])
    order = np.argsort(both, kind="stable")
    ranks = np.empty(m + n)
    _, start, counts = np.unique(both[order], return_index=True, return_counts=True)
    ranks[order] = np.repeat(start + (counts + 1) / 2, counts)
    u = ranks[:m].sum() - m * (m + 1) / 2
    ties = float((counts.astype(np.float64) ** 3 - counts).sum())
    variance = m * n / 12 * (m + n + 1 - ties / ((m + n) * (m + n - 1)))
    return 0.0 if variance <= 0 else float((u - m * n / 2) / math.sqrt(variance))


@dataclass(frozen=True, kw_only=True)
class DataCopying:
    """The three-sample test of data-copying.

    Attributes:
        z: C_T; about 0 for new images, far below zero (under -3) for copies, far above for images
            unlike the photographs.
        cells: in how many regions it was made.
        left_out: share of the calibration in regions with too few images to say anything.
        spread: standard deviation of z for new images: 1 for one region, and less for a mean over
            several.
    """

    z: float
    cells: int
    left_out: float
    spread: float


def data_copying(
    generated: Numbers,
    calibration: Numbers,
    generated_cells: NDArray[np.int64] | None = None,
    calibration_cells: NDArray[np.int64] | None = None,
) -> DataCopying | None:
    """Test whether generated images lie nearer to training images than new ones do.

    C_T of Meehan, Chaudhuri and Dasgupta (2020): within each region of feature space, the
    Mann-Whitney z-score of the two sets of distances; then their mean, weighted by how many new
    images lie there.

    Args:
        generated: distances [N].
        calibration: distances of new images [n].
        generated_cells: region of each generated image [N]; None for one region.
        calibration_cells: region of each new image [n].

    Returns:
        The test; None where there are too few images for any region.
    """
    if generated_cells is None or calibration_cells is None:
        generated_cells = np.zeros(len(generated), np.int64)
        calibration_cells = np.zeros(len(calibration), np.int64)
    scores, weights = [], []
    for cell in np.unique(calibration_cells):
        ours, theirs = generated[generated_cells == cell], calibration[calibration_cells == cell]
        if min(len(ours), len(theirs)) >= _LEAST_IN_CELL:
            scores.append(mann_whitney(ours, theirs))
            weights.append(len(theirs))
    if not scores:
        return None
    return DataCopying(
        z=float(np.average(scores, weights=weights)),
        cells=len(scores),
        left_out=1 - sum(weights) / len(calibration),
        spread=math.sqrt(sum(weight**2 for weight in weights)) / sum(weights),
    )


def cells_for(images: int) -> int:
    """Say into how many regions to divide the space, so that each has enough of so many images."""
    return max(1, min(_MOST_CELLS, images // (2 * _LEAST_IN_CELL)))


def authentic(distances: Numbers, spacing: Numbers) -> float | None:
    """Give the share of images that are no nearer to a training image than that one's own kin.

    Authenticity of Alaa et al. (2022): an image is called a copy if it lies nearer to its nearest
    training image than any other training image does. New images have a share far below 1 as well,
    so it says something only beside theirs.

    Args:
        distances: to the nearest training image, [N].
        spacing: that one's distance to the nearest other one, [N]; NaN where it is not known.

    Returns:
        The share of those of which it is known; None if there are none.
    """
    known = ~np.isnan(spacing)
    return float(np.mean(distances[known] > spacing[known])) if known.any() else None


def different(nearest: NDArray[np.int64], images: int) -> float:
    """Give how many different training images are nearest to some image, of so many images.

    The mean over all ways to choose `images` of them (rarefaction: Hurlbert 1971).

    Args:
        nearest: nearest training image of each image, [N].
        images: at most N.
    """
    total = len(nearest)
    _, counts = np.unique(nearest, return_counts=True)

    def log_ways(n: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(images + 1) - math.lgamma(n - images + 1)

    missed = sum(
        math.exp(log_ways(total - int(count)) - log_ways(total))
        for count in counts
        if total - count >= images
    )
    return len(counts) - missed


def coincidence(nearest: NDArray[np.int64]) -> float:
    """Compute the chance that two different images have the same nearest photograph.

    Its mean does not depend on how many images there are (Simpson 1949).

    Args:
        nearest: nearest training photograph of each image, [N].

    Returns:
        The chance, 0 to 1; 0 for fewer than two images.
    """
    _, counts = np.unique(nearest, return_counts=True)
    pairs = len(nearest) * (len(nearest) - 1)
    return float((counts * (counts - 1)).sum() / pairs) if pairs else 0.0


def effective(images: int, alike: float) -> float:
    """Compute as how many independent images so many count (the design effect of Kish 1965).

    Args:
        images: how many there are.
        alike: chance that two of them are one image again, 0 to 1.
    """
    return images / (1 + (images - 1) * max(0.0, alike))


def lower_tail(z: float) -> float:
    """Compute the chance that a standard normal number is at most z."""
    return 0.5 * math.erfc(-z / math.sqrt(2))


@dataclass(frozen=True, kw_only=True)
class Usual:
    """How far from the training images new images usually are.

    Attributes:
        middle: the median distance.
        spread: from the median to the 15.9 % quantile: a standard deviation of the lower half.
        near: the distance up to which an image is a near duplicate: five spreads below the median,
            where of normal distances one in three million would lie; 0 if that is less.
    """

    middle: float
    spread: float
    near: float

    def nearness(self, distances: Numbers) -> Numbers:
        """Give how many spreads below the median distances are."""
        return np.asarray((self.middle - distances) / max(self.spread, 1e-12), np.float64)


def usual(distances: Numbers) -> Usual:
    """Find what is usual from distances [n].

    Of fewer than 20, or where most are equally far, only equal images are near duplicates.

    Quantiles do not mind that some of the images are duplicates, which this is to find.
    """
    middle, low = (float(np.quantile(distances, q)) for q in (0.5, 0.158655))
    enough = len(distances) >= _LEAST_IN_CELL and middle > low
    near = max(0.0, middle - _NEAR_SPREADS * (middle - low)) if enough else 0.0
    return Usual(middle=middle, spread=middle - low, near=near)
