import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.errors import DatasetError
from datasets.landing import landing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
    with landing(tmp_path / "film.mp4") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "film.mp4").exists()
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".mp4"
    assert names(tmp_path) == ["film.mp4"]
    assert (tmp_path / "film.mp4").read_text() == "whole"


def test_a_folder_lands_too(tmp_path: Path) -> None:
    with landing(tmp_path / "faces") as temporary:
        (temporary / "inner").mkdir(parents=True)
        (temporary / "inner" / "file").write_text("whole")
    assert (tmp_path / "faces/inner/file").read_text() == "whole"
    assert names(tmp_path) == ["faces"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("folder", [True, False])
def test_failure_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException], folder: bool
) -> None:
    final = tmp_path / "result"
    final.mkdir() if folder else final.write_text("old")
    with pytest.raises(error), landing(final, overwrite=True) as temporary:
        temporary.mkdir() if folder else temporary.write_text("half")
        raise error
    assert names(tmp_path) == ["result"]
    assert folder or final.read_text() == "old"


def test_overwriting_replaces_a_folder_whole(tmp_path: Path) -> None:
    final = tmp_path / "faces"
    final.mkdir()
    (final / "old").write_text("old")
    with landing(final, overwrite=True) as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("new")
        assert names(final) == ["old"]
    assert names(final) == ["new"]
    assert names(tmp_path) == ["faces"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = tmp_path / "faces"
    final.mkdir()
    (final / "old").write_text("old")
    rename = Path.rename

    def fail_into_place(self: Path, target: Path) -> Path:
        if (self / "new").exists():
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_into_place)
    with pytest.raises(OSError, match="Input/output"), landing(final, overwrite=True) as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("new")
    assert names(final) == ["old"]
    assert names(tmp_path) == ["faces"]


def test_a_taken_place_is_refused_before_and_after_the_work(tmp_path: Path) -> None:
    final = tmp_path / "film.mp4"
    with pytest.raises(DatasetError, match=r"film\.mp4 exists"), landing(final) as temporary:
        temporary.write_text("mine")
        final.write_text("somebody else's")
    assert final.read_text() == "somebody else's"
    started = False
    with pytest.raises(DatasetError, match=r"film\.mp4 exists"), landing(final):
        started = True
    assert not started
    assert names(tmp_path) == ["film.mp4"]


def test_a_missing_folder_is_named_and_not_made(tmp_path: Path) -> None:
    final = tmp_path / "nowhere" / "film.mp4"
    with pytest.raises(DatasetError, match=r"nowhere is not a folder"), landing(final):
        pass
    assert names(tmp_path) == []


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "faces").symlink_to(tmp_path / "disk")
    with landing(tmp_path / "faces", overwrite=True) as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("new")
    assert (tmp_path / "faces").is_symlink()
    assert names(tmp_path / "disk") == ["new"]


def test_a_full_disk_is_reported_with_a_name(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught, landing(tmp_path / "film.mp4"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "film.mp4")


def test_long_names_land(tmp_path: Path) -> None:
    name = "x" * 251 + ".png"
    with landing(tmp_path / name) as temporary:
        temporary.write_text("whole")
    assert names(tmp_path) == [name]


def test_what_a_crash_left_aside_goes_away_with_the_next_landing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = tmp_path / "faces"
    final.mkdir()
    (final / "old").write_text("old")
    with monkeypatch.context() as patch:
        # The machine dies before the old folder is removed.
        patch.setattr("shutil.rmtree", lambda path, ignore_errors=False: None)
        with landing(final, overwrite=True) as temporary:
            temporary.mkdir()
            (temporary / "new").write_text("new")
    assert names(final) == ["new"]
    assert len(names(tmp_path)) == 2
    with landing(final, overwrite=True) as temporary:
        temporary.mkdir()
        (temporary / "newest").write_text("newest")
    assert names(final) == ["newest"]
    assert names(tmp_path) == ["faces"]


# What is on the disk, and when.


@pytest.mark.parametrize("before", ["nothing", "file", "folder"])
def test_all_is_on_the_disk_before_it_has_its_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    final = tmp_path / "result"
    if before == "file":
        final.write_text("old")
    elif before == "folder":
        final.mkdir()
    events: list[tuple[str, object]] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def synced(descriptor: int) -> None:
        events.append(("synced", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def moved(move: Callable[..., None]) -> Callable[..., None]:
        def recorded(source: os.PathLike[str], target: os.PathLike[str]) -> None:
            events.append(("moved", Path(target)))
            move(source, target)

        return recorded

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", moved(rename))
    monkeypatch.setattr(os, "replace", moved(replace))
    with landing(final, overwrite=True) as temporary:
        if before == "file":
            temporary.write_text("whole")
            written = [temporary]
        else:
            (temporary / "inner").mkdir(parents=True)
            (temporary / "inner/file").write_text("whole")
            (temporary / "other").write_text("whole")
            written = [temporary, *temporary.rglob("*")]
        inodes = {path.stat().st_ino for path in written}
    arrival = events.index(("moved", final))
    assert inodes <= {what for kind, what in events[:arrival] if kind == "synced"}
    assert ("synced", tmp_path.stat().st_ino) in events[arrival:]
