import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets import index
from datasets.codecs import CODECS, Codec
from datasets.errors import DatasetError
from datasets.framing import Framing
from datasets.prepare import Summary, prepare
from datasets.pyramid import Dataset, Writer
from datasets.sources import Source, open_source
from datasets.workers import frame_all
from tests.datasets.making import Deadly, file_bytes, noise, write_photographs


def prepared(
    photographs: Path,
    path: Path,
    *,
    resolution: int = 8,
    seed: int = 0,
    workers: int = 1,
    held_out: float = 0.2,
    overwrite: bool = False,
    classes: str | None = None,
    source: Source | None = None,
    pause: float = 10.0,
) -> Summary:
    found = source or open_source(
        str(photographs), resolution=resolution, channels=3, seed=seed, classes=classes
    )
    return prepare(
        found,
        path,
        framing=Framing(resolution=resolution),
        source_name="photographs",
        held_out=held_out,
        seed=seed,
        workers=workers,
        overwrite=overwrite,
        seconds_between_checkpoints=pause,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    write_photographs(tmp_path / "photographs", 13)
    return tmp_path / "photographs"


def test_the_number_of_workers_changes_nothing(tmp_path: Path, photographs: Path) -> None:
    (photographs / "bad.png").write_text("words")
    one = prepared(photographs, tmp_path / "one", workers=1)
    three = prepared(photographs, tmp_path / "three", workers=3)
    assert contents(tmp_path / "one") == contents(tmp_path / "three")
    assert one.skipped == three.skipped == {"not a picture of a known format": 1}


@pytest.mark.parametrize("codec", CODECS)
def test_coded_levels_depend_neither_on_workers_nor_on_interruptions(
    tmp_path: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photographs(tmp_path / "photographs", 7, size=40)
    # Small levels, so that the test is quick.
    monkeypatch.setattr(
        "datasets.prepare.codecs_of_levels",
        lambda choice, resolution: {side: codec for side in (16, 32) if side <= resolution},
    )
    one = prepared(tmp_path / "photographs", tmp_path / "one", resolution=32).dataset
    prepared(tmp_path / "photographs", tmp_path / "two", resolution=32, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert {"0008.npy", "0016.bin", "0016.offsets.npy"} <= set(contents(tmp_path / "one"))
    with monkeypatch.context() as patch:
        shown: list[None] = []

        def stop(self: Writer, *arguments: object, **options: object) -> None:
            shown.append(None)
            if len(shown) == 4:
                raise KeyboardInterrupt
            usual(self, *arguments, **options)  # type: ignore[arg-type]

        usual = Writer.append
        patch.setattr(Writer, "append", stop)
        with pytest.raises(KeyboardInterrupt):
            prepared(tmp_path / "photographs", tmp_path / "three", resolution=32, pause=0.0)
    prepared(tmp_path / "photographs", tmp_path / "three", resolution=32)
    assert contents(tmp_path / "one") == contents(tmp_path / "three")
    assert one.verify() == []
    # Over one that is there already, whose files have other names than plain levels.
    prepared(tmp_path / "photographs", tmp_path / "two", resolution=8, overwrite=True)
    assert prepared(tmp_path / "photographs", tmp_path / "one", resolution=16, overwrite=True)


def test_rows_hold_the_pictures_that_they_name_in_an_order_drawn_from_the_seed(
    tmp_path: Path, photographs: Path
) -> None:
    orders = set()
    for seed in (0, 1):
        dataset = prepared(photographs, tmp_path / str(seed), resolution=16, seed=seed).dataset
        assert sorted(dataset.names) == [f"{number:03d}.png" for number in range(13)]
        for row, name in enumerate(dataset.names):
            assert np.array_equal(dataset.level(4)[row], noise(16, 16, 3, seed=int(name[:3])))
        orders.add(tuple(dataset.names))
        assert dataset.seed == seed
        assert dataset.names != sorted(dataset.names)
    assert len(orders) == 2


def test_bad_pictures_are_skipped_and_recorded(tmp_path: Path, photographs: Path) -> None:
    (photographs / "words.jpg").write_text("words")
    (photographs / "cut.jpg").write_bytes(file_bytes(noise(64, 64, 3), "JPEG")[:-300])
    (photographs / "small.png").write_bytes(file_bytes(noise(7, 40, 3)))
    (photographs / "also small.png").write_bytes(file_bytes(noise(3, 3, 3)))
    (photographs / "gone.png").write_bytes(file_bytes(noise(16, 16, 3)))
    # A PNG by another name is not bad.
    (photographs / "named.jpg").write_bytes(file_bytes(noise(16, 16, 3, seed=99)))
    source = open_source(str(photographs), resolution=8, channels=3, seed=0)
    (photographs / "gone.png").unlink()
    summary = prepared(photographs, tmp_path / "d", source=source)
    assert summary.dataset.count == 14
    assert "named.jpg" in summary.dataset.names
    assert summary.skipped == {
        "not a picture of a known format": 1,
        "damaged or cut short": 1,
        "smaller than 8 pixels": 2,
        "cannot be read: No such file or directory": 1,
    }
    names = [name for name, _ in index.read_skipped(tmp_path / "d" / "skipped.csv")]
    assert names == ["also small.png", "cut.jpg", "gone.png", "small.png", "words.jpg"]


def test_duplicates_are_marked_and_stay_on_one_side(tmp_path: Path, photographs: Path) -> None:
    for number in range(6):
        shutil.copy(photographs / f"{number:03d}.png", photographs / f"copy {number}.png")
    dataset = prepared(photographs, tmp_path / "d", held_out=0.3).dataset
    assert dataset.description.held_out == 6
    by_hash: dict[str, set[str]] = {}
    for entry in dataset.entries:
        by_hash.setdefault(entry.sha256, set()).add(entry.split)
        if entry.duplicate_of is not None:
            assert dataset.entries[entry.duplicate_of].sha256 == entry.sha256
    assert all(len(splits) == 1 for splits in by_hash.values())
    assert sum(entry.duplicate_of is not None for entry in dataset.entries) == 6


def test_folders_become_classes(tmp_path: Path) -> None:
    root = tmp_path / "photographs"
    write_photographs(root / "dogs", 3)
    write_photographs(root / "cats", 3, first=3)
    write_photographs(root, 1, first=6)
    (root / "empty").mkdir()
    (root / "broken").mkdir()
    (root / "broken" / "1.png").write_text("words")
    summary = prepared(root, tmp_path / "d", classes="folders")
    dataset = summary.dataset
    # A class without pictures could not be learned.
    assert dataset.classes == ("cats", "dogs")
    assert dataset.labels is not None
    for name, label in zip(dataset.names, dataset.labels.tolist(), strict=True):
        assert name.startswith(("cats/", "dogs/")[label])
    assert summary.skipped["has no class"] == 1


def test_nothing_usable_is_an_error_with_the_first_reason(tmp_path: Path) -> None:
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "b.jpg").write_text("words")
    (tmp_path / "photographs" / "a.jpg").write_text("words")
    with pytest.raises(DatasetError, match=r"the first, a\.jpg: not a picture"):
        prepared(tmp_path / "photographs", tmp_path / "d")
    assert [path.name for path in tmp_path.iterdir()] == ["photographs"]


def test_an_existing_dataset_is_replaced_only_when_asked_and_whole(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(photographs, tmp_path / "d")
    old = contents(tmp_path / "d")
    with pytest.raises(DatasetError, match="--overwrite"):
        prepared(photographs, tmp_path / "d", seed=1)

    def crash(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("datasets.pyramid.index.write_skipped", crash)
        with pytest.raises(KeyboardInterrupt):
            prepared(photographs, tmp_path / "d", seed=1, overwrite=True)
    assert contents(tmp_path / "d") == old
    prepared(photographs, tmp_path / "d", seed=1, overwrite=True)
    assert contents(tmp_path / "d") != old
    assert Dataset.open(tmp_path / "d").verify() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "photographs"]


def test_what_is_no_dataset_is_never_overwritten(tmp_path: Path, photographs: Path) -> None:
    # Others too have a file of this name, beside their pictures.
    (photographs / "dataset.json").write_text('{"labels": null}')
    before = contents(photographs)
    with pytest.raises(DatasetError, match="not overwritten"):
        prepared(photographs, photographs, overwrite=True)
    assert contents(photographs) == before
    (tmp_path / "empty").mkdir()
    prepared(photographs, tmp_path / "empty", overwrite=True)
    assert Dataset.open(tmp_path / "empty").count == 13


def test_a_disk_without_room_is_noticed_before_the_work(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    needed = 13 * (16 + 64) * 3
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=needed - 1))
    with pytest.raises(DatasetError, match="GB free"):
        prepared(photographs, tmp_path / "d")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=needed))
    prepared(photographs, tmp_path / "d")


def test_a_dead_worker_is_an_error_and_not_a_hang(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="fewer --workers"):
        prepared(tmp_path, tmp_path / "d", resolution=4, workers=2, source=Deadly())
    assert list(tmp_path.iterdir()) == []


def test_workers_end_when_nobody_wants_the_rest(tmp_path: Path) -> None:
    write_photographs(tmp_path / "photographs", 60, size=64)
    source = open_source(str(tmp_path / "photographs"), resolution=64, channels=3, seed=0)
    results = frame_all(source, range(60), Framing(resolution=64), 2)
    next(results)
    results.close()  # Hangs if a worker waits for someone to listen.
