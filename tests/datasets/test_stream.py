import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import DatasetError
from datasets.pyramid import Dataset
from datasets.stream import Stream, permutation
from tests.datasets.making import write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Ten pictures, three of them held out; the class is "a" where the row is even."""
    path = tmp_path_factory.mktemp("stream") / "d"
    classes = ["ab"[row % 2] for row in range(10)]
    return write_dataset(path, hashes=list(range(10)), classes=classes, held_out=0.3)


def rows_of(
    dataset: Dataset, pictures: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> list[int]:
    level = pictures.shape[1].bit_length() - 1
    known = {picture.tobytes(): row for row, picture in enumerate(np.asarray(dataset.level(level)))}
    return [known[picture.tobytes()] for picture in pictures]


def test_every_epoch_shows_every_training_picture_once(dataset: Dataset) -> None:
    stream = Stream(dataset, seed=1)
    assert stream.count == 7
    orders = []
    for epoch in range(20):
        pictures, labels = stream.minibatch(3, epoch * 7, 7)
        rows = rows_of(dataset, pictures)
        assert sorted(rows) == [0, 1, 2, 3, 4, 5, 6]
        assert labels is not None
        assert labels.tolist() == [row % 2 for row in rows]
        orders.append(tuple(rows))
    assert len(set(orders)) == 20


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(1, 40), st.sampled_from([2, 3]))
def test_any_position_equals_reading_from_the_start(
    dataset: Dataset, position: int, count: int, level: int
) -> None:
    stream = Stream(dataset, seed=2)
    pictures, labels = stream.minibatch(level, position, count)
    assert pictures.shape == (count, 2**level, 2**level, 3)
    assert pictures.dtype == np.uint8
    assert labels is not None
    reader = Stream(dataset, seed=2)
    singles = [reader.minibatch(3, place, 1) for place in range(position + count)][position:]
    assert rows_of(dataset, pictures) == [rows_of(dataset, one)[0] for one, _ in singles]
    assert labels.tolist() == [int(one[0]) for _, one in singles if one is not None]


def test_positions_of_a_long_run_are_reached_at_once(dataset: Dataset) -> None:
    place = 12_000_000 * 1000 + 3
    first = Stream(dataset, seed=2).minibatch(3, place, 20)[0]
    assert np.array_equal(first[5:], Stream(dataset, seed=2).minibatch(3, place + 5, 15)[0])


def test_minibatches_are_the_caller_s_own(dataset: Dataset) -> None:
    stream = Stream(dataset, seed=0)
    pictures, labels = stream.minibatch(3, 0, 4)
    before = pictures.copy()
    pictures[:] = 0
    assert labels is not None
    labels[:] = 9
    again, labels = stream.minibatch(3, 0, 4)
    assert np.array_equal(again, before)
    assert labels is not None
    assert labels.max() <= 1


def test_seeds_give_different_orders(dataset: Dataset) -> None:
    orders = {
        tuple(rows_of(dataset, Stream(dataset, seed=seed).minibatch(3, 0, 7)[0]))
        for seed in (0, 1, 2, 3, 2**64 - 1)
    }
    assert len(orders) == 5
    for seed in (-1, 2**64):
        with pytest.raises(DatasetError, match="seed"):
            Stream(dataset, seed=seed)


def test_threads_may_read_at_once(dataset: Dataset) -> None:
    stream = Stream(dataset, seed=4)
    places = [(7 * number) % 50 for number in range(60)]
    expected = [Stream(dataset, seed=4).minibatch(2, place, 9)[0].tobytes() for place in places]
    wrong: list[int] = []

    def read() -> None:
        for place, pictures in zip(places, expected, strict=True):
            if stream.minibatch(2, place, 9)[0].tobytes() != pictures:
                wrong.append(place)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_without_classes_there_are_no_labels(tmp_path: Path) -> None:
    plain = write_dataset(tmp_path / "d", hashes=[1, 2], held_out=0)
    stream = Stream(plain, seed=0)
    assert stream.minibatch(2, 0, 3)[1] is None
    assert stream.classes is None
    assert (stream.resolution, stream.channels, stream.count) == (8, 3, 2)
    assert stream.fingerprint == plain.fingerprint
    for position, count in ((-1, 1), (0, 0)):
        with pytest.raises(ValueError, match="no minibatch"):
            stream.minibatch(2, position, count)


def test_orders_do_not_change_from_version_to_version() -> None:
    # A run that continues under a newer NumPy must find its pictures in the same order.
    assert permutation(8, seed=0, epoch=0).tolist() == [0, 2, 1, 5, 4, 3, 6, 7]
    assert permutation(8, seed=2**64 - 1, epoch=5).tolist() == [0, 2, 1, 5, 7, 6, 4, 3]


def test_reading_ahead_changes_nothing(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(dataset, seed=5)
    # On and on, then back, another number, another level, and on again.
    places = [(3, 4 * n, 4) for n in range(5)]
    places += [(3, 0, 4), (3, 4, 4), (3, 8, 3), (3, 11, 3), (2, 14, 3), (2, 17, 3), (2, 20, 3)]
    for level, position, count in places:
        fresh = Stream(dataset, seed=5).minibatch(level, position, count)
        found = stream.minibatch(level, position, count)
        assert np.array_equal(found[0], fresh[0])
        assert found[1] is not None
        assert fresh[1] is not None
        assert np.array_equal(found[1], fresh[1])


def test_the_next_minibatch_is_read_while_the_caller_works(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    usual = Stream._read

    def noted(stream: Stream, level: int, rows: np.ndarray) -> np.ndarray:
        read.append(threading.current_thread().name.split("_")[0])
        return usual(stream, level, rows)

    monkeypatch.setattr(Stream, "_read", noted)
    stream = Stream(dataset, seed=5)
    for position in (0, 4, 8, 12):
        stream.minibatch(3, position, 4)
    # The first two by the caller: only then is it clear that it goes on.
    assert read[:2] == ["MainThread", "MainThread"]
    assert set(read[2:]) == {"reading-ahead"}


def test_rows_of_a_minibatch_are_read_alone_and_ahead(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, plain = Stream(dataset, seed=3), Stream(dataset, seed=3)
    read: list[int] = []
    usual = Stream._read

    def noted(self: Stream, level: int, rows: np.ndarray) -> np.ndarray:
        if self is stream:
            read.append(len(rows))
        return usual(self, level, rows)

    monkeypatch.setattr(Stream, "_read", noted)
    rows = np.array([5, 1, 3])
    for position in (0, 6, 12, 18):
        pictures, labels = stream.rows_of_minibatch(3, position, 6, rows)
        whole, all_labels = plain.minibatch(3, position, 6)
        assert np.array_equal(pictures, whole[rows])
        assert labels is not None and all_labels is not None
        assert np.array_equal(labels, all_labels[rows])
    # Another choice of rows is not what was read ahead.
    pictures, _ = stream.rows_of_minibatch(3, 24, 6, rows[:2])
    assert np.array_equal(pictures, plain.minibatch(3, 24, 6)[0][rows[:2]])
    stream._reader.shutdown()
    assert set(read[:4]) == {3} and len(read) <= 7
