import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import linalg

from datasets.errors import DatasetError
from tools.metrics import fid as module
from tools.metrics.fid import Moments, fid, frechet_distance, moments

Array = NDArray[np.float64]


def by_definition(first: Moments, second: Moments) -> float:
    root = linalg.sqrtm(first.covariance @ second.covariance)
    offset = first.mean - second.mean
    traces = np.trace(first.covariance + second.covariance - 2 * np.real(root))
    return float(offset @ offset + traces)


def covariance(numbers: np.random.Generator, length: int) -> Array:
    axes = np.linalg.qr(numbers.standard_normal((length, length)))[0]
    values = numbers.uniform(0.1, 4, length)
    found: Array = (axes * values) @ axes.T
    return found


def features(numbers: np.random.Generator, count: int, length: int) -> NDArray[np.float32]:
    mixed = numbers.standard_normal((count, length)) * np.linspace(0.2, 2, length)
    return mixed.astype(np.float32)


@given(st.integers(0, 10**6), st.integers(1, 12))
def test_between_normal_distributions_it_has_its_closed_form(seed: int, length: int) -> None:
    numbers = np.random.default_rng(seed)
    first, second = (
        Moments(mean=numbers.normal(size=length), covariance=covariance(numbers, length))
        for _ in range(2)
    )
    found = frechet_distance(first, second)
    assert found == pytest.approx(by_definition(first, second), rel=1e-9)
    assert found == pytest.approx(frechet_distance(second, first), rel=1e-9)


@given(st.integers(0, 10**6), st.integers(1, 12))
def test_of_commuting_covariances_only_deviations_along_axes_count(seed: int, length: int) -> None:
    numbers = np.random.default_rng(seed)
    axes = np.linalg.qr(numbers.standard_normal((length, length)))[0]
    deviations = numbers.uniform(0, 3, (2, length))
    means = numbers.normal(size=(2, length))
    first, second = (
        Moments(mean=mean, covariance=(axes * deviation**2) @ axes.T)
        for mean, deviation in zip(means, deviations, strict=True)
    )
    expected = ((means[0] - means[1]) ** 2).sum() + ((deviations[0] - deviations[1]) ** 2).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-7, abs=1e-7)


def test_moments_are_those_of_all_features(monkeypatch: pytest.MonkeyPatch) -> None:
    # A large mean, which would swallow the scatter in single precision.
    given_features = features(np.random.default_rng(0), 333, 7) + np.float32(1000)
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 100)
    found = moments(given_features)
    np.testing.assert_allclose(found.mean, given_features.astype(float).mean(axis=0), rtol=1e-13)
    expected = np.cov(given_features.astype(float), rowvar=False)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("count", "length"), [(200, 16), (20, 64)])
def test_features_are_compared_by_their_moments(count: int, length: int) -> None:
    numbers = np.random.default_rng(1)
    reals, fakes = features(numbers, count, length), features(numbers, count + 5, length) * 1.2
    expected = by_definition(moments(reals), moments(fakes.astype(np.float32)))
    assert fid(reals, fakes).value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("count", [2, 30, 300])
def test_equal_features_have_no_distance(count: int) -> None:
    same = features(np.random.default_rng(2), count, 40)
    found = fid(same, same[::-1])
    assert 0 <= found.value < 1e-5
    assert found.uncertainty == pytest.approx(0, abs=1e-4)


def test_moving_or_turning_all_features_changes_nothing() -> None:
    numbers = np.random.default_rng(3)
    reals, fakes = features(numbers, 90, 5), features(numbers, 80, 5) * np.float32(1.5)
    turn = np.linalg.qr(numbers.standard_normal((5, 5)))[0]
    before, after = fid(reals, fakes), fid(reals @ turn + 3, fakes @ turn + 3)
    assert after.value == pytest.approx(before.value, rel=1e-4)
    assert after.uncertainty == pytest.approx(before.uncertainty, rel=1e-4)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0), (1.2, 0), (1.0, 1)])
@pytest.mark.parametrize(("count", "length"), [(200, 8), (40, 60)])
def test_the_uncertainty_is_the_scatter_between_samples(
    count: int, length: int, scale: float, offset: float
) -> None:
    numbers = np.random.default_rng(4)
    found = []
    for _ in range(40):
        fakes = features(numbers, count, length) * np.float32(scale) + np.float32(offset)
        found.append(fid(features(numbers, count, length), fakes))
    spread = np.std([estimate.value for estimate in found], ddof=1)
    told = np.mean([estimate.uncertainty or math.nan for estimate in found])
    assert 0.7 * spread < told < 2 * spread


@pytest.mark.parametrize(("reals", "fakes"), [(50, 50), (200, 20), (20, 200)])
def test_the_uncertainty_of_single_numbers_by_hand(reals: int, fakes: int) -> None:
    # Of one number a feature the distance is (m - n)² + (s - t)². A further number x on the first
    # side moves m by (x - m)/N and s by ((x - m)² - s²)/2sN, and so the distance by a mean over x.
    numbers = np.random.default_rng(7)
    first = numbers.normal(0, 1, (reals, 1)).astype(np.float32)
    second = numbers.normal(0.4, 1.5, (fakes, 1)).astype(np.float32)
    parts = []
    for mine, yours in ((first, second), (second, first)):
        x, y = mine[:, 0].astype(float), yours[:, 0].astype(float)
        m, n, s, t = x.mean(), y.mean(), x.std(ddof=1), y.std(ddof=1)
        pulls = 2 * (m - n) * (x - m) + 2 * (s - t) * (x - m) ** 2 / (2 * s)
        parts.append(pulls.var(ddof=1) / len(x))
        expected = (m - n) ** 2 + (s - t) ** 2
    found = fid(first, second)
    assert found.value == pytest.approx(expected, rel=1e-6)
    # Both sides scatter, independently: neither alone would do.
    assert found.uncertainty == pytest.approx(math.sqrt(sum(parts)), rel=1e-6)
    assert min(parts) > 0.01 * max(parts)


def test_two_images_a_side_are_needed() -> None:
    some = features(np.random.default_rng(5), 3, 4)
    with pytest.raises(DatasetError, match="at least 2 real images, and there is 1"):
        fid(some[:1], some)
    with pytest.raises(DatasetError, match="at least 2 generated images, and there are none"):
        fid(some, some[:0])


def test_features_that_are_no_numbers_or_of_another_detector_are_refused() -> None:
    some = features(np.random.default_rng(6), 3, 4)
    with pytest.raises(DatasetError, match=r"3 numbers cannot .* 4; take one detector"):
        fid(some, some[:, :3])
    broken = some.copy()
    broken[1, 2] = np.nan
    with pytest.raises(DatasetError, match="not all finite"):
        fid(some, broken)
    with pytest.raises(ValueError, match=r"\[N, D\]"):
        fid(some[0], some)
