"""Fréchet distance of Gaussians fitted to features (Heusel et al. 2017).

|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½): the squared Wasserstein-2 distance between two normal
distributions with the means and covariances of the features. With Inception's features it is FID.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tools.metrics import inputs
from tools.metrics.estimate import Estimate, error_of_mean

if TYPE_CHECKING:
    from tools.metrics.inputs import Array

# Features that are in float64 at once.
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class Moments:
    """The first two moments of features.

    Attributes:
        mean: float64 [D].
        covariance: float64 [D, D], without bias (divided by N - 1).
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def fid(reals: "Array", fakes: "Array") -> Estimate:
    """Measure the Fréchet distance between features of real and of generated images.

    It is too high for few images, by an amount that falls as 1/N: compare figures of equal N.

    Args:
        reals: features, real numbers [N, D].
        fakes: features [M, D].

    Returns:
        The distance, 0 or more. The uncertainty is one standard error for other images of the
        same kind on both sides, by the delta method: to first order the distance is a mean over
        images of how much each moves it, and the scatter of these amounts is known. Between equal
        distributions the first order vanishes, and the figure is some too large.

    Raises:
        DatasetError: a side has fewer than 2 images, or features differ in length.
    """
    real_features = inputs.as_features(reals)
    fake_features = inputs.as_features(fakes, real_features.shape[1])
    inputs.at_least(2, len(real_features), len(fake_features), "The Fréchet distance")
    first, second = moments(real_features), moments(fake_features)
    first_root, second_root = _root(first.covariance), _root(second.covariance)
    trace, onto_first = _meet(first_root, second.covariance)
    _, onto_second = _meet(second_root, first.covariance)
    offset = first.mean - second.mean
    first_error = error_of_mean(_pulls(real_features, first.mean, offset, onto_second))
    second_error = error_of_mean(_pulls(fake_features, second.mean, -offset, onto_first))
    return Estimate(
        value=_distance(first, second, trace),
        uncertainty=math.hypot(first_error or 0, second_error or 0),
    )


def frechet_distance(first: Moments, second: Moments) -> float:
    """Measure the distance of two normal distributions with these moments, 0 or more."""
    trace, _ = _meet(_root(first.covariance), second.covariance)
    return _distance(first, second, trace)


def moments(features: NDArray[np.float32]) -> Moments:
    """Take the moments of features [N, D], N >= 2, in float64 but a part of them at a time."""
    mean = features.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((len(mean), len(mean)))
    for start in range(0, len(features), _ROWS_AT_ONCE):
        rows = features[start : start + _ROWS_AT_ONCE] - mean
        scatter += rows.T @ rows
    return Moments(mean=mean, covariance=scatter / (len(features) - 1))


def _distance(first: Moments, second: Moments, trace_of_root: float) -> float:
    offset = first.mean - second.mean
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    # Rounding must not leave less than nothing.
    return max(0.0, float(offset @ offset + traces - 2 * trace_of_root))


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(covariance)
    # Of fewer vectors than dimensions, some values are 0 but for rounding.
    root: NDArray[np.float64] = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def _meet(
    root: NDArray[np.float64], covariance: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Bring one covariance, given by its root R, together with another, C.

    Returns:
        tr (R C R)^½, which is tr (R² C)^½; and R (R C R)^-½ R, twice its derivative by C. (It is
        also the linear map that carries the second distribution onto the first.)
    """
    values, vectors = np.linalg.eigh(root @ covariance @ root)
    roots = np.sqrt(np.maximum(values, 0))
    # Values that are 0 but for rounding are left out of the inverse.
    known = values > values[-1] * len(values) * np.finfo(float).eps
    half = (root @ vectors[:, known]) / np.sqrt(roots[known])
    return float(roots.sum()), half @ half.T


def _pulls(
    features: NDArray[np.float32],
    mean: NDArray[np.float64],
    offset: NDArray[np.float64],
    onto_other: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Say how much each vector of one side moves the distance, float64 [N], up to a constant.

    The distance changes with this side's mean by 2·offset, and with its covariance by 1 - T, T the
    map onto the other side; a vector x adds x - mean to the one and its square to the other.
    """
    found = np.empty(len(features))
    for start in range(0, len(features), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        rows = features[some] - mean
        squares = np.einsum("nd,nd->n", rows, rows - rows @ onto_other)
        found[some] = 2 * rows @ offset + squares
    return found
