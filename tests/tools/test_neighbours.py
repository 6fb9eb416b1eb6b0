from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets.errors import DatasetError
from progan.checkpoint import ModelFile
from tests.datasets.making import noise
from tests.tools.making import Recalling, recalling, small_generator, write_pixels
from tools import neighbours
from tools.neighbours import box_shrink, examine

Pixels = NDArray[np.uint8]


def distances(image: NDArray[np.generic], others: NDArray[np.generic]) -> NDArray[np.float64]:
    difference = others.astype(np.float64) - image.astype(np.float64)
    return np.asarray(np.sqrt(np.square(difference).mean(axis=(1, 2, 3))))


def test_box_shrink_makes_what_the_dataset_makes(tmp_path: Path) -> None:
    images = noise(3, 64, 64, 3)
    dataset = write_pixels(tmp_path / "d", images)
    for level in (2, 4, 5, 6):
        assert np.array_equal(box_shrink(images, 2**level), dataset.level(level))


def test_copies_are_found_at_no_distance_and_mirrored_ones_too(tmp_path: Path) -> None:
    # Copies at the full size, compared at a smaller one: shrunk as the dataset is, they stay equal.
    dataset = write_pixels(tmp_path / "d", noise(24, 32, 32, 3))
    full = dataset.level(5)
    generated = np.concatenate(
        [full[[7]], noise(2, 32, 32, 3, seed=1), full[[11], :, ::-1], full[[20]]]
    )
    found, held_out = examine(
        recalling(generated), dataset, count=5, wanted=3, level=3, seed=0
    )  # fmt: skip
    assert found.names == [f"seed {number}" for number in range(5)]
    assert found.neighbours.rows.shape == (5, 3)
    assert found.neighbours.rows[[0, 3], 0].tolist() == [7, 11]
    assert found.neighbours.mirrored[[0, 3], 0].tolist() == [False, True]
    assert found.nearest[[0, 3]].tolist() == [0, 0]
    # Row 20 is held out: its copy is no copy of a training image.
    assert held_out is not None
    assert dataset.rows("held-out").tolist() == list(range(18, 24))
    assert found.nearest[4] > 5
    assert found.neighbours.distances[4].tolist() == held_out.neighbours.distances[2].tolist()


def test_distances_and_places_are_right(tmp_path: Path) -> None:
    # Photographs of different contrast, so that held-out ones lie at different distances.
    contrast = np.linspace(1, 0.2, 20)[:, None, None, None]
    photographs = (128 + (noise(20, 16, 16, 3) - 128.0) * contrast).astype(np.uint8)
    dataset = write_pixels(tmp_path / "d", photographs, held_out=0.4)
    generated = noise(6, 16, 16, 3, seed=7) // 2 + 64
    found, held_out = examine(
        recalling(generated), dataset, count=6, wanted=2, level=3, seed=0
    )  # fmt: skip
    assert held_out is not None
    assert held_out.names == [f"{row}.png" for row in range(12, 20)]
    small = dataset.level(3)
    forms = np.stack([small[:12], small[:12, :, ::-1]])
    yardstick = []
    for number in range(8):
        expected = np.minimum(*(distances(small[12 + number], form) for form in forms))
        assert held_out.nearest[number] == pytest.approx(expected.min(), abs=1e-12)
        yardstick.append(expected.min())
    for number, image in enumerate(box_shrink(generated, 8)):
        expected = np.sort(np.minimum(*(distances(image, form) for form in forms)))
        assert found.neighbours.distances[number] == pytest.approx(expected[:2], abs=1e-12)
        place = np.mean([value <= found.nearest[number] for value in yardstick])
        assert found.place[number] == place
    # A held-out photograph is as near as itself; the farthest is as far as all.
    assert sorted(held_out.place) == pytest.approx(np.arange(1, 9) / 8)
    assert held_out.place[np.argmax(held_out.nearest)] == 1
    assert 0 < len(set(found.place)) <= 6


def test_without_held_out_photographs_there_is_no_yardstick(tmp_path: Path) -> None:
    dataset = write_pixels(tmp_path / "d", noise(5, 8, 8, 3), held_out=0)
    found, held_out = examine(
        recalling(noise(2, 8, 8, 3)), dataset, count=2, wanted=9, level=2, seed=0
    )  # fmt: skip
    assert held_out is None
    assert np.isnan(found.place).all()
    # More neighbours than there are photographs are not to be had.
    assert found.neighbours.rows.shape == (2, 5)
    assert sorted(found.neighbours.rows[0].tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("model_size", "data_size", "level"), [(4, 64, 2), (64, 8, 3), (8, 8, 2)])
