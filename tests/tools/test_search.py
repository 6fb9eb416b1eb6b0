import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tools import search
from tools.search import Neighbours, Vectors, nearest


def vectors(array: NDArray[np.generic], asked: list[int] | None = None) -> Vectors:
    def read(start: int, stop: int) -> NDArray[np.generic]:
        assert 0 <= start < stop <= len(array)
        if asked is not None:
            asked.append(stop - start)
        return array[start:stop]

    return Vectors(count=len(array), length=array.shape[1], read=read)


def brute_force(
    queries: NDArray[np.generic],
    training: NDArray[np.generic],
    mirrored: NDArray[np.generic],
    wanted: int,
) -> Neighbours:
    """By subtraction, one query after the other, all distances sorted."""
    rows, flips, distances = [], [], []
    for query in queries.astype(np.float64):
        plain = np.sqrt(((query - training.astype(np.float64)) ** 2).mean(axis=1))
        flipped = np.sqrt(((query - mirrored.astype(np.float64)) ** 2).mean(axis=1))
        both = np.minimum(plain, flipped)
        order = sorted(range(len(training)), key=lambda row: (both[row], row))[:wanted]
        rows.append(order)
        flips.append((flipped < plain)[order])
        distances.append(both[order])
    return Neighbours(rows=np.array(rows), mirrored=np.array(flips), distances=np.array(distances))


def mirror(images: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    return images.reshape(len(images), -1, columns)[:, :, ::-1].reshape(images.shape)


@given(st.data())
def test_it_finds_what_brute_force_finds(data: st.DataObject) -> None:
    draw = data.draw
    count = draw(st.integers(1, 40), label="training")
    wanted = draw(st.integers(1, 12), label="wanted")
    # Few different values, so that there are ties, copies and symmetric images.
    values = draw(st.sampled_from([2, 3, 256]), label="values")
    numbers = np.random.default_rng(draw(st.integers(0, 10**6), label="seed"))
    scale = 255 // (values - 1)
    training = (numbers.integers(0, values, (count, 6)) * scale).astype(np.uint8)
    queries = (numbers.integers(0, values, (7, 6)) * scale).astype(np.uint8)
    asked: list[int] = []
    at_once = draw(st.integers(1, 45), label="vectors at once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_MOST_VECTORS", at_once)
        found = nearest(
            vectors(queries, asked),
            vectors(training, asked),
            vectors(mirror(training, 3), asked),
            wanted,
        )
    expected = brute_force(queries, training, mirror(training, 3), wanted)
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.mirrored.tolist() == expected.mirrored.tolist()
    assert found.distances == pytest.approx(expected.distances, abs=1e-12)
    assert max(asked) <= at_once


@pytest.mark.parametrize("values", [256, 2])
def test_it_finds_what_brute_force_finds_among_many_large_vectors(values: int) -> None:
    numbers = np.random.default_rng(0)
    scale = 255 // (values - 1)
    training = (numbers.integers(0, values, (5000, 48)) * scale).astype(np.uint8)
    queries = (numbers.integers(0, values, (50, 48)) * scale).astype(np.uint8)
    # Copies across the borders of stretches, first and last rows, mirrored ones.
    queries[:6] = training[[0, 2047, 2048, 4095, 4096, 4999]]
    queries[6:12] = mirror(training, 12)[[0, 2047, 2048, 4095, 4096, 4999]]
    training[4900] = training[2047]
    flipped = mirror(training, 12)
    found = nearest(vectors(queries), vectors(training), vectors(flipped), 6)
    expected = brute_force(queries, training, flipped, 6)
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.mirrored.tolist() == expected.mirrored.tolist()
    assert found.distances == pytest.approx(expected.distances, abs=1e-12)
    assert found.rows[1, :2].tolist() == [2047, 4900]
    assert (found.distances[:12, 0] == 0).all()


def test_the_smallest_difference_among_bright_pixels_counts() -> None:
    # In 32 bits, the squares' last digits would be lost.
    queries = np.full((1, 3072), 255, np.uint8)
    training = np.repeat(queries, 4, axis=0)
    for row, different in enumerate((2, 1, 0, 1)):
        training[row, :different] = 254
    found = nearest(vectors(queries), vectors(training), vectors(training[:, ::-1]), 4)
    assert found.rows.tolist() == [[2, 1, 3, 0]]
    assert not found.mirrored.any()
    assert found.distances[0] == pytest.approx(np.sqrt(np.array([0, 1, 1, 2]) / 3072), abs=1e-15)


def test_vectors_that_are_not_whole_numbers() -> None:
    numbers = np.random.default_rng(1)
    training = numbers.normal(0, 100, (60, 20)).astype(np.float32)
    queries = np.concatenate([training[:3], numbers.normal(0, 100, (5, 20)).astype(np.float32)])
    flipped = training[:, ::-1]
    found = nearest(vectors(queries), vectors(training), vectors(flipped), 5)
    expected = brute_force(queries, training, flipped, 5)
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.distances == pytest.approx(expected.distances, abs=1e-5)
    assert np.isfinite(found.distances).all()


def test_memory_is_bounded_for_vectors_of_any_length() -> None:
    for length in (48, 3072, 3 * 2**20):
        some = Vectors(count=10**6, length=length, read=lambda start, stop: np.empty(0))
        assert 1 <= some.at_once <= 2048
        assert some.at_once * length <= max(2**24, length)


def test_progress_counts_every_pair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_MOST_VECTORS", 4)
    done: list[int] = []
    data = np.arange(44, dtype=np.uint8).reshape(11, 4)
    nearest(vectors(data[:6]), vectors(data), vectors(data[:, ::-1]), 1, advance=done.append)
    assert sum(done) == 66
    assert len(done) == 2 * 3


def test_no_queries_have_no_neighbours() -> None:
    data = np.arange(12, dtype=np.uint8).reshape(3, 4)
    found = nearest(vectors(data[:0]), vectors(data), vectors(data), 2)
    assert found.rows.shape == found.mirrored.shape == found.distances.shape == (0, 2)
