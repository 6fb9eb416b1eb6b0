import numpy as np
import pytest
from numpy.typing import NDArray

from datasets.errors import DatasetError
from tools.metrics import kid as module
from tools.metrics.kid import images_in_subset, kid, squared_discrepancy


def features(numbers: np.random.Generator, count: int, length: int = 6) -> NDArray[np.float32]:
    return numbers.standard_normal((count, length)).astype(np.float32)


def kernel(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    product = sum(float(a) * float(b) for a, b in zip(first, second, strict=True))
    return (product / len(first) + 1) ** 3


def by_definition(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Unbiased, pair by pair."""
    within = [
        np.mean([kernel(a, b) for i, a in enumerate(side) for j, b in enumerate(side) if i != j])
        for side in (first, second)
    ]
    return float(sum(within) - 2 * np.mean([kernel(a, b) for a in first for b in second]))


@pytest.mark.parametrize(("reals", "fakes"), [(2, 2), (9, 14), (25, 20)])
def test_it_follows_the_definition(reals: int, fakes: int) -> None:
    numbers = np.random.default_rng(0)
    first, second = features(numbers, reals), features(numbers, fakes) + np.float32(0.5)
    expected = by_definition(first, second)
    assert squared_discrepancy(first, second) == pytest.approx(expected, rel=1e-9)


def test_it_is_the_mean_over_subsets(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(1)
    reals, fakes = features(numbers, 40), features(numbers, 60) * np.float32(1.4)
    seen = []

    def note(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
        for some, all_of_them in ((first, reals), (second, fakes)):
            assert len(some) == 20
            assert len(np.unique(some, axis=0)) == 20
            assert {*map(bytes, some)} <= {*map(bytes, all_of_them)}
        seen.append(by_definition(first[:3], second[:3]))
        return seen[-1]

    monkeypatch.setattr(module, "squared_discrepancy", note)
    found = kid(reals, fakes)
    assert len(set(seen)) == module.SUBSETS
    assert found.value == pytest.approx(np.mean(seen))
    assert found.uncertainty == pytest.approx(np.std(seen, ddof=1))


def test_each_side_has_subsets_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    same = np.arange(40, dtype=np.float32)[:, None]
    shared = []

    def note(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
        shared.append(len({*first.ravel()} & {*second.ravel()}))
        return 0.0

    monkeypatch.setattr(module, "squared_discrepancy", note)
    kid(same, same)
    # Two independent halves share a quarter of all: 10 ± 1.6 in a subset.
    assert 9 < np.mean(shared) < 11 and len(set(shared)) > 3


def test_its_value_by_another_route() -> None:
    numbers = np.random.default_rng(5)
    sides = features(numbers, 7), features(numbers, 9) + np.float32(0.3)
    values = []
    for subset in range(100):
        chosen = []
        for number, side in enumerate(sides):
            key = np.array([11, 105], np.uint64)
            words = np.random.Philox(key=key, counter=[0, 0, subset, number]).random_raw(len(side))
            chosen.append(side[np.argsort(words, kind="stable")[:3]])
        values.append(by_definition(*chosen))
    found = kid(*sides, seed=11)
    assert found.value == pytest.approx(np.mean(values), rel=1e-9)
    assert found.uncertainty == pytest.approx(np.std(values, ddof=1), rel=1e-9)


@pytest.mark.parametrize(
    ("reals", "fakes", "size"),
    [
        (2, 2, 2),
        (3, 9, 2),
        (100, 60, 30),
        (1999, 5000, 999),
        (2000, 2000, 1000),
        (10**5, 10**4, 1000),
    ],
)
def test_subsets_are_of_a_thousand_or_half_of_fewer(reals: int, fakes: int, size: int) -> None:
    assert images_in_subset(reals, fakes) == size


def test_between_equal_distributions_it_is_nothing_on_average() -> None:
    numbers = np.random.default_rng(2)
    values = [squared_discrepancy(features(numbers, 10), features(numbers, 10)) for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 20


def test_seeds_scatter_less_than_the_uncertainty_says() -> None:
    numbers = np.random.default_rng(3)
    reals, fakes = features(numbers, 200), features(numbers, 200) * np.float32(1.3)
    found = [kid(reals, fakes, seed=seed) for seed in range(5)]
    values = [estimate.value for estimate in found]
    assert len(set(values)) == 5
    assert max(values) - min(values) < (found[0].uncertainty or 0)
    assert kid(reals, fakes, seed=3) == found[3]


def test_two_images_a_side_are_needed() -> None:
    some = features(np.random.default_rng(4), 3)
    with pytest.raises(DatasetError, match="at least 2 generated images, and there is 1"):
        kid(some, some[:1])
    with pytest.raises(DatasetError, match="one detector"):
        kid(some, some[:, :3])
