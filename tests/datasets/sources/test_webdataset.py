"""WebDataset's shards."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import DatasetError
from datasets.sources.webdataset import WebDataset
from tests.datasets.making import file_bytes, noise
from tests.datasets.sources.conftest import Prepare
from tests.datasets.sources.making import (
    check,
    loaded,
    opened,
    pictures,
    png,
    write_shard,
    write_tar,
)

PNGS = [png(picture) for picture in pictures()]


def shards(folder: Path) -> Path:
    """Two shards with the same keys, and another kind of class name each."""
    for shard in range(2):
        write_shard(
            folder / f"{shard:05d}.tar",
            {
                f"{n:04d}": {"png": PNGS[4 * shard + n], "cls": b"%d\n" % (5 * n), "json": b"{}"}
                for n in range(4)
            },
        )
    return folder


def test_a_folder_of_shards_becomes_a_dataset(prepared: Prepare, tmp_path: Path) -> None:
    folder = shards(tmp_path / "shards")
    (folder / "README.md").write_text("not a shard")
    dataset = prepared(folder, "--classes", "labels")
    names = [f"{shard:05d}.tar/{n:04d}.png" for shard in range(2) for n in range(4)]
    # Numbers with as many digits as the largest has.
    classes = ["00", "05", "10", "15"] * 2
    check(
        dataset,
        dict(zip(names, pictures(), strict=True)),
        dict(zip(names, classes, strict=True)),
    )


def test_one_shard_is_recognized_by_its_classes(tmp_path: Path) -> None:
    path = write_shard(
        tmp_path / "x.tar",
        {
            "a/1": {"cls": b" cat \n", "png": PNGS[0]},
            "a/2": {"png": PNGS[1], "cls": b""},
            "b/1": {"png": PNGS[2], "cls": "été".encode()},
        },
    )
    source = opened(path, "labels")
    assert list(source.names) == ["a/1.png", "a/2.png", "b/1.png"]
    assert source.labels is not None
    assert list(source.labels) == ["cat", None, "été"]
    assert loaded(source) == PNGS[:3]
    assert list(opened(path, "folders").names) == list(source.names)


def test_a_tar_archive_of_pictures_stays_one(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"a/1.png": PNGS[0], "b/2.png": PNGS[1]})
    assert not isinstance(opened(path), WebDataset)
    with pytest.raises(DatasetError, match="no labels"):
        opened(path, "labels")
    with pytest.raises(DatasetError, match=r"ends in \.cls; leave out --classes labels"):
        opened(path, "labels", kind="webdataset")


def test_the_pictures_of_a_sample_are_held_out_together(tmp_path: Path) -> None:
    path = write_shard(
        tmp_path / "x.tar",
        {
            "1": {"seen.png": PNGS[0], "wanted.png": PNGS[1], "cls": b"0"},
            "2": {"png": PNGS[2], "cls": b"1"},
            # The first dot of the name itself: this folder has one, too.
            "v1.0/1": {"png": PNGS[3], "CLS": b"2", "old.cls": b"7"},
        },
    )
    source = opened(path, "labels")
    assert list(source.names) == ["1.seen.png", "1.wanted.png", "2.png", "v1.0/1.png"]
    assert source.labels is not None
    assert list(source.labels) == ["0", "0", "1", "2"]
    unlabelled = opened(path)
    found = [unlabelled.photograph_of(item) for item in range(4)]
    assert found == ["1.seen.png", "1.seen.png", "2.png", "v1.0/1.png"]


def test_labels_that_are_none_leave_their_picture_without(tmp_path: Path) -> None:
    path = write_shard(
        tmp_path / "x.tar",
        {"1": {"png": PNGS[0], "cls": b"x" * 2000}, "2": {"png": PNGS[1], "cls": b"y"}},
    )
    source = opened(path, "labels")
    assert source.labels is not None
    assert list(source.labels) == [None, "y"]


def test_folders_with_pictures_stay_folders(tmp_path: Path) -> None:
    shards(tmp_path / "mixed")
    (tmp_path / "mixed/deep").mkdir()
    (tmp_path / "mixed/deep/1.png").write_bytes(PNGS[0])
    assert list(opened(tmp_path / "mixed").names) == ["deep/1.png"]
    meant = opened(tmp_path / "mixed", kind="webdataset")
    assert len(meant.names) == 8


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar"])
def test_compressed_shards_are_refused(tmp_path: Path, name: str) -> None:
    shards(tmp_path / "shards")
    whole = (tmp_path / "shards/00000.tar").read_bytes()
    (tmp_path / "shards" / name).write_bytes(gzip.compress(whole))
    with pytest.raises(DatasetError, match=f"{name} is compressed"):
        opened(tmp_path / "shards")


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    shards(tmp_path / "shards")
    path = tmp_path / "shards/00001.tar"
    data = bytearray(path.read_bytes())
    data[1024 + 148] ^= 1  # The checksum of the second header.
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"00001\.tar is damaged at byte 1024"):
        opened(tmp_path / "shards")


def test_there_must_be_shards(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no shards"):
        opened(tmp_path, kind="webdataset")
    shards(tmp_path / "both")
    (tmp_path / "both/x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match="--source-kind webdataset or --source-kind parquet"):
        opened(tmp_path / "both")


def test_large_pictures_come_back_whole(tmp_path: Path) -> None:
    data = file_bytes(np.repeat(noise(300, 300, 3), 1, axis=0))
    path = write_shard(tmp_path / "x.tar", {"1": {"cls": b"1", "png": data}})
    assert loaded(opened(path)) == [data]


def test_samples_stay_together_where_groups_are_asked_for(
    prepared: Prepare, tmp_path: Path
) -> None:
    """The pictures of a sample that belongs to no group are one all the same."""
    samples = {
        f"{'anna' if n < 3 else 'other'}-{n:02d}": {
            end: png(noise(8, 8, 3, seed=2 * n + (end == "b.png"))) for end in ("a.png", "b.png")
        }
        for n in range(20)
    }
    path = write_shard(tmp_path / "x.tar", {key: {**s, "cls": b"0"} for key, s in samples.items()})
    for seed in range(3):
        dataset = prepared(
            path, "--held-out", 0.4, "--group-by", "^anna", "--seed", seed, name=f"made{seed}"
        )
        splits: dict[str, set[str]] = {}
        for entry in dataset.entries:
            key = entry.name.partition(".")[0]
            splits.setdefault("anna" if key.startswith("anna") else key, set()).add(entry.split)
        assert len(splits) == 18
        assert all(len(split) == 1 for split in splits.values())
        assert {next(iter(split)) for split in splits.values()} == {"train", "held-out"}
