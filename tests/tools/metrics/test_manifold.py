import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from datasets.errors import DatasetError
from tools.metrics import manifold as module
from tools.metrics.manifold import NEIGHBOURS, manifold

Features = NDArray[np.float32]


def by_definition(reals: Features, fakes: Features) -> dict[str, float]:
    """Each distance by subtraction; sums are right to the last bit, and so find every tie."""

    def squared(first: Features, second: Features) -> float:
        return math.fsum(np.square(first.astype(float) - second.astype(float)))

    def radius(vectors: Features, which: int, k: int) -> float:
        others = [squared(vectors[which], v) for i, v in enumerate(vectors) if i != which]
        return sorted(others)[k - 1]

    def inside(balls: Features, points: Features, k: int) -> NDArray[np.bool_]:
        reaches = [radius(balls, i, k) for i in range(len(balls))]
        return np.array(
            [
                [squared(ball, point) <= reach for point in points]
                for ball, reach in zip(balls, reaches, strict=True)
            ]
        )

    near, nearer = inside(reals, fakes, 5), inside(reals, fakes, 3)
    return {
        "precision": float(nearer.any(axis=0).mean()),
        "recall": float(inside(fakes, reals, 3).any(axis=0).mean()),
        "density": float(near.sum(axis=0).mean() / 5),
        "coverage": float(near.any(axis=1).mean()),
    }


def values(reals: Features, fakes: Features) -> dict[str, float]:
    return {name: estimate.value for name, estimate in manifold(reals, fakes).items()}


def features(numbers: np.random.Generator, count: int, length: int = 4) -> Features:
    return numbers.standard_normal((count, length)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    reals=st.integers(6, 16),
    fakes=st.integers(6, 16),
    whole=st.booleans(),
    at_once=st.sampled_from([1, 3, 7, 4096]),
)
def test_it_finds_what_brute_force_finds(
    seed: int, reals: int, fakes: int, whole: bool, at_once: int
) -> None:
    numbers = np.random.default_rng(seed)
    if whole:  # Then most distances are equal to others, and many are 0.
        first = numbers.integers(0, 3, (reals, 2)).astype(np.float32)
        second = numbers.integers(0, 4, (fakes, 2)).astype(np.float32)
    else:
        first, second = features(numbers, reals), features(numbers, fakes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AT_ONCE", at_once)
        found = values(first, second)
    assert found == pytest.approx(by_definition(first, second), rel=1e-12)


def test_ties_are_found_although_rounding_hides_them() -> None:
    # Vectors with permuted numbers are equally far from one whose numbers are all equal, but the
    # order of additions differs. Some of them would seem to lie outside of its ball.
    numbers = np.random.default_rng(7)
    around = np.exp(features(numbers, 5, 100))
    reals = np.concatenate([np.full((1, 100), 0.1, np.float32), around])
    fakes = numbers.permuted(around.repeat(12, axis=0), axis=1)
    assert values(reals, fakes) == pytest.approx(by_definition(reals, fakes), rel=1e-12)


@pytest.mark.parametrize("length", [3, 500])
def test_an_image_lies_in_the_balls_of_its_neighbours(length: int) -> None:
    # The fakes are the reals: each lies in its own ball, and just in that of its neighbours, on
    # whose surface the k-th stands.
    reals = features(np.random.default_rng(0), 60, length) * np.float32(0.1) + np.float32(7)
    found = values(reals, reals[::-1].copy())
    assert found == {"precision": 1, "recall": 1, "density": pytest.approx(6 / 5), "coverage": 1}


def test_copies_lie_within_one_another() -> None:
    numbers = np.random.default_rng(1)
    reals = features(numbers, 1, 300).repeat(8, axis=0)
    assert values(reals, reals[:6]) == {"precision": 1, "recall": 1, "density": 1.6, "coverage": 1}
    # The balls of copies have no size: nothing else lies in them.
    other = reals[:6] + np.float32(1e-3)
    assert values(reals, other) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_order_scale_and_place_do_not_matter(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    first, second = features(numbers, 30), features(numbers, 25)
    before = manifold(first, second)
    after = manifold(
        numbers.permutation(first) * np.float32(4), numbers.permutation(second) * np.float32(4)
    )
    for name in NEIGHBOURS:
        assert after[name].value == pytest.approx(before[name].value, rel=1e-12)
        assert after[name].uncertainty == pytest.approx(before[name].uncertainty, rel=1e-9)


def test_each_can_be_asked_for_alone() -> None:
    numbers = np.random.default_rng(2)
    first, second = features(numbers, 40), features(numbers, 50) * np.float32(1.3)
    together = manifold(first, second)
    assert list(together) == list(NEIGHBOURS)
    for name, estimate in together.items():
        assert manifold(first, second, names=[name]) == {name: estimate}


def test_a_generator_that_is_good_at_little_is_precise_but_recalls_little() -> None:
    numbers = np.random.default_rng(3)
    reals = features(numbers, 300)
    narrow, wide = (features(numbers, 300) * np.float32(s) for s in (0.3, 3))
    assert values(reals, narrow)["precision"] > 0.95 > 0.5 > values(reals, narrow)["recall"]
    assert values(reals, wide)["precision"] < 0.5 < 0.95 < values(reals, wide)["recall"]
    assert values(reals, narrow)["coverage"] < values(reals, features(numbers, 300))["coverage"]


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0), (1.5, 0), (1.0, 2)])
def test_the_uncertainty_is_the_scatter_between_samples(scale: float, offset: float) -> None:
    # With the offset, few images lie among the others, and most of these in the same few balls.
    numbers = np.random.default_rng(4)
    found = []
    for _ in range(40):
        fakes = features(numbers, 200) * np.float32(scale) + np.float32(offset)
        found.append(manifold(features(numbers, 150), fakes))
    for name in NEIGHBOURS:
        spread = np.std([estimates[name].value for estimates in found], ddof=1)
        told = np.mean([estimates[name].uncertainty or math.nan for estimates in found])
        assert 0.6 * spread < told < 3 * spread


def test_it_is_never_quite_certain() -> None:
    reals = features(np.random.default_rng(5), 20)
    for fakes in (reals, reals + np.float32(100)):
        assert all(e.uncertainty for n, e in manifold(reals, fakes).items() if n != "density")


@pytest.mark.parametrize(
    ("names", "count"), [(["recall"], 3), (["precision", "recall"], 3), (["coverage"], 5)]
)
def test_too_few_images_are_refused(names: list[str], count: int) -> None:
    some = features(np.random.default_rng(6), 10)
    with pytest.raises(DatasetError, match=f"{', '.join(names)} needs at least {count + 1} real"):
        manifold(some[:count], some, names=names)
    with pytest.raises(DatasetError, match=f"at least {count + 1} generated"):
        manifold(some, some[:count], names=names)
    manifold(some[: count + 1], some[: count + 1], names=names)
