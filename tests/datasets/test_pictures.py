from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datasets import pictures
from datasets.errors import DatasetError
from tests.datasets.making import noise


def test_every_pixel_value_survives_the_way_to_the_network_and_back() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    images = values.astype(np.float32) / 127.5 - 1
    assert np.array_equal(pictures.to_uint8(images)[0, :, :, 0], values[0, 0])


def test_to_uint8_clips_rounds_and_moves_the_channels() -> None:
    images = np.zeros((1, 3, 1, 4), np.float64)
    images[0, 0, 0] = [-7, 7, np.nan, 0.0]
    images[0, 1, 0] = [0.00001, -0.00001, np.inf, -np.inf]
    result = pictures.to_uint8(images)
    assert result.shape == (1, 1, 4, 3)
    assert result[0, 0, :, 0].tolist() == [0, 255, 0, 128]
    assert result[0, 0, :, 1].tolist() == [128, 127, 255, 0]


@given(st.integers(1, 7), st.integers(1, 4), st.integers(0, 3))
def test_grid_has_each_picture_in_its_place(count: int, columns: int, gap: int) -> None:
    images = noise(count, 3, 2, 3)
    sheet = pictures.grid(images, columns, gap=gap, background=9)
    rows = -(-count // columns)
    assert sheet.shape == (rows * 3 + (rows - 1) * gap, columns * 2 + (columns - 1) * gap, 3)
    rest = sheet.astype(np.int64)
    for number, image in enumerate(images):
        y, x = number // columns * (3 + gap), number % columns * (2 + gap)
        assert np.array_equal(sheet[y : y + 3, x : x + 2], image)
        rest[y : y + 3, x : x + 2] = 9
    assert (rest == 9).all()


def test_zoom_makes_squares() -> None:
    image = noise(2, 3, 3)
    large = pictures.zoom(image, 4)
    assert large.shape == (8, 12, 3)
    for y, x in np.ndindex(8, 12):
        assert np.array_equal(large[y, x], image[y // 4, x // 4])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp"])
def test_saved_files_hold_the_picture(tmp_path: Path, channels: int, suffix: str) -> None:
    image = np.full((16, 16, channels), 40, np.uint8)
    image[:, 8:] = 200
    path = tmp_path / f"picture{suffix}"
    path.write_text("an older one")
    pictures.save(path, image)
    with Image.open(path) as read:
        grey = channels == 1 and suffix != ".webp"  # which knows no grey
        assert read.mode == ("L" if grey else "RGB")
        assert read.format == {".png": "PNG", ".webp": "WEBP"}.get(suffix, "JPEG")
        back = np.asarray(read.convert("L") if channels == 1 else read)
    back = back.reshape(image.shape).astype(int)
    assert np.abs(back - image).max() <= (0 if suffix in (".png", ".webp") else 3)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_jpeg_keeps_the_full_resolution_of_colours() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, ::2] = (255, 0, 0)
    image[:, 1::2] = (0, 0, 255)
    with Image.open(BytesIO(pictures.encode(image, "jpeg"))) as read:
        assert np.abs(np.asarray(read).astype(int) - image).max() < 60


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"picture\.bmp must end in \.png"):
        pictures.save(tmp_path / "picture.bmp", noise(4, 4, 3))
    assert list(tmp_path.iterdir()) == []


def test_a_side_that_a_format_cannot_hold_is_a_sentence(tmp_path: Path) -> None:
    long = np.zeros((1, 16384, 1), np.uint8)
    with pytest.raises(DatasetError, match="16384×1 pixels are too many for a WEBP file"):
        pictures.save(tmp_path / "picture.webp", long)
    assert list(tmp_path.iterdir()) == []
    pictures.save(tmp_path / "picture.jpg", long)


@pytest.mark.parametrize("channels", [1, 3])
def test_contact_sheet_shows_all_rows_at_one_height(channels: int) -> None:
    small, large = np.full((3, 4, 4, channels), 60, np.uint8), noise(3, 64, 64, channels)
    sheet = pictures.contact_sheet([("4 pixels", small), ("64 pixels", large)], height=32)
    assert sheet.shape[-1] == channels
    rows = np.flatnonzero((sheet == 60).sum(axis=(1, 2)) >= 3 * 32)
    assert len(rows) == 32  # The row of the small pictures, enlarged.
    pixels = sheet[rows]
    captioned = np.flatnonzero(np.any(pixels < 60, axis=(0, 2)))
    first = np.flatnonzero(np.all(pixels == 60, axis=(0, 2)))[0]
    assert 0 < captioned.min() < captioned.max() < first
