"""Image files of any shape are brought to a dataset's size, or are told of."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.pyramid import Dataset
from tests.tools.conftest import Tool
from tests.tools.making import Pixels, write_pixels
from tools.images import Images, open_images


def save(path: Path, picture: Pixels) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(picture).save(path)


def larger(picture: Pixels, times: int) -> Pixels:
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def whole(images: Images) -> Pixels:
    return np.concatenate([batch.pixels for batch in images.batches()])


def cropped_so(dataset: Dataset, crop: str) -> Dataset:
    """The same dataset, had its photographs been cropped in another way."""
    dataset.description = replace(dataset.description, framing={"crop": crop, "upscale": False})
    return dataset


@pytest.fixture
def pictures() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3)).astype(np.uint8)


@pytest.fixture
def data(tmp_path: Path, pictures: Pixels) -> Dataset:
    return write_pixels(tmp_path / "data", pictures)


def test_squares_of_one_size_stay_as_they_are(tmp_path: Path, data: Dataset) -> None:
    many = np.random.default_rng(1).integers(0, 256, (3, 20, 20, 3)).astype(np.uint8)
    for number, picture in enumerate(many):
        save(tmp_path / "folder" / f"{number}.png", picture)
    np.testing.assert_array_equal(whole(open_images(str(tmp_path / "folder"), like=data)), many)


def test_other_sizes_are_brought_to_the_datasets(
    tmp_path: Path, data: Dataset, pictures: Pixels
) -> None:
    for number, picture in enumerate(pictures):
        save(tmp_path / "folder" / f"{number:02d}.png", larger(picture, 1 + number % 2 * 3))
    found = open_images(str(tmp_path / "folder"), like=data)
    assert found.resolution == 16
    np.testing.assert_array_equal(whole(found), pictures)


@pytest.mark.parametrize(("sizes", "side"), [((9, 9, 9, 40), 8), ((9, 40, 40, 40), 16)])
def test_the_size_is_one_that_half_of_them_reach(
    tmp_path: Path, data: Dataset, sizes: tuple[int, ...], side: int
) -> None:
    for number, size in enumerate(sizes):
        save(tmp_path / "folder" / f"{number}.png", np.zeros((size, size, 3), np.uint8))
    assert open_images(str(tmp_path / "folder"), like=data).resolution == side


@pytest.mark.parametrize(
    ("crop", "left", "top"), [("centre", 8, 0), ("top", 8, 0), ("3,0,32", 3, 0), ("0,9,99", 8, 0)]
)
def test_wide_pictures_are_cropped_as_the_datasets_were(
    tmp_path: Path, data: Dataset, pictures: Pixels, crop: str, left: int, top: int
) -> None:
    for number, picture in enumerate(pictures):
        canvas = np.zeros((32, 48, 3), np.uint8)
        canvas[top : top + 32, left : left + 32] = larger(picture, 2)
        save(tmp_path / "folder" / f"{number:02d}.png", canvas)
    found = open_images(str(tmp_path / "folder"), like=cropped_so(data, crop))
    np.testing.assert_array_equal(whole(found), pictures)


@pytest.mark.parametrize(("crop", "top"), [("centre", 8), ("top", 0), ("0,5,32", 5)])
def test_high_pictures_are_cropped_as_the_datasets_were(
    tmp_path: Path, data: Dataset, pictures: Pixels, crop: str, top: int
) -> None:
    for number, picture in enumerate(pictures):
        canvas = np.zeros((48, 32, 3), np.uint8)
        canvas[top : top + 32] = larger(picture, 2)
        save(tmp_path / "folder" / f"{number:02d}.png", canvas)
    found = open_images(str(tmp_path / "folder"), like=cropped_so(data, crop))
    np.testing.assert_array_equal(whole(found), pictures)


def test_crops_around_faces_are_told_of_where_pictures_are_not_square(
    tmp_path: Path, data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = cropped_so(data, "face")
    save(tmp_path / "square" / "1.png", np.zeros((20, 20, 3), np.uint8))
    open_images(str(tmp_path / "square"), like=faces)
    assert capsys.readouterr().err == ""
    save(tmp_path / "wide" / "1.png", np.zeros((20, 30, 3), np.uint8))
    open_images(str(tmp_path / "wide"), like=faces)
    assert "was cropped around faces, and of" in capsys.readouterr().err


def test_copies_of_any_size_are_found(tool: Tool, tmp_path: Path, faces: Dataset) -> None:
    copies = np.asarray(faces.level(4)[faces.rows("train")[:9]])
    for number, picture in enumerate(copies):
        canvas = larger(picture, 1 + number % 3)
        if number % 2:
            border = np.full((3, canvas.shape[1], 3), 128, np.uint8)
            canvas = np.concatenate([border, canvas, border])
        save(tmp_path / "folder" / f"{number}.png", canvas)
    (tmp_path / "folder" / "bad.png").write_bytes(b"no picture")
    ended = tool("neighbours", "folder", faces.path, "report", "--features", "pixels")
    assert ended.status == 0, ended.err
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["summary"]["images"] == 9
    assert all(image["flagged"] for image in report["images"])
