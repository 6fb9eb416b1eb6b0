"""Kernel distance of features (Bińkowski et al. 2018), which is right on average for any number.

The squared maximum mean discrepancy under the kernel (x·y/D + 1)³, in its unbiased form. With
Inception's features it is KID.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tools.metrics import draws, inputs
from tools.metrics.draws import Purpose
from tools.metrics.estimate import Estimate

if TYPE_CHECKING:
    from tools.metrics.inputs import Array

SUBSETS = 100
"""Random subsets of either side over which the mean is taken."""
MOST_IN_SUBSET = 1000
"""Images of a side in a subset, at most."""


def kid(reals: "Array", fakes: "Array", *, seed: int = 0) -> Estimate:
    """Measure the kernel distance between features of real and of generated images.

    Args:
        reals: features, real numbers [N, D].
        fakes: features [M, D].
        seed: of the subsets, 0 to 2**64 - 1.

    Returns:
        The mean over subsets; 0 is the best that can be expected, and a little less can occur. As
        usual, the uncertainty is the standard deviation over subsets: of the distance between
        `images_in_subset(N, M)` images, that is, and more than that of the mean.

    Raises:
        DatasetError: a side has fewer than 2 images, features differ in length, or the seed is out
            of range.
    """
    first = inputs.as_features(reals)
    second = inputs.as_features(fakes, first.shape[1])
    inputs.at_least(2, len(first), len(second), "The kernel distance")
    size = images_in_subset(len(first), len(second))
    found = np.empty(SUBSETS)
    for subset in range(SUBSETS):
        mine = draws.order(seed, Purpose.SUBSETS, len(first), place=(subset, 0))[:size]
        yours = draws.order(seed, Purpose.SUBSETS, len(second), place=(subset, 1))[:size]
        found[subset] = squared_discrepancy(first[mine], second[yours])
    return Estimate(value=float(found.mean()), uncertainty=float(found.std(ddof=1)))


def images_in_subset(reals: int, fakes: int) -> int:
    """Say how many images of a side make a subset, for so many on each side.

    Of few images, half: subsets of nearly all of them would differ too little to tell anything.
    """
    return max(2, min(MOST_IN_SUBSET, min(reals, fakes) // 2))


def squared_discrepancy(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Estimate the squared maximum mean discrepancy without bias, from [n, D] and [m, D]."""
    mine, yours = first.astype(np.float64), second.astype(np.float64)
    return _alike(mine) + _alike(yours) - 2 * float(_kernel(mine, yours).mean())


def _alike(vectors: NDArray[np.float64]) -> float:
    """Give the mean kernel of two different vectors of one set."""
    kernel = _kernel(vectors, vectors)
    count = len(vectors)
    return float(kernel.sum() - np.trace(kernel)) / (count * (count - 1))


def _kernel(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    products: NDArray[np.float64] = first @ second.T
    products /= first.shape[1]
    products += 1
    return products * products * products
