"""Zip archives: read in place, and hostile ones do nothing."""

import pickle
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import DatasetError, UnusableError
from datasets.framing import Framing
from datasets.prepare import prepare
from datasets.sources import Annotated, open_source
from datasets.sources.classes import find_classes
from datasets.sources.files import LocalFile
from datasets.sources.zips import Contents, Zip
from datasets.sources.zips import open_zip as open_contents
from tests.datasets.making import file_bytes, noise, write_photographs

LIMIT = 10_000


def open_zip(path: Path, *, most_bytes: int) -> Zip:
    return open_contents(Contents(LocalFile(path)), most_bytes=most_bytes)


def write(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_pictures_are_found_in_order_with_their_classes(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.zip",
        {
            "dogs/2.PNG": b"two", "cats/1.jpg": b"one", "notes.txt": b"", "loose.png": b"three",
            "__MACOSX/cats/._1.jpg": b"", ".hidden/x.png": b"", "dogs/": b"",
        },
    )  # fmt: skip
    found = open_zip(path, most_bytes=LIMIT)
    source = Annotated(found, classes=find_classes(found, "a.zip", "folders", None))
    assert source.names == ("cats/1.jpg", "dogs/2.PNG", "loose.png")
    assert [source.load(item) for item in range(3)] == [b"one", b"two", b"three"]
    assert [source.class_of(item) for item in range(2)] == ["cats", "dogs"]
    with pytest.raises(UnusableError, match="has no class"):
        source.class_of(2)
    assert pickle.loads(pickle.dumps(source)).load(0) == b"one"


def test_a_source_may_be_an_archive_whatever_it_is_called(tmp_path: Path) -> None:
    path = write(tmp_path / "faces.cbz", {"1.png": file_bytes(noise(8, 8, 3))})
    source = open_source(str(path), resolution=8, channels=3, seed=0)
    assert list(source.names) == ["1.png"]


@pytest.mark.parametrize("name", ["../../evil.png", "/evil.png", "C:\\evil.png", "a\\..\\b.png"])
def test_names_are_labels_and_never_paths(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    path = write(tmp_path / "in" / "a.zip", {name: b"x"})
    before = sorted(tmp_path.rglob("*"))
    source = open_zip(path, most_bytes=LIMIT)
    assert source.load(0) == b"x"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bomb_is_read_no_further_than_is_allowed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"bomb.png": bytes(50_000_000)})
    assert path.stat().st_size < 100_000
    source = open_zip(path, most_bytes=LIMIT)
    tracemalloc.start()
    try:
        with pytest.raises(UnusableError, match="larger than"):
            source.load(0)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_encrypted_members_are_unusable(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"1.png": b"x" * 100}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag in the local header
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    path.write_bytes(data)
    with pytest.raises(UnusableError, match="encrypted"):
        open_zip(path, most_bytes=LIMIT).load(0)


@pytest.mark.parametrize("data", [b"", b"PK", b"not an archive", b"\0" * 1000])
def test_what_is_no_archive_is_a_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DatasetError, match="not a zip archive"):
        open_zip(tmp_path / "a.zip", most_bytes=LIMIT)


def test_an_archive_without_pictures_is_a_sentence(tmp_path: Path) -> None:
    write(tmp_path / "a.zip", {"readme.txt": b""})
    with pytest.raises(DatasetError, match="holds no pictures"):
        open_zip(tmp_path / "a.zip", most_bytes=LIMIT)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_archives_give_sentences_only(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    members = {"1.png": file_bytes(noise(8, 8, 3)), "b/2.jpg": bytes(300)}
    path = write(tmp_path_factory.mktemp("zip") / "a.zip", members)
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        source = open_zip(path, most_bytes=LIMIT)
    except DatasetError as error:
        assert str(path) in str(error)
        return
    for item in range(len(source.names)):
        try:
            assert len(source.load(item)) <= LIMIT
        except UnusableError as error:
            assert str(error)


def test_an_archive_gives_the_dataset_that_its_folder_gives(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    write_photographs(folder, 6)
    members = {path.name: path.read_bytes() for path in folder.iterdir()}
    archive = write(tmp_path / "a.zip", members)
    for source, workers in ((folder, 1), (archive, 2)):
        prepare(
            open_source(str(source), resolution=8, channels=3, seed=0),
            tmp_path / f"from-{source.name}",
            framing=Framing(resolution=8),
            source_name="photographs",
            held_out=0.2,
            seed=0,
            workers=workers,
        )
    one, other = ({p.name: p.read_bytes() for p in (tmp_path / f"from-{name}").iterdir()}
                  for name in ("folder", "a.zip"))  # fmt: skip
    assert one == other
