"""Means and their standard errors, worked out by hand and by SciPy."""

import math

import numpy as np
import pytest
from scipy import stats

from tools.metrics.estimate import error_of_mean, mean_of


def test_the_standard_error_of_four_numbers() -> None:
    # Mean 4; squares of the deviations 9, 4, 0 and 25, which are 38; by N - 1 = 3, and by N = 4.
    values = np.array([1.0, 2.0, 4.0, 9.0])
    assert error_of_mean(values) == pytest.approx(math.sqrt(38 / 3 / 4), rel=1e-12)
    found = mean_of(values)
    assert (found.value, found.uncertainty) == (4, error_of_mean(values))


@pytest.mark.parametrize("count", [2, 3, 10, 1000])
def test_it_is_scipys(count: int) -> None:
    values = np.random.default_rng(count).exponential(size=count)
    assert error_of_mean(values) == pytest.approx(stats.sem(values), rel=1e-9)


def test_one_number_has_none() -> None:
    assert error_of_mean(np.array([3.0])) is None
    found = mean_of(np.array([3.0]))
    assert (found.value, found.uncertainty) == (3, None)
