"""Mistakes of a first day: one sentence each, before any work."""

import errno
import os
from pathlib import Path

import pytest

from datasets.__main__ import datasets
from datasets.landing import landing
from datasets.pyramid import Dataset
from tests.datasets.conftest import Program
from tests.datasets.making import file_bytes, noise, write_dataset, write_photographs
from tests.datasets.sources.making import write_zip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_photographs(tmp_path / "photos", 3)
    write_zip(tmp_path / "photos.zip", {"1.png": file_bytes(noise(8, 8, 3))})
    (tmp_path / "notes.txt").write_text("not pictures")
    (tmp_path / "renamed").write_bytes(file_bytes(noise(8, 8, 3), "JPEG"))
    # An archive that a listing would find damaged.
    (tmp_path / "damaged.tar").write_bytes(b"\0" * 512 + b"x" * 512)


def everything() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("words", "status", "sentences"),
    [
        (["out", "photos"], 1, ["out does not exist", "prepare photos out"]),
        (["out", "photos.zip"], 1, ["out does not exist", "prepare photos.zip out"]),
        (["out", "drawn:9"], 1, ["prepare drawn:9 out"]),
        (["out", "photos", "--overwrite"], 1, ["prepare photos out"]),
        (["photos/000.png", "out"], 1, ["000.png is a single picture", "in: photos"]),
        (["renamed", "out"], 1, ["renamed is a single picture"]),
        (["photos/000.png", "photos/001.png"], 1, ["is a single picture", "in: photos"]),
        (
            ["photos/000.png", "photos/001.png", "photos/002.png", "out"],
            2,
            ["3 pictures were given", "give the folder itself: photos and then DATASET"],
        ),
        (["my", "holiday", "photos", "out"], 2, ["4 were given", "quotation marks"]),
        (["notes.txt", "out"], 1, ["notes.txt is not a zip archive or tar archive"]),
        (["photos", "photos"], 1, ["photos exists already"]),
        (["photos", "photos", "--overwrite"], 1, ["holds other things than a dataset"]),
        (["photos", "no/out"], 1, ["no is not a folder; make it first"]),
        (["damaged.tar", "photos"], 1, ["photos exists already"]),
        (["damaged.tar", "no/out"], 1, ["no is not a folder"]),
        (["damaged.tar", "out", "--classes", "no.csv"], 1, ["--classes no.csv", "no such file"]),
        (["photos", "out", "--resolution", "0"], 2, ["--resolution"]),
        (["photos", "out", "--resolution", "-64"], 2, ["--resolution"]),
        (["photos", "out", "--workers", "-1"], 2, ["--workers"]),
        (["photos", "out", "--held-out", "-0.1"], 2, ["--held-out"]),
        (["photos", "out", "--crop", "1,2,0"], 2, ["--crop", "neither centre"]),
        (["drawn:0", "out"], 1, ["write drawn:N"]),
        (["drawn:-4", "out"], 1, ["write drawn:N"]),
    ],
)
def test_each_gets_the_sentence_that_helps(
    program: Program, words: list[str], status: int, sentences: list[str]
) -> None:
    before = everything()
    given = words if "--resolution" in words else [*words, "--resolution", "8"]
    ended = program(datasets, "prepare", *given)
    assert ended.status == status, ended.err
    for sentence in sentences:
        assert sentence in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""
    assert everything() == before
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


def test_a_dataset_in_the_place_of_source_is_seen(program: Program, tmp_path: Path) -> None:
    write_dataset(tmp_path / "d", hashes=[1, 2])
    swapped = program(datasets, "prepare", "d", "photos", "--resolution", 8)
    assert swapped.status == 1
    assert "d is a dataset already" in swapped.err
    assert "prepare photos d" in swapped.err
    alone = program(datasets, "prepare", "d", "new", "--resolution", 8)
    assert "python -m datasets export d FOLDER" in alone.err


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything may be written")
def test_a_place_that_cannot_be_written_is_refused(program: Program) -> None:
    Path("locked").mkdir(mode=0o500)
    ended = program(datasets, "prepare", "damaged.tar", "locked/out", "--resolution", 8)
    assert (ended.status, "locked cannot be written to" in ended.err) == (1, True)


def test_center_is_centre(program: Program) -> None:
    for spelling in ("center", "centre"):
        ended = program(
            datasets, "prepare", "photos", spelling, "--resolution", 8, "--crop", spelling
        )
        assert ended.status == 0, ended.err
    american, english = Dataset.open("center"), Dataset.open("centre")
    assert american.description.framing["crop"] == "centre"
    assert american.description.text() == english.description.text()


# Names that users never gave.


@pytest.mark.parametrize("named", [True, False])
def test_errors_name_the_place_and_not_the_temporary_one(tmp_path: Path, named: bool) -> None:
    final = tmp_path / "out.bin"
    with pytest.raises(OSError) as caught, landing(final) as temporary:
        name = (str(temporary),) if named else ()
        raise OSError(errno.ENOSPC, "No space left on device", *name)
    assert caught.value.filename == str(final)
    with pytest.raises(OSError) as caught, landing(final) as temporary:
        inner = str(temporary / "inner")
        raise OSError(errno.EXDEV, "Invalid cross-device link", "/x", None, inner)
    assert (caught.value.filename, caught.value.filename2) == (str(final), None)
    with pytest.raises(OSError) as caught, landing(final):
        raise FileNotFoundError(errno.ENOENT, "No such file", "/elsewhere")
    assert caught.value.filename == "/elsewhere"


def test_other_unfinished_work_is_named_by_its_place(program: Program, tmp_path: Path) -> None:
    from datasets.unfinished import Kept, unfinished

    with pytest.raises(KeyboardInterrupt), unfinished(tmp_path / "out", command={"x": 1}) as work:
        work.note(Kept("0" * 64, None))
        work.checkpoint([])
        raise KeyboardInterrupt
    ended = program(datasets, "prepare", "photos", "out", "--resolution", 8)
    assert ended.status == 1
    assert "unfinished work towards" in ended.err
    assert ".unfinished" not in ended.err
    assert "--overwrite" in ended.err
