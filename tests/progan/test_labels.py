import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progan.errors import ProganError
from progan.labels import ClassWalk, classes_for_rows, labels_of_seeds


def drawn(seeds: range, counts: tuple[int, ...]) -> np.ndarray:
    labels = labels_of_seeds(seeds, counts)
    assert labels is not None
    assert labels.dtype == np.int64
    return labels


def test_seeds_have_classes_as_often_as_the_images_they_were_counted_in() -> None:
    counts = (300, 0, 2500, 1200)
    labels = drawn(range(4000), counts)
    shares = np.bincount(labels, minlength=4) / 4000
    # Three and a half standard deviations of 4000 draws.
    assert shares == pytest.approx(np.array(counts) / 4000, abs=0.028)
    assert shares[1] == 0


def test_the_class_of_a_seed_is_its_own() -> None:
    counts = (5, 1, 9)
    labels = drawn(range(50), counts)
    assert np.array_equal(drawn(range(20, 50), counts), labels[20:])
    # Only the shares count, and not by how much the images were.
    assert np.array_equal(drawn(range(50), (5000, 1000, 9000)), labels)
    # Pinned: pictures that were once published by their seeds must be had again.
    assert labels[:12].tolist() == [2, 2, 1, 0, 2, 2, 0, 2, 0, 2, 0, 2]
    assert labels_of_seeds([0, 1], ()) is None
    assert drawn(range(0), counts).shape == (0,)


@given(st.integers(0, 200), st.integers(1, 40))
def test_rows_show_as_many_classes_as_fit_in_their_order(label_size: int, rows: int) -> None:
    shown = classes_for_rows(label_size, rows)
    assert len(shown) == min(label_size, rows)
    assert shown == sorted(set(shown))
    assert set(shown) <= set(range(label_size))
    if label_size > rows > 1:
        assert (shown[0], shown[-1]) == (0, label_size - 1)
        assert np.ptp(np.diff(shown)) <= 1


def walk(frames: int, cells: int = 1) -> ClassWalk:
    return ClassWalk(frames=frames, cells=cells, first=2, second=0, label_size=4)


@pytest.mark.parametrize("frames", [2, 3, 8, 9, 240])
def test_a_film_from_class_to_class_reaches_both_exactly_and_closes(frames: int) -> None:
    labels = walk(frames, cells=3).chunk(0, frames)
    assert labels.shape == (frames, 3, 4)
    assert labels.dtype == np.float32
    assert np.array_equal(labels[:, 0], labels[:, 2])
    labels = labels[:, 0]
    assert np.array_equal(labels[0], [0, 0, 1, 0])
    assert labels[frames // 2] == pytest.approx([1, 0, 0, 0], abs=1e-7)
    # As long as in training, all the way; and no third class has any part.
    assert np.square(labels).sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert not labels[:, [1, 3]].any()
    assert (labels >= 0).all()
    # Forth and then back, without a jump where the loop closes.
    weight = np.append(labels[:, 0], labels[0, 0])
    half = frames // 2
    assert (np.diff(weight[: half + 1]) > 0).all()
    assert (np.diff(weight[half:]) < 0).all()
    assert np.abs(np.diff(weight)).max() <= max(3.0 / half, np.finfo(float).eps)
    assert np.array_equal(walk(frames).chunk(frames, 1), walk(frames).chunk(0, 1))


def test_the_middle_of_the_way_has_equal_parts_of_both() -> None:
    quarter = walk(240).chunk(60, 1)[0, 0]
    assert quarter == pytest.approx([np.sqrt(0.5), 0, np.sqrt(0.5), 0], abs=1e-6)


def test_any_chunk_is_that_part_of_the_whole() -> None:
    whole = walk(31, cells=2).chunk(0, 31)
    assert np.array_equal(walk(31, cells=2).chunk(11, 9), whole[11:20])


def test_one_frame_is_no_way() -> None:
    with pytest.raises(ProganError, match="at least two frames, not 1"):
        walk(1)
