import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tools.memorization.statistics import (
    allowed,
    authentic,
    cells_for,
    chance_of_discoveries,
    chance_of_flagged,
    coincidence,
    data_copying,
    different,
    discoveries,
    effective,
    lower_tail,
    mann_whitney,
    p_values,
    share_interval,
    usual,
)


def test_p_values_are_places_in_the_calibration() -> None:
    calibration = np.array([3.0, 1.0, 2.0, 2.0])
    found = p_values(np.array([0.5, 1.0, 2.0, 2.5, 9.0]), calibration)
    assert found.tolist() == [1 / 5, 2 / 5, 4 / 5, 4 / 5, 1]
    more = np.array([True, False, False, True, True])
    assert p_values(np.array([0.5, 1, 2, 2.5, 9]), calibration, more).tolist() == [
        2 / 5, 2 / 5, 4 / 5, 1, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(("count", "rate"), [(99, 0.01), (899, 0.01), (49, 0.1), (19, 0.05)])
def test_new_images_are_flagged_at_no_more_than_the_rate(count: int, rate: float) -> None:
    chance = np.random.default_rng(0)
    flagged = [
        np.mean(p_values(chance.gamma(3, 1, 50), chance.gamma(3, 1, count)) <= rate + 1e-9)
        for _ in range(2000)
    ]
    # Each round shares one calibration, so that rounds and not images are independent.
    assert np.mean(flagged) == pytest.approx(rate, abs=4 * np.std(flagged) / 2000**0.5)
    assert allowed(count, rate) == round(rate * (count + 1))


def test_too_few_photographs_allow_no_flag() -> None:
    assert allowed(98, 0.01) == 0
    assert allowed(99, 0.01) == 1
    assert allowed(0, 0.5) == 0


@pytest.mark.parametrize(("flagged", "images", "count", "k"), [
    (1, 1, 99, 1), (13, 1000, 874, 8), (0, 10, 20, 1), (10, 10, 40, 3), (300, 1000, 99, 1),
])  # fmt: skip
def test_the_chance_of_flags_is_beta_binomial(
    flagged: int, images: int, count: int, k: int
) -> None:
    found = chance_of_flagged(flagged, images, k, count)
    assert found == pytest.approx(
        stats.betabinom(images, k, count + 1 - k).sf(flagged - 1), abs=1e-9
    )


def test_many_flags_are_seldom_called_unlikely_for_new_images() -> None:
    chance = np.random.default_rng(1)
    unlikely = 0
    for _ in range(1000):
        p = p_values(chance.normal(size=300), chance.normal(size=199))
        flagged = int((p <= 0.01 + 1e-9).sum())
        unlikely += chance_of_flagged(flagged, 300, 2, 199) < 0.01
    assert unlikely < 22  # A binomial of 1000 and 0.01 is more with a chance of 0.0005.


def test_discoveries_are_those_of_benjamini_and_hochberg() -> None:
    chance = np.random.default_rng(2)
    p = np.concatenate([chance.uniform(0, 0.002, 20), chance.uniform(size=200)])
    expected = stats.false_discovery_control(p) <= 0.05
    assert discoveries(p, 0.05).tolist() == expected.tolist()
    assert expected.sum() >= 20
    assert not discoveries(np.array([0.2, 0.9]), 0.05).any()


def test_the_chance_of_discoveries_is_the_least_rate_that_finds_any() -> None:
    chance = np.random.default_rng(6)
    for values in (chance.uniform(size=50), chance.uniform(0, 0.01, 7), np.array([0.3])):
        found = chance_of_discoveries(values)
        assert found == pytest.approx(stats.false_discovery_control(values).min())
        assert discoveries(values, found + 1e-12).any()
        assert not discoveries(values, found - 1e-12).any()
    # Ten images in a hundred, all at the smallest p-value that there is, are not yet one of them.
    assert chance_of_discoveries(np.where(np.arange(100) < 10, 0.01, 1.0)) == pytest.approx(0.1)
    # Under the hypothesis it is uniform or larger, even where all images share one calibration.
    small = 0
    for _ in range(1000):
        p = p_values(chance.normal(size=200), chance.normal(size=999))
        small += chance_of_discoveries(p) <= 0.05
    assert small < 76  # A binomial of 1000 and 0.05 is more with a chance of 0.0002.


@pytest.mark.parametrize(("part", "whole"), [(0, 10), (3, 1000), (10, 10), (1, 1)])
def test_intervals_are_wilson_s(part: int, whole: int) -> None:
    expected = stats.binomtest(part, whole).proportion_ci(method="wilson")
    assert share_interval(part, whole) == pytest.approx((expected.low, expected.high), abs=1e-6)


@given(st.integers(0, 10**6), st.sampled_from([3, 1000]))
def test_mann_whitney_is_scipy_s(seed: int, values: int) -> None:
    chance = np.random.default_rng(seed)
    first = chance.integers(0, values, 30).astype(float)
    second = chance.integers(0, values, 50).astype(float)
    expected = stats.mannwhitneyu(first, second, use_continuity=False, method="asymptotic").pvalue
    z = mann_whitney(first, second)
    assert 2 * stats.norm.sf(abs(z)) == pytest.approx(expected, abs=1e-9)
    u = stats.mannwhitneyu(first, second).statistic
    assert np.sign(z) == np.sign(u - 750)


def test_equal_distances_have_no_score() -> None:
    assert mann_whitney(np.ones(5), np.ones(9)) == 0


def test_data_copying_is_the_mean_over_regions() -> None:
    chance = np.random.default_rng(3)
    cells = np.repeat([0, 1, 2], [40, 60, 5])
    held = chance.gamma(3, 1, 105)
    copied = chance.gamma(3, 1, 105) * np.where(cells == 0, 0.2, 1.0)
    found = data_copying(copied, held, cells, cells)
    assert found is not None
    scores = [mann_whitney(copied[cells == cell], held[cells == cell]) for cell in (0, 1)]
    assert found.z == pytest.approx((40 * scores[0] + 60 * scores[1]) / 100)
    assert found.cells == 2
    assert found.left_out == pytest.approx(5 / 105)
    assert found.spread == pytest.approx(math.hypot(0.4, 0.6))
    assert scores[0] < -5
    whole = data_copying(copied, held)
    assert whole is not None
    assert (whole.z, whole.spread) == (mann_whitney(copied, held), 1)
    assert data_copying(copied[:19], held) is None


def test_the_mean_over_regions_spreads_as_is_said() -> None:
    chance = np.random.default_rng(8)
    held_cells = np.repeat([0, 1, 2], [90, 60, 30])
    cells = np.repeat([0, 1, 2], [40, 40, 40])
    tests = [
        data_copying(chance.normal(size=120), chance.normal(size=180), cells, held_cells)
        for _ in range(400)
    ]
    z = np.array([test.z for test in tests if test is not None])
    spread = math.sqrt(0.5**2 + (1 / 3) ** 2 + (1 / 6) ** 2)
    assert [test.spread for test in tests if test is not None] == pytest.approx([spread] * 400)
    assert z.mean() == pytest.approx(0, abs=4 * spread / 20)
    assert z.std() == pytest.approx(spread, rel=4 / math.sqrt(2 * 400))


def test_coincidence_is_the_share_of_pairs() -> None:
    nearest = np.array([4, 4, 7, 4, 9, 9])
    pairs = [nearest[i] == nearest[j] for i in range(6) for j in range(i)]
    assert coincidence(nearest) == pytest.approx(np.mean(pairs)) == pytest.approx(4 / 15)
    assert coincidence(nearest[:1]) == coincidence(nearest[:0]) == 0
    assert coincidence(np.zeros(9, np.int64)) == 1


def test_images_that_are_one_count_once() -> None:
    assert effective(50, 1.0) == 1
    assert effective(50, 0.0) == effective(50, -0.1) == 50
    assert effective(1, 1.0) == 1
    # Ten images, each five times: of their means, the variance is that of ten.
    assert effective(50, 4 / 49) == pytest.approx(10)


def test_the_lower_tail_is_the_normal_one() -> None:
    z = [-9.0, -3.0, -1.0, 0.0, 2.0]
    assert [lower_tail(one) for one in z] == pytest.approx(stats.norm.cdf(z), rel=1e-12)


def test_regions_have_enough_photographs() -> None:
    assert [cells_for(count) for count in (0, 44, 100, 10**5)] == [1, 1, 2, 10]


def test_authentic_images_are_farther_than_their_neighbour_s_neighbour() -> None:
    spacing = np.array([1.0, np.nan, 1.0, 1.0])
    assert authentic(np.array([2.0, 0.0, 1.0, 0.5]), spacing) == pytest.approx(1 / 3)
    assert authentic(np.array([2.0]), np.array([np.nan])) is None


def test_different_is_the_mean_over_all_choices() -> None:
    nearest = np.array([0, 0, 0, 1, 1, 2, 3])
    chance = np.random.default_rng(4)
    tried = [len(np.unique(chance.permutation(nearest)[:3])) for _ in range(20000)]
    assert different(nearest, 3) == pytest.approx(np.mean(tried), abs=0.02)
    assert different(nearest, 7) == 4
    assert different(nearest, 1) == pytest.approx(1)


def test_what_is_usual_does_not_mind_duplicates() -> None:
    distances = np.random.default_rng(5).normal(10, 1, 10000)
    found = usual(np.where(np.arange(10000) < 300, 0.0, distances))
    assert found.middle == pytest.approx(10, abs=0.06)
    assert found.spread == pytest.approx(1, abs=0.1)
    assert found.near == found.middle - 5 * found.spread
    assert found.nearness(np.array([found.near, found.middle])).tolist() == pytest.approx([5, 0])
    # Of few photographs nothing is known but that equal ones are equal.
    assert usual(distances[:19]).near == 0
    # Nor where most are equally far.
    assert usual(np.full(30, 2.0)).near == 0
