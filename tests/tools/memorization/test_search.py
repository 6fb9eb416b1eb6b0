import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tools.memorization import search
from tools.memorization.search import Both, Neighbours, nearest

Vectors = NDArray[np.float32]


class Training:
    """Vectors in memory, that keeps note of how many are asked for."""

    def __init__(self, vectors: Vectors, mirrored: Vectors) -> None:
        self.vectors, self.mirrored = vectors, mirrored
        self.count, self.length = vectors.shape
        self.asked: list[int] = []

    def read(self, start: int, stop: int) -> Both:
        assert 0 <= start < stop <= self.count
        self.asked.append(stop - start)
        return self.vectors[start:stop], self.mirrored[start:stop]


def brute_force(
    queries: Vectors, training: Training, wanted: int, own: NDArray[np.int64]
) -> Neighbours:
    """By subtraction, one query after the other, all distances sorted."""
    rows, flips, distances = [], [], []
    for query, self_row in zip(queries.astype(np.float64), own, strict=True):
        plain, flipped = (
            np.sqrt(((query - form.astype(np.float64)) ** 2).sum(axis=1))
            for form in (training.vectors, training.mirrored)
        )
        both = np.minimum(plain, flipped)
        others = [row for row in range(training.count) if row != self_row]
        order = sorted(others, key=lambda row: (both[row], row))[:wanted]
        rows.append(order)
        flips.append((flipped < plain)[order])
        distances.append(both[order])
    return Neighbours(rows=np.array(rows), mirrored=np.array(flips), distances=np.array(distances))


def assert_equal(found: Neighbours, expected: Neighbours) -> None:
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.mirrored.tolist() == expected.mirrored.tolist()
    assert found.distances == pytest.approx(expected.distances, abs=1e-12)


def numbers(values: int, count: int, length: int, seed: int) -> Vectors:
    return np.random.default_rng(seed).integers(0, values, (count, length)).astype(np.float32)


@given(st.data())
def test_it_finds_what_brute_force_finds(data: st.DataObject) -> None:
    draw = data.draw
    count, seed = draw(st.integers(2, 60)), draw(st.integers(0, 10**6))
    # Few different values, so that there are ties, copies and symmetric images.
    values = draw(st.sampled_from([2, 3, 256]))
    vectors = numbers(values, count, 6, seed)
    training = Training(vectors, vectors.reshape(-1, 2, 3)[:, :, ::-1].reshape(-1, 6).copy())
    queries = np.concatenate([numbers(values, 5, 6, seed + 1), vectors[:2]])
    own = np.array([-1] * 5 + [draw(st.sampled_from([-1, 0])), 1])
    wanted, at_once = draw(st.integers(1, 12)), draw(st.integers(1, 65))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_MOST_VECTORS", at_once)
        patch.setattr(search, "_SPARE", draw(st.integers(0, 4)))
        patch.setattr(search, "_SUBTRACTED", 40)
        found = nearest(queries, training, wanted, own=own)
    assert_equal(found, brute_force(queries, training, min(wanted, count - 1), own))
    assert max(training.asked) <= at_once


@pytest.mark.parametrize("values", [256, 2])
def test_it_finds_what_brute_force_finds_among_many(values: int) -> None:
    vectors = numbers(values, 5000, 48, 0)
    training = Training(vectors, np.ascontiguousarray(vectors[:, ::-1]))
    queries = numbers(values, 40, 48, 1)
    # Copies across the borders of stretches, first and last rows, mirrored ones.
    queries[:6] = vectors[[0, 2047, 2048, 4095, 4096, 4999]]
    queries[6:12] = training.mirrored[[0, 2047, 2048, 4095, 4096, 4999]]
    vectors[4900] = vectors[2047]
    training.mirrored[4900] = training.mirrored[2047]
    found = nearest(queries, training, 6)
    assert_equal(found, brute_force(queries, training, 6, np.full(40, -1)))
    assert found.rows[1, :2].tolist() == [2047, 4900]
    assert (found.distances[:12, 0] == 0).all()


def test_differences_too_small_for_a_product_in_float32_count() -> None:
    # The squares' last digits are lost: every image seems equally near, and there are many.
    vectors = np.full((300, 512), 100, np.float32)
    vectors[:, 0] += np.random.default_rng(0).permutation(300).astype(np.float32) / 1024
    query = np.full((1, 512), 100, np.float32)
    training = Training(vectors, np.ascontiguousarray(vectors[:, ::-1]))
    found = nearest(query, training, 4)
    assert_equal(found, brute_force(query, training, 4, np.full(1, -1)))


def test_products_as_far_off_as_they_may_be_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = numbers(256, 200, 16, 3)
    training = Training(vectors, vectors)
    plain = torch.addmm

    def careless(
        input: torch.Tensor,
        first: torch.Tensor,
        second: torch.Tensor,
        *,
        alpha: int,
        out: torch.Tensor,
    ) -> torch.Tensor:
        # Nearly as far off as is allowed for.
        found = plain(input, first, second, alpha=alpha)
        error = np.random.default_rng(0).uniform(-1, 1, found.shape) * 2**-20
        return found + torch.from_numpy(error).float() * found.abs().max()

    monkeypatch.setattr(torch, "addmm", careless)
    queries = numbers(256, 20, 16, 4)
    assert_equal(nearest(queries, training, 3), brute_force(queries, training, 3, np.full(20, -1)))


def test_memory_is_bounded_for_vectors_of_any_length() -> None:
    for length in (48, 3072, 3 * 2**20, 2**25):
        assert 1 <= search.at_once(length) <= 2048
        assert search.at_once(length) * length <= max(2**24, length)


def test_progress_counts_every_pair_once() -> None:
    done: list[int] = []
    vectors = numbers(9, 5000, 4, 0)
    nearest(vectors[:7], Training(vectors, vectors), 1, advance=done.append)
    assert sum(done) == 7 * 5000
    assert len(done) == 3


def test_nothing_to_find() -> None:
    vectors = numbers(9, 3, 4, 0)
    none = nearest(vectors[:0], Training(vectors, vectors), 2)
    assert none.rows.shape == none.mirrored.shape == none.distances.shape == (0, 2)
    one = Training(vectors[:1], vectors[:1])
    alone = nearest(vectors[:1], one, 2, own=np.zeros(1, np.int64))
    assert alone.rows.shape == alone.mirrored.shape == alone.distances.shape == (1, 0)
