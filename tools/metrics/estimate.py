"""A figure with its uncertainty."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A measured figure.

    Attributes:
        value: the figure.
        uncertainty: one standard error, or what the metric says instead; None where there are too
            few images to tell.
    """

    value: float
    uncertainty: float | None


def mean_of(values: NDArray[np.float64]) -> Estimate:
    """Give the mean of independent values, float64 [N] with N >= 1, and its standard error."""
    return Estimate(value=float(values.mean()), uncertainty=error_of_mean(values))


def error_of_mean(values: NDArray[np.float64]) -> float | None:
    """Give the standard error of the mean of independent values [N], None for a single one."""
    if len(values) < 2:
        return None
    return float(values.std(ddof=1)) / math.sqrt(len(values))
