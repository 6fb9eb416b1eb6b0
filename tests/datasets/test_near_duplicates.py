"""Copies that are nearly the same are found, and other pictures are not."""

import csv
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from datasets import drawn
from datasets.__main__ import datasets as command
from datasets.framing import Framing, frame
from datasets.near_duplicates import find
from datasets.prepare import Summary, prepare
from datasets.pyramid import shrink
from datasets.sources import open_source
from tests.datasets.conftest import Program
from tests.datasets.making import Pixels, noise, write_dataset
from tests.test_photographs import FOLDER

Change = Callable[[Image.Image], Image.Image]


def recompressed(image: Image.Image, quality: int = 30) -> Image.Image:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def cropped(image: Image.Image, part: float) -> Image.Image:
    width, height = image.size
    edges = (width * part, height * part, width * (1 - part), height * (1 - part))
    return image.resize(image.size, Image.Resampling.LANCZOS, box=edges)


CHANGES: dict[str, Change] = {
    "recompressed": recompressed,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.85),
    "mirrored": ImageOps.mirror,
    "grey": lambda image: image.convert("L").convert("RGB"),
    "smaller": lambda image: image.reduce(2),
    "cropped": lambda image: cropped(image, 0.02),
    "all at once": lambda image: recompressed(
        ImageEnhance.Brightness(ImageOps.mirror(cropped(image, 0.015))).enhance(1.1)
    ),
}


def found(pictures: list[Pixels]) -> dict[int, int]:
    """Look among pictures of 32 pixels."""
    levels = [np.stack(level) for level in zip(*map(shrink, pictures), strict=True)]
    sides = {level.shape[1]: level for level in levels}
    return find(sides.__getitem__, range(len(pictures)))


@pytest.fixture(scope="module")
def faces() -> list[Pixels]:
    """Drawn at twice the size, so that something is lost by making them smaller."""
    return [drawn.draw(number, 64, seed=5) for number in range(24)]


def small(picture: Pixels | Image.Image) -> Pixels:
    return frame(np.array(picture), Framing(resolution=32))


@pytest.mark.parametrize("change", CHANGES)
def test_copies_of_drawn_faces_are_found(faces: list[Pixels], change: str) -> None:
    copies = [
        frame(np.array(CHANGES[change](Image.fromarray(face))), Framing(resolution=32))
        for face in faces
    ]
    count = len(faces)
    assert found([*map(small, faces), *copies]) == {count + row: row for row in range(count)}


def test_different_faces_are_not_found(faces: list[Pixels]) -> None:
    assert found([small(face) for face in faces]) == {}
    assert found([small(face) for face in faces[:1]]) == {}


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs photographs ({FOLDER})")
def test_copies_of_photographs_are_found_and_no_two_people_are() -> None:
    paths = sorted(FOLDER.glob("*.jpg"))[::12]
    framing = Framing(resolution=32, crop="top", upscale=True)
    originals, copies = [], []
    for number, path in enumerate(paths):
        image = Image.open(path).convert("RGB")
        change = list(CHANGES.values())[number % len(CHANGES)]
        originals.append(frame(np.array(image), framing))
        copies.append(frame(np.array(change(image).convert("RGB")), framing))
    count = len(paths)
    assert found([*originals, *copies]) == {count + row: row for row in range(count)}


def test_a_group_is_named_by_its_first_row_however_it_was_found(faces: list[Pixels]) -> None:
    one, other = small(faces[0]), small(faces[1])
    brighter = np.minimum(one.astype(int) + 20, 255).astype(np.uint8)
    mirrored = np.ascontiguousarray(one[:, ::-1])
    assert found([other, mirrored, one, brighter, other]) == {2: 1, 3: 1, 4: 0}


def test_a_thousand_copies_are_one_group(faces: list[Pixels]) -> None:
    """Comparing each with each would take long."""
    face = small(faces[0]).astype(int)
    copies = [
        np.clip(face + np.random.default_rng(row).integers(-3, 4, face.shape), 0, 255)
        for row in range(1200)
    ]
    pictures = [copy.astype(np.uint8) for copy in copies]
    assert found(pictures) == dict.fromkeys(range(1, 1200), 0)


