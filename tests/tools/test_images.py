"""IMAGES: every kind gives the pictures that it holds, in any order, in parts of any size."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.errors import DatasetError
from datasets.framing import fit
from datasets.pyramid import Dataset
from progan.checkpoint import save_model
from progan.latents import latents_of_seeds
from tests.tools.making import Pixels, assert_pixels_of, small_generator, write_model
from tools import images as opening
from tools.drawing import draw
from tools.images import Images, open_images


def noise(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def write_files(folder: Path, pictures: Pixels) -> None:
    folder.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number:02d}.png")


def whole(images: Images) -> Pixels:
    return np.concatenate([batch.pixels for batch in images.batches()])


def test_a_dataset_gives_the_part_that_is_asked_for(faces: Dataset) -> None:
    for split, level in (("train", 4), ("held-out", 3)):
        found = open_images(str(faces.path), split=split, resize=2**level)  # type: ignore[arg-type]
        rows = faces.rows(split)  # type: ignore[arg-type]
        assert (found.count, found.resolution) == (len(rows), 2**level)
        np.testing.assert_array_equal(whole(found), faces.level(level)[rows])
        assert found.name_of(2) == faces.names[rows[2]]
        assert found.details["fingerprint"] == faces.fingerprint


def test_a_model_gives_the_pictures_of_its_seeds(tmp_path: Path) -> None:
    generator = write_model(tmp_path / "m.safetensors")
    found = open_images(str(tmp_path / "m.safetensors"), count=5, seed=7)
    points = latents_of_seeds(range(7, 12), generator.latent_size)
    np.testing.assert_array_equal(whole(found), draw(generator, points))
    np.testing.assert_array_equal(found.read([3]).pixels, draw(generator, points[3:4]))
    assert found.name_of(3) == "seed 10"


def test_folder_archive_and_arrays_give_the_same_pictures(tmp_path: Path) -> None:
    pictures = noise(6, 8, 8, 3)
    write_files(tmp_path / "folder", pictures)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in (tmp_path / "folder").iterdir():
            archive.write(path, path.name)
    np.save(tmp_path / "last.npy", pictures)
    np.save(tmp_path / "first.npy", np.moveaxis(pictures, 3, 1))
    np.save(tmp_path / "floats.npy", np.moveaxis(pictures, 3, 1).astype(np.float32) / 127.5 - 1)
    for name in ("folder", "a.zip", "last.npy", "first.npy", "floats.npy"):
        found = open_images(str(tmp_path / name))
        assert (found.count, found.resolution, found.channels) == (6, 8, 3), name
        np.testing.assert_array_equal(whole(found), pictures, err_msg=name)
        np.testing.assert_array_equal(found.read([4, 1]).pixels, pictures[[4, 1]], err_msg=name)


def test_parts_are_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_PIXELS_AT_ONCE", 200)
    np.save(tmp_path / "a.npy", noise(11, 8, 8, 3))
    batches = list(open_images(str(tmp_path / "a.npy")).batches(range(10)))
    assert [len(batch.pixels) for batch in batches] == [3, 3, 3, 1]
    assert [int(n) for batch in batches for n in batch.numbers] == list(range(10))


def test_bad_pictures_among_good_ones_are_left_out(tmp_path: Path) -> None:
    write_files(tmp_path / "folder", noise(3, 8, 8, 3))
    (tmp_path / "folder" / "01.png").write_bytes(b"no picture")
    found = open_images(str(tmp_path / "folder"))
    batch = found.read([0, 1, 2])
    assert batch.numbers.tolist() == [0, 2]
    assert len(batch.pixels) == 2


def test_sizes_that_differ_are_refused_and_brought_together_on_request(tmp_path: Path) -> None:
    write_files(tmp_path / "folder", noise(2, 16, 16, 3))
    Image.fromarray(noise(16, 20, 3, seed=5)).save(tmp_path / "folder" / "wide.png")
    found = open_images(str(tmp_path / "folder"))
    with pytest.raises(DatasetError, match=r"wide\.png has 20×16 pixels.*--resize"):
        whole(found)
    resized = open_images(str(tmp_path / "folder"), resize=8)
    assert whole(resized).shape == (3, 8, 8, 3)
    expected = noise(16, 20, 3, seed=5)[:, 2:18].reshape(8, 2, 8, 2, 3).mean(axis=(1, 3))
    assert np.abs(whole(resized)[2] - expected).max() <= 0.5


def test_fitting_is_the_identity_box_averages_or_lanczos() -> None:
    picture = noise(24, 24, 3)
    assert fit(picture, 24) is not None
    np.testing.assert_array_equal(fit(picture, 24), picture)
    box = picture.reshape(6, 4, 6, 4, 3).mean(axis=(1, 3))
    assert np.abs(fit(picture, 6) - box).max() <= 0.5
    lanczos = Image.fromarray(picture).resize((16, 16), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(fit(picture, 16), np.asarray(lanczos))
    assert fit(noise(9, 9, 1), 4).shape == (4, 4, 1)


def test_grey_and_colour(tmp_path: Path) -> None:
    write_files(tmp_path / "folder", noise(2, 8, 8, 3))
    assert whole(open_images(str(tmp_path / "folder"), channels=1)).shape == (2, 8, 8, 1)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 8, 8)), "shape"),
        (np.zeros((4, 8, 8, 2), np.uint8), "shape"),
        (np.zeros((0, 8, 8, 3), np.uint8), "shape"),
        (np.zeros((2, 8, 9, 3), np.uint8), "not square"),
        (np.zeros((2, 8, 8, 3), np.int64), "int64"),
        (np.array([{}]), "not a NumPy array file of numbers"),
    ],
)
def test_arrays_that_are_no_pictures_are_a_sentence(
    tmp_path: Path, array: np.ndarray, words: str
) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(DatasetError, match=words):
        open_images(str(tmp_path / "a.npy"))


def test_other_things_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("words")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.png").write_text("words")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "dataset.json").write_text(json.dumps({"labels": []}))
    for name in ("none", "empty", "text.txt", "bad", "notes"):
        with pytest.raises(DatasetError):
            open_images(str(tmp_path / name))


def test_a_sample_stands_for_all(tmp_path: Path, faces: Dataset) -> None:
    np.save(tmp_path / "a.npy", noise(50, 8, 8, 3))
    sorted_ones = open_images(str(tmp_path / "a.npy"))
    drawn = sorted_ones.sample(20, seed=1)
    assert len(set(drawn)) == 20
    assert max(drawn) > 30  # not the first ones
    assert drawn == sorted_ones.sample(20, seed=1) != sorted_ones.sample(20, seed=2)
    assert list(open_images(str(faces.path)).sample(5, seed=1)) == [0, 1, 2, 3, 4]


def test_a_models_classes_are_drawn_as_often_as_in_training(tmp_path: Path) -> None:
    generator = small_generator(classes=2)
    save_model(tmp_path / "m.safetensors", generator, classes=("a", "b"), class_counts=(1, 3))
    found = open_images(str(tmp_path / "m.safetensors"), count=200, seed=50)
    labels = [int(found.name_of(number).endswith(" (b)")) for number in range(200)]
    assert 0.65 < np.mean(labels) < 0.85
    assert found.name_of(0) == f"seed 50 ({'ab'[labels[0]]})"
    points = torch.from_numpy(latents_of_seeds(range(50, 250), generator.latent_size))
    with torch.no_grad():
        expected = generator(points, torch.tensor(labels)).numpy()
    assert_pixels_of(generator, whole(found), expected)
    np.testing.assert_array_equal(found.read([7, 3]).pixels, whole(found)[[7, 3]])
