"""Every file that looks like a picture is used or listed, exactly once."""

import io
import os
import struct
import zipfile
from pathlib import Path

import fsspec
import pytest
from PIL import Image

from datasets import index
from datasets.errors import DatasetError, UnusableError
from datasets.pyramid import Dataset
from datasets.sources.selection import GLANCES_ELSEWHERE, Selection
from datasets.sources.signatures import RAW_REASON, kind_of
from tests.datasets.making import file_bytes, noise
from tests.datasets.sources import making
from tests.datasets.sources.conftest import Prepare
from tests.datasets.sources.making import opened


def png(seed: int) -> bytes:
    return making.png(noise(8, 8, 3, seed=seed))


# What a Mac writes beside x.png: a mark, a version, 16 bytes for nothing, and no entries.
DOUBLE = b"\0\5\x16\7\0\2\0\0" + b"Mac OS X        " + bytes(50)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
RAW = b"II*\0" + bytes(200)  # Begins as a TIFF file, as most of them do.

USED = {
    "a.jpg": file_bytes(noise(8, 8, 3, seed=1), "JPEG"),
    "folder/b": png(2),
    "Mr. Smith": png(3),
    "IMG.0001": png(4),
    "photo.jpg?size=large": png(5),
    "c.JPG ": png(6),
    "d.mpo": file_bytes(
        Image.fromarray(noise(8, 8, 3, seed=7)), "MPO", save_all=True,
        append_images=[Image.fromarray(noise(8, 8, 3, seed=8))],
    ),
    "e.orf": png(9),  # Named by mistake.
    "f.nef": png(10),
    "g.ppm": png(11),
}  # fmt: skip
LISTED = {
    "h.heic": b"no",
    "i.HIF": b"no",
    "j.avif": b"no",
    "k": HEIC,
    "l.dng": RAW,
    "m.cr3": b"\0\0\0\x18ftypcrx " + bytes(200),
    "n.RW2": b"IIU\0" + bytes(200),
    "o.raf": b"FUJIFILMCCD-RAW" + bytes(200),
    "p.tif": b"II*\0\x10\0\0\0CR\2\0" + bytes(200),  # Canon's raw file
    "q.ppm": b"P6 1 1 255 abc",
    "r.jpg.part": png(12),
    "s.jpg_original": png(13),
    ".t.jpg": png(14),
    ".u": png(15),
    ".jpg": png(16),
    "._v.jpg": png(17),  # A picture for all its name.
    ".thumbnails/w.png": png(18),
    "__MACOSX/x.jpg": png(19),
    "empty.jpg": b"",
}
NONE = {
    "._a.jpg": DOUBLE,
    "__MACOSX/folder/._b.png": DOUBLE,
    ".DS_Store": b"\0\0\0\1Bud1" + bytes(50),
    "notes": b"BMW and others",
    "README": b"words",
    "film": b"\0\0\0\x18ftypisom\0\0\0\0avc1heic" + bytes(50),
    "text.txt": png(20),
    "empty": b"",
    "table.csv": b"name,class\n",
    ".thumbnails/notes": b"words",
}
FILES = USED | LISTED | NONE


def write(kind: str, place: Path) -> Path:
    if kind == "zip":
        return making.write_zip(place, FILES)
    if kind == "bzip2":
        return making.write_zip(place, FILES, zipfile.ZIP_BZIP2)
    if kind == "tar":
        return making.write_tar(place, FILES)
    for name, data in FILES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def accounted(made: Dataset) -> tuple[set[str], dict[str, str]]:
    skipped = index.read_skipped(made.path / "skipped.csv")
    names = [*made.names, *(name for name, _ in skipped)]
    assert len(names) == len(set(names))
    return set(made.names), dict(skipped)


@pytest.mark.parametrize("kind", ["folder", "zip", "bzip2", "tar"])
def test_every_file_is_accounted_for(tmp_path: Path, prepared: Prepare, kind: str) -> None:
    used, skipped = accounted(prepared(write(kind, tmp_path / "in")))
    assert used == set(USED)
    assert set(skipped) == set(LISTED)
    for name in ("l.dng", "m.cr3", "n.RW2", "o.raf", "p.tif"):
        assert skipped[name] == RAW_REASON
    assert "hidden" in skipped[".t.jpg"]
    assert "hidden" in skipped[".thumbnails/w.png"]
    assert "rename" in skipped["r.jpg.part"]
    assert ".ppm" in skipped["q.ppm"]


def test_what_is_passed_over_does_not_move_the_rows(tmp_path: Path, prepared: Prepare) -> None:
    for name, more in (("one", {}), ("two", {n: d for n, d in LISTED.items() if n[0] in "._no"})):
        files = {f"{n}.png": png(n) for n in range(12)} | more
        making.write_zip(tmp_path / f"{name}.zip", files)
    one = prepared(tmp_path / "one.zip", "--held-out", 0.3, name="one")
    two = prepared(tmp_path / "two.zip", "--held-out", 0.3, name="two")
    assert one.entries == two.entries
    assert len(index.read_skipped(two.path / "skipped.csv")) > 5