def test_what_shows_nothing_resembles_nothing() -> None:
    flat = [np.full((32, 32, 3), value, np.uint8) for value in (0, 90, 91, 255)]
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = 255  # Gone at 16 pixels.
    assert found([*flat, stripes, stripes, noise(32, 32, 3)]) == {}


def test_the_same_in_other_colours_is_another_picture(faces: list[Pixels]) -> None:
    face = small(faces[0])
    swapped = np.ascontiguousarray(face[..., ::-1])
    as_bright = face.astype(int) @ [299, 587, 114] - swapped.astype(int) @ [299, 587, 114]
    recoloured = np.clip(swapped + as_bright[..., None] // 1000, 0, 255).astype(np.uint8)
    assert found([face, recoloured]) == {}


def test_grey_datasets_are_looked_through_too(faces: list[Pixels]) -> None:
    grey = [frame(face, Framing(resolution=32, channels=1)) for face in faces]
    copies = [np.ascontiguousarray(picture[:, ::-1]) for picture in grey]
    count = len(grey)
    assert found([*grey, *copies]) == {count + row: row for row in range(count)}


def prepared(folder: Path, path: Path, *, resolution: int = 32, held_out: float = 0.4) -> Summary:
    return prepare(
        open_source(str(folder), resolution=resolution, channels=3, seed=0),
        path,
        framing=Framing(resolution=resolution),
        source_name="photographs",
        held_out=held_out,
        seed=0,
        workers=1,
    )


@pytest.fixture
def photographs(tmp_path: Path, faces: list[Pixels]) -> Path:
    """24 faces, 12 of them again as a copy, one of these with the same bytes."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number, face in enumerate(faces):
        Image.fromarray(face).save(folder / f"{number:02d}.png")
        if 0 < number < 12:
            ImageOps.mirror(Image.fromarray(face)).save(folder / f"{number:02d}-copy.png")
    (folder / "00-copy.png").write_bytes((folder / "00.png").read_bytes())
    return folder


def test_a_dataset_lists_them_and_holds_them_out_together(
    tmp_path: Path, photographs: Path, program: Program
) -> None:
    dataset = prepared(photographs, tmp_path / "d").dataset
    near = dataset.near_duplicates()
    assert near is not None
    assert len(near) == 11
    sides = {"together": 0, "trained": 0}
    for row, origin in near.items():
        assert origin < row
        assert dataset.names[row][:2] == dataset.names[origin][:2]
        assert dataset.entries[row].split == dataset.entries[origin].split
        sides["together" if dataset.entries[row].split == "held-out" else "trained"] += 1
    assert min(sides.values()) > 0
    assert dataset.description.held_out == round(0.4 * 36)
    with (tmp_path / "d" / "near-duplicates.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    assert lines == [["row", "near_duplicate_of"], *([str(a), str(b)] for a, b in near.items())]
    assert (
        "duplicates:   1 exact, 11 nearly the same"
        in program(command, "describe", tmp_path / "d").out
    )
    assert dataset.verify() == []
    path = tmp_path / "d" / "near-duplicates.csv"
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n"))
    assert dataset.verify() == [f"{path} is not as it was written."]


def test_below_32_pixels_nobody_looks(tmp_path: Path, photographs: Path, program: Program) -> None:
    dataset = prepared(photographs, tmp_path / "d", resolution=16).dataset
    assert dataset.near_duplicates() is None
    assert not (tmp_path / "d" / "near-duplicates.csv").exists()
    assert "near ones not looked for" in program(command, "describe", tmp_path / "d").out


def test_what_is_looked_for_changes_no_dataset_without_any(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", hashes=[1, 2, 3, 4])
    assert dataset.near_duplicates() is None
    assert dataset.verify() == []
