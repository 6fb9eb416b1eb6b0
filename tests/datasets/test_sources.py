import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.drawn import Face
from datasets.drawn.painting import paint
from datasets.errors import DatasetError, UnusableError
from datasets.sources import Source, open_source


def opened(path: Path | str, classes: str | None = None, **options: Any) -> Source:
    settings: dict[str, Any] = {"resolution": 8, "channels": 3, "seed": 0} | options
    return open_source(str(path), classes=classes, **settings)


def fill(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def test_a_folder_is_searched_in_order_and_hidden_things_are_not(tmp_path: Path) -> None:
    fill(
        tmp_path,
        *("b.jpg", "a/2.JPEG", "a/1.png", "a/b/c.WebP", "c.bmp", "d.tif", "e.TIFF"),
        *(".hidden.jpg", ".thumbnails/x.jpg", "a/.x/y.png", "notes.txt", "film.mp4", "jpg"),
    )
    source = opened(tmp_path)
    expected = ("a/1.png", "a/2.JPEG", "a/b/c.WebP", "b.jpg", "c.bmp", "d.tif", "e.TIFF")
    assert tuple(source.names) == expected
    assert [source.load(item) for item in range(7)] == [name.encode() for name in expected]
    assert {source.class_of(item) for item in range(7)} == {None}
    assert pickle.loads(pickle.dumps(source)) == source


def test_first_level_folders_are_classes_and_loose_pictures_have_none(tmp_path: Path) -> None:
    fill(tmp_path, "cats/1.png", "cats/kittens/2.png", "dogs/3.png", "loose.png")
    source = opened(tmp_path, "folders")
    assert [source.class_of(item) for item in range(3)] == ["cats", "cats", "dogs"]
    with pytest.raises(UnusableError, match="has no class"):
        source.class_of(3)


def test_links_in_a_circle_end_and_linked_folders_are_read(tmp_path: Path) -> None:
    root = tmp_path / "photographs"
    fill(tmp_path, "photographs/a/1.png", "elsewhere/2.png")
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a")
    (root / "other").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    assert tuple(opened(root).names) == ("a/1.png", "other/2.png")


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere")
    with (tmp_path / "vast.png").open("wb") as file:
        file.truncate(2**30 + 1)
    source = opened(tmp_path)
    assert tuple(source.names) == ("broken.png", "pipe.png", "vast.png")
    with pytest.raises(FileNotFoundError):
        source.load(0)
    with pytest.raises(UnusableError, match="not a regular file"):
        source.load(1)
    with pytest.raises(UnusableError, match="larger than 1 GiB"):
        source.load(2)


def test_folders_that_cannot_be_listed_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "lost/1.png", "2.png")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "lost":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    # In place of permissions, which do not bind the superuser that tests may run as.
    monkeypatch.setattr("os.scandir", refuse)
    source = opened(tmp_path)
    assert tuple(source.names) == ("2.png", "lost")
    with pytest.raises(UnusableError, match="a folder that cannot be read"):
        source.load(1)


def test_a_source_that_is_none(tmp_path: Path) -> None:
    fill(tmp_path, "notes.txt")
    with pytest.raises(DatasetError, match="not a zip archive"):
        opened(tmp_path / "notes.txt")
    for text in (tmp_path / "nowhere", ""):
        with pytest.raises(DatasetError, match="is not a folder"):
            opened(text)
    with pytest.raises(DatasetError, match="holds no pictures"):
        opened(tmp_path)


def test_drawn_faces() -> None:
    source = opened("drawn:3", resolution=16, channels=1, seed=5)
    faces = [source.load(item) for item in range(len(source.names))]
    assert len(set(source.names)) == 3
    assert all(isinstance(face, np.ndarray) and face.shape == (16, 16, 1) for face in faces)
    assert not np.array_equal(faces[0], faces[1])
    assert not np.array_equal(faces[0], opened("drawn:3", resolution=16, channels=1).load(0))


@pytest.mark.parametrize("text", ["drawn:", "drawn:0", "drawn:-3", "drawn:many", "drawn:1e3"])
def test_numbers_of_faces_that_are_none(text: str) -> None:
    with pytest.raises(DatasetError, match="write drawn:N"):
        opened(text)


def test_drawn_faces_have_limits() -> None:
    with pytest.raises(DatasetError, match="--resolution"):
        opened("drawn:3", resolution=512)
    with pytest.raises(DatasetError, match="--classes"):
        opened("drawn:3", "folders")


def test_drawn_faces_are_classed_by_their_glasses() -> None:
    source = opened("drawn:400", "labels", resolution=32, seed=3)
    classes = [source.class_of(item) for item in range(400)]
    assert set(classes) == {"glasses", "no glasses"}
    assert 0.17 < classes.count("glasses") / 400 < 0.28
    # Seen in the pictures themselves: the very same face without its glasses is another picture
    # exactly where the class says that there are some.
    for item in range(24):
        face = Face.random(3, item)
        bare = paint(replace(face, glasses=0.0), 64).reshape(3, 32, 2, 32, 2).mean(axis=(2, 4))
        drawn = np.asarray(source.load(item)).transpose(2, 0, 1) / 255
        assert (np.abs(drawn - bare).max() > 0.05) == (classes[item] == "glasses")
    assert source.labels is not None
    assert list(source.labels[5:9]) == classes[5:9]
    assert source.labels[-1] == classes[399]
    with pytest.raises(IndexError):
        source.labels[400]
    assert pickle.loads(pickle.dumps(source)).class_of(7) == classes[7]