def test_a_source_of_which_all_is_passed_over(tmp_path: Path) -> None:
    place = making.write_zip(tmp_path / "a.zip", {".a.jpg": png(0), "b.raf": b"FUJIFILMCCD-RAW"})
    with pytest.raises(DatasetError, match=r"of 2 the first, \.a\.jpg: hidden"):
        opened(place)


def test_pipes_and_locked_files_without_a_suffix_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "a.png").write_bytes(png(0))
    assert list(opened(tmp_path).names) == ["a.png"]


def test_what_files_begin_with() -> None:
    for format in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"):
        assert kind_of(file_bytes(Image.fromarray(noise(8, 8)), format)[:32]) == format.lower()
    big = io.BytesIO()
    Image.fromarray(noise(8, 8)).save(big, "TIFF", big_tiff=True)
    assert kind_of(big.getvalue()[:32]) == "tiff"
    assert kind_of(HEIC[:32]) == "heif"
    assert kind_of(HEIC.replace(b"heic", b"avif", 1)[:32]) == "heif"
    for data in (b"", b"BM", b"BMP is a format of Microsoft's, of which", b"RIFF\0\0\0\0WAVE"):
        assert kind_of(data) is None


def test_an_archive_elsewhere_is_looked_into_a_hundred_times_at_most(
    capsys: pytest.CaptureFixture[str],
) -> None:
    system = fsspec.filesystem("memory")
    for n in range(GLANCES_ELSEWHERE + 3):
        system.pipe(f"/many/{n:04d}", png(n))
        system.pipe(f"/many/._{n:04d}.png", DOUBLE)
    system.pipe("/many/a.png", png(0))
    try:
        source = opened("memory://many")
        assert len(source.names) == GLANCES_ELSEWHERE + 1
        assert source.passed_over == ()
        assert "Warning: 3 files" in capsys.readouterr().err
    finally:
        system.store.clear()


def test_backslashes_are_letters_in_the_names_of_files(tmp_path: Path) -> None:
    names = ["n\\.png", "n\\.x\\1.png", "__MACOSX\\2.png"]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(png(number))
    source = opened(tmp_path)
    assert sorted(source.names) == sorted(names)
    assert source.passed_over == ()


def test_a_picture_without_a_name_is_listed(tmp_path: Path) -> None:
    members = [making.Member(name=name, data=png(n)) for n, name in enumerate((b"", b"a.png"))]
    (tmp_path / "a.zip").write_bytes(making.zip_of(members))
    source = opened(tmp_path / "a.zip")
    assert list(source.names) == ["a.png"]
    assert source.passed_over == (("", "without a name"),)


def test_names_without_end_are_listed_cut() -> None:
    selection = Selection()
    assert not selection.takes("a" * 5000 + ".png", lambda: b"")
    ((name, reason),) = selection.listed()
    assert name == "a" * 4096
    assert "4096" in reason


# Folders and links to them


def test_a_folder_has_its_own_name_and_not_that_of_a_link(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for name in ("portraits/1.png", "zebras/2.png", "z/deep/er/3.png", "zoo/.store/4.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(int(name[-5])))
    (tmp_path / "outside" / "inner").mkdir(parents=True)
    (tmp_path / "outside" / "inner" / "5.png").write_bytes(png(5))
    (root / "animals").symlink_to("zebras")
    (root / "a").symlink_to(root / "z" / "deep")
    (root / "b").mkdir()
    (root / "b" / "c").symlink_to(root)
    # Two links to what lies elsewhere: the first in order gives the name.
    (root / "m").symlink_to(tmp_path / "outside")
    (root / "n").symlink_to(tmp_path / "outside")
    # What is hidden is seen through a link.
    (root / "y").symlink_to(root / "zoo" / ".store")
    (tmp_path / "outside" / "back").symlink_to(root)
    source = opened(root, "folders")
    found = {name: source.class_of(item) for item, name in enumerate(source.names)}
    assert found == {
        "m/inner/5.png": "m", "portraits/1.png": "portraits", "y/4.png": "y",
        "z/deep/er/3.png": "z", "zebras/2.png": "zebras",
    }  # fmt: skip
    assert source.passed_over == ()


def test_a_database_has_its_own_name_and_not_that_of_a_link(tmp_path: Path) -> None:
    making.write_lmdb(tmp_path / "in" / "zoo_train_lmdb", {b"1": png(1)})
    (tmp_path / "in" / "animals_train_lmdb").symlink_to("zoo_train_lmdb")
    source = opened(tmp_path / "in", "labels")
    assert list(source.names) == ["zoo_train_lmdb/1"]
    assert source.class_of(0) == "zoo"


def test_reading_a_raw_file_does_not_give_its_preview(tmp_path: Path) -> None:
    preview = file_bytes(Image.fromarray(noise(8, 8, 3)), "TIFF")
    assert preview[:2] == b"II"
    assert struct.unpack_from("<H", preview, 2) == (42,)
    for name in ("a.nef", "b.tif"):
        (tmp_path / name).write_bytes(preview)
    source = opened(tmp_path)
    with pytest.raises(UnusableError, match="raw file"):
        source.load(0)
    assert source.load(1) == preview
