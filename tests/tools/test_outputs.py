import re
from pathlib import Path

import pytest

from datasets.errors import DatasetError
from tests.tools.making import names
from tools.outputs import landing_file, landing_folder

OURS = re.compile(r"face\d\.png")


def write_folder(out: Path, *, overwrite: bool) -> None:
    with landing_folder(out, overwrite=overwrite, ours=OURS) as folder:
        (folder / "face9.png").write_text("new")


def older_folder(path: Path) -> Path:
    path.mkdir()
    (path / "face1.png").write_text("old")
    (path / "face2.png").write_text("old")
    return path


def test_a_file_lands_and_replaces_only_when_told(tmp_path: Path) -> None:
    out = tmp_path / "out.bin"
    for text, overwrite in (("one", False), ("two", True)):
        with landing_file(out, overwrite=overwrite) as path:
            path.write_text(text)
        assert out.read_text() == text
    taken = pytest.raises(DatasetError, match=r"exists already; .*--overwrite")
    with taken, landing_file(out, overwrite=False):
        raise AssertionError("The work must not begin.")
    assert (names(tmp_path), out.read_text()) == (["out.bin"], "two")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_never_takes_the_place_of_a_folder(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "out").mkdir()
    refused = pytest.raises(DatasetError, match=r"out is a folder|out exists")
    with refused, landing_file(tmp_path / "out", overwrite=overwrite):
        raise AssertionError("The work must not begin.")
    assert names(tmp_path) == ["out"]


def test_a_file_that_cannot_be_written_is_known_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    # (The tests may run as root, whom no permissions stop.)
    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(PermissionError), landing_file(tmp_path / "out", overwrite=False):
        raise AssertionError("The work must not begin.")
    assert names(tmp_path) == []


def test_an_older_folder_of_the_same_kind_gives_way(tmp_path: Path) -> None:
    older_folder(tmp_path / "out")
    (tmp_path / "out" / ".DS_Store").write_text("what a system puts there")
    with pytest.raises(DatasetError, match=r"exists already; .*--overwrite"):
        write_folder(tmp_path / "out", overwrite=False)
    write_folder(tmp_path / "out", overwrite=True)
    assert names(tmp_path / "out") == ["face9.png"]
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "empty", overwrite=True)
    assert names(tmp_path) == ["empty", "out"]


@pytest.mark.parametrize(
    "stranger", ["thesis.txt", "xface1.png", "face1.png.txt", ".hidden", "face3.png/", "face3.png@"]
)
def test_a_folder_with_anything_else_is_left_alone(tmp_path: Path, stranger: str) -> None:
    out = older_folder(tmp_path / "out")
    path = out / stranger.rstrip("/@")
    if stranger.endswith("/"):
        path.mkdir()
    elif stranger.endswith("@"):
        path.symlink_to(out / "face1.png")
    else:
        path.write_text("years of work")
    before = names(out)
    with pytest.raises(DatasetError, match=f"holds {re.escape(path.name)}"):
        write_folder(out, overwrite=True)
    assert names(out) == before
    assert names(tmp_path) == ["out"]


def test_what_comes_into_the_folder_during_the_work_is_left_alone(tmp_path: Path) -> None:
    out = older_folder(tmp_path / "out")
    refused = pytest.raises(DatasetError, match=r"holds thesis\.txt")
    with refused, landing_folder(out, overwrite=True, ours=OURS) as folder:
        (folder / "face9.png").write_text("new")
        (out / "thesis.txt").write_text("years of work")
    assert names(out) == ["face1.png", "face2.png", "thesis.txt"]
    assert names(tmp_path) == ["out"]


def test_a_folder_does_not_take_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    with pytest.raises(DatasetError, match="out is a file"):
        write_folder(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out").read_text() == "old"


def test_a_missing_parent_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere is not a folder"):
        write_folder(tmp_path / "nowhere" / "out", overwrite=False)
    refused = pytest.raises(DatasetError, match="nowhere is not a folder")
    with refused, landing_file(tmp_path / "nowhere" / "out", overwrite=True):
        raise AssertionError("The work must not begin.")
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    out = older_folder(tmp_path / "out")
    with pytest.raises(error), landing_folder(out, overwrite=True, ours=OURS) as folder:
        (folder / "face9.png").write_text("new")
        raise error
    with pytest.raises(error), landing_file(tmp_path / "film", overwrite=True) as path:
        path.write_text("half")
        raise error
    assert names(tmp_path) == ["out"]
    assert names(out) == ["face1.png", "face2.png"]