def test_model_and_dataset_may_be_of_different_sizes(
    tmp_path: Path, model_size: int, data_size: int, level: int
) -> None:
    photographs = noise(10, data_size, data_size, 3)
    # Each pixel of the smaller stands for a square of the larger.
    zoom = max(1, model_size // data_size)
    dataset = write_pixels(tmp_path / "d", photographs)
    copies = np.array(dataset.level(min(model_size, data_size).bit_length() - 1))
    copies = copies.repeat(zoom, axis=1).repeat(zoom, axis=2)
    found, held_out = examine(
        recalling(copies), dataset, count=6, wanted=1, level=level, seed=0
    )  # fmt: skip
    assert found.neighbours.rows[:, 0].tolist() == list(range(6))
    assert (found.nearest == 0).all()
    assert held_out is not None
    shown = min(model_size, data_size).bit_length() - 1
    assert np.array_equal(found.show(np.array([4, 1]), shown), dataset.level(shown)[[4, 1]])
    assert np.array_equal(held_out.show(np.array([1]), shown), dataset.level(shown)[[9]])


def test_the_images_are_those_of_the_seeds(tmp_path: Path) -> None:
    dataset = write_pixels(tmp_path / "d", noise(10, 8, 8, 3))
    model = recalling(np.array(dataset.level(3)[:7]))
    found, _ = examine(model, dataset, count=3, wanted=1, level=3, seed=4)
    assert found.names == ["seed 4", "seed 5", "seed 6"]
    assert found.neighbours.rows[:, 0].tolist() == [4, 5, 6]
    assert np.array_equal(found.show(np.array([2, 0]), 3), dataset.level(3)[[6, 4]])


def test_classes_take_turns_with_the_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(neighbours, "_SEEDS_AT_ONCE", 2)
    generator = small_generator(classes=3)
    generator.register_forward_hook(lambda module, inputs, output: asked.extend(inputs[1].tolist()))
    list(neighbours.drawn(ModelFile(generator=generator), range(4, 9), 2))
    assert asked == [1, 2, 0, 1, 2]


def test_many_images_are_not_in_memory_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_SEEDS_AT_ONCE", 8)
    dataset = write_pixels(tmp_path / "d", noise(10, 64, 64, 3))
    model = recalling(noise(30, 64, 64, 3, seed=1))
    generator = model.generator
    assert isinstance(generator, Recalling)
    sizes = [part.shape for part in neighbours.drawn(model, range(30), 2)]
    assert sizes == [(n, 4, 4, 3) for n in (8, 8, 8, 6)]
    found, _ = examine(model, dataset, count=30, wanted=1, level=2, seed=0)
    assert max(generator.asked) <= 8
    generator.asked.clear()
    found.show(np.array([3, 1, 29]), 6)  # Only what is shown is drawn again.
    assert generator.asked == [3]


def test_more_images_than_memory_are_refused_before_they_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = write_pixels(tmp_path / "d", noise(4, 32, 32, 3))
    model = recalling(noise(1, 32, 32, 3))
    generator = model.generator
    assert isinstance(generator, Recalling)
    monkeypatch.setattr(neighbours, "_MOST_BYTES", 10 * 3072)
    examine(model, dataset, count=10, wanted=1, level=5, seed=0)
    generator.asked.clear()
    with pytest.raises(DatasetError, match=r"11 images of 32×32 pixels .*smaller --resolution"):
        examine(model, dataset, count=11, wanted=1, level=5, seed=0)
    assert generator.asked == []


def test_grey_images(tmp_path: Path) -> None:
    dataset = write_pixels(tmp_path / "d", noise(8, 8, 8, 1))
    model = recalling(np.array(dataset.level(3)[:4, :, ::-1]))
    found, _ = examine(model, dataset, count=4, wanted=1, level=3, seed=0)
    assert found.neighbours.rows[:, 0].tolist() == [0, 1, 2, 3]
    assert found.neighbours.mirrored.all()
    assert (found.nearest == 0).all()


def test_the_model_file_says_what_it_was_trained_on(tmp_path: Path) -> None:
    dataset = write_pixels(tmp_path / "d", noise(4, 8, 8, 3))
    generator = small_generator()
    for trained, expected in (
        ({}, None),
        ({"dataset": "d"}, None),
        ({"dataset": {}}, None),
        ({"dataset": {"fingerprint": dataset.fingerprint}}, True),
        ({"dataset": {"fingerprint": "0" * 64}}, False),
    ):
        model = ModelFile(generator=generator, trained=trained)
        assert neighbours.trained_on(model, dataset) is expected
