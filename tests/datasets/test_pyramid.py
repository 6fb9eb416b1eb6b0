import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets import index
from datasets.description import Description
from datasets.errors import DatasetError
from datasets.pyramid import Dataset, Writer, shrink, size_on_disk
from tests.datasets.making import noise, write_dataset


def problems(path: Path) -> list[str]:
    """What opening or verifying finds."""
    try:
        return Dataset.open(path).verify()
    except DatasetError as error:
        return [str(error)]


# The levels.


@given(st.sampled_from([4, 8, 32]), st.sampled_from([1, 3]), st.integers(0, 99))
def test_levels_are_block_averages_rounded_once(side: int, channels: int, seed: int) -> None:
    picture = noise(side, side, channels, seed=seed)
    levels = shrink(picture)
    assert [level.shape[0] for level in levels] == [s for s in (4, 8, 16, 32) if s <= side]
    assert np.array_equal(levels[-1], picture)
    for level in levels:
        block = side // level.shape[0]
        for y, x, c in np.ndindex(4, 4, channels):
            pixels = picture[y * block : (y + 1) * block, x * block : (x + 1) * block, c]
            # Whole numbers only; Python rounds halves to even, which is what is promised.
            total, area = sum(map(int, pixels.ravel())), block * block
            quotient, rest = divmod(total, area)
            up = 2 * rest > area or (2 * rest == area and quotient % 2 == 1)
            assert level[y, x, c] == quotient + up


def test_rounding_at_every_level_would_be_seen() -> None:
    # Quarters of 1 become 0 when rounded on the way, and 2 of 16 pixels of 4 do not.
    picture = np.zeros((16, 16, 1), np.uint8)
    picture[::2, ::2] = 2  # 0.5 at 8 pixels, which rounds to 0; and 0.5 again at 4.
    picture[0, 1] = picture[2, 1] = 2  # 0.75 in the first block at 4.
    small, middle, _ = shrink(picture)
    assert small[0, 0, 0] == 1
    assert middle[1, 1, 0] == 0
    assert small[1, 1, 0] == 0


def test_the_largest_sums_are_exact() -> None:
    picture = np.full((1024, 1024, 1), 255, np.uint8)
    picture[0, 0] = 127  # 254.998 on average.
    picture[256:512, :256] = 0
    picture[256:384, :256] = 255
    picture[256, 0] = 254  # 127.49998: one 65536th less than what rounds up.
    smallest = shrink(picture)[0]
    assert smallest[0, 0, 0] == 255
    assert smallest[1, 0, 0] == 127


# Writing and reading.


def test_what_was_written_is_read(tmp_path: Path) -> None:
    dataset = write_dataset(
        tmp_path / "d", hashes=[5, 6, 5, 7], classes=["c", "a", "b", "a"], held_out=0.25
    )
    assert (dataset.resolution, dataset.channels, dataset.count) == (8, 3, 4)
    assert dataset.classes == ("a", "b", "c")
    assert dataset.labels is not None
    assert dataset.labels.dtype == np.int64
    assert dataset.labels.tolist() == [2, 0, 1, 0]
    assert dataset.names == ["0.png", "1.png", "2.png", "3.png"]
    assert dataset.seed == 3
    assert dataset.rows("train").tolist() == [0, 1, 2]
    assert dataset.rows("held-out").tolist() == [3]
    assert dataset.rows("train").dtype == np.int64
    assert [entry.duplicate_of for entry in dataset.entries] == [None, None, 0, None]
    assert list(dataset.levels) == [2, 3]
    for level in dataset.levels:
        pixels = dataset.level(level)
        assert isinstance(pixels, np.memmap)
        expected = [shrink(noise(8, 8, 3, seed=seed))[level - 2] for seed in (5, 6, 5, 7)]
        assert np.array_equal(pixels, np.stack(expected))
        assert np.array_equal(np.load(tmp_path / f"d/{2**level:04d}.npy"), pixels)
        with pytest.raises(ValueError, match="read-only"):
            pixels[0] = 0
    with pytest.raises(ValueError, match="level 4"):
        dataset.level(4)
    assert index.read_skipped(tmp_path / "d/skipped.csv") == [("bad.png", "damaged or cut short")]
    assert dataset.verify() == []


@pytest.mark.parametrize("count", [1, 9, 10, 101])
def test_level_files_are_exactly_what_numpy_writes(tmp_path: Path, count: int) -> None:
    dataset = write_dataset(tmp_path / "d", hashes=list(range(count)), channels=1)
    for name in ("0004.npy", "0008.npy"):
        buffer = io.BytesIO()
        np.save(buffer, np.load(tmp_path / "d" / name))
        assert (tmp_path / "d" / name).read_bytes() == buffer.getvalue()
    payload = sum((tmp_path / "d" / n).stat().st_size - 128 for n in ("0004.npy", "0008.npy"))
    assert size_on_disk(count, 8, 1) == payload
    assert dataset.classes is None
    assert dataset.labels is None


def test_names_of_all_kinds_survive(tmp_path: Path) -> None:
    names = [
        'a,"b".png',
        "line\nbreak.png",
        "carriage\rreturn.png",
        "not\udcfftext.png",
        " ü '.png",
    ]
    dataset = write_dataset(tmp_path / "d", hashes=[1, 2, 3, 4, 5], names=names)
    assert dataset.names == names
    skipped = [(name, "damaged") for name in names]
    index.write_skipped(tmp_path / "skipped.csv", skipped)
    assert index.read_skipped(tmp_path / "skipped.csv") == skipped


def test_the_writer_refuses_levels_of_other_shapes(tmp_path: Path) -> None:
    with Writer(tmp_path, resolution=8, channels=3) as writer:
        for wrong in (noise(8, 8, 1), noise(4, 4, 3), noise(16, 16, 3)):
            with pytest.raises(ValueError, match="levels of other shapes"):
                writer.append(shrink(wrong), name="x", sha256="0" * 64)


# Held-out rows.


@given(st.lists(st.integers(0, 12), min_size=1, max_size=30), st.floats(0, 1, exclude_max=True))
def test_held_out_rows_are_the_last_that_occur_once(hashes: list[int], fraction: float) -> None:
    entries = index.mark_duplicates([index.Entry("x", f"{h:064x}") for h in hashes])
    rows = [r for r, e in enumerate(index.hold_out(entries, fraction)) if e.split == "held-out"]
    wanted = round(fraction * len(hashes)) or (1 if fraction > 0 else 0)
    unique = [row for row, h in enumerate(hashes) if Counter(hashes)[h] == 1]
    assert rows == unique[max(0, len(unique) - min(wanted, len(hashes) - 1)) :]
    assert len(rows) < len(hashes)
    for row, entry in enumerate(entries):
        first = hashes.index(hashes[row])
        assert entry.duplicate_of == (first if first < row else None)


# Damage.


@pytest.mark.parametrize(
    "name", ["0004.npy", "0008.npy", "dataset.json", "index.csv", "skipped.csv"]
)
def test_verify_finds_every_flipped_bit(tmp_path: Path, name: str) -> None:
    write_dataset(tmp_path / "d", hashes=[1, 2, 3, 1], classes=["a", "b", "a", "a"])
    path = tmp_path / "d" / name
    whole = path.read_bytes()
    assert problems(tmp_path / "d") == []
    random = np.random.default_rng(0)
    # The first and the last byte, and some between.
    for place in [0, len(whole) - 1, *random.integers(0, len(whole), 60).tolist()]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        found = problems(tmp_path / "d")
        assert found, place
        assert all("\n" not in sentence for sentence in found)
    path.write_bytes(whole + b"\n")
    assert problems(tmp_path / "d")
    path.write_bytes(whole[:-1])
    assert problems(tmp_path / "d")
    path.unlink()
    assert problems(tmp_path / "d")


def change(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda description: description.update(fields)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change(format_version=4), "newer version"),
        (change(format_version=3), "codecs"),
        (change(format_version=True), "format_version"),
        (change(format_version="1"), "format_version"),
        (change(resolution=12), "power of two"),
        (change(resolution=2048), "resolution"),
        (change(resolution=16), "sha256"),
        (change(channels=2), "channels"),
        (change(channels=-1), "channels"),
        (change(channels=1), "bytes instead of"),
        (change(count=0), "count"),
        (change(count=4.0), "count"),
        (change(count=10**30), "count"),
        (change(count=5), "bytes instead of"),
        (change(held_out=4), "held_out"),
        (change(held_out=2), "does not list the 4 pictures"),
        (change(held_out=None), "held_out"),
        (change(classes=[]), "classes"),
        (change(classes=["a", "a"]), "classes"),
        (change(classes="ab"), "classes"),
        (change(classes=[1]), "classes"),
        (change(classes=["a"]), "row 1"),
        (change(classes=None), "row 0"),
        (change(framing=3), "framing"),
        (change(framing={"crop": [1]}), "framing"),
        (change(source=None), "source"),
        (change(seed=-1), "seed"),
        (change(seed=2**64), "seed"),
        (change(versions=["1"]), "versions"),
        (change(versions={"numpy": 2}), "versions"),
        (change(sha256={}), "sha256"),
        (change(sha256=None), "sha256"),
        (lambda description: description["sha256"].update({"0004.npy": "x"}), "hash of 0004"),
        (lambda description: description["sha256"].update({"../x": "0" * 64}), "sha256"),
        (lambda description: description.clear(), "format_version"),
    ],
)
def test_descriptions_are_not_trusted(
    tmp_path: Path, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    write_dataset(tmp_path / "d", hashes=[1, 2, 3, 4], classes=["a", "b", "a", "a"])
    path = tmp_path / "d" / "dataset.json"
    description = json.loads(path.read_text())
    edit(description)
    path.write_text(json.dumps(description))
    with pytest.raises(DatasetError, match=message):
        Dataset.open(tmp_path / "d")


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"count":' + b"9" * 9999 + b"}"],
)
def test_descriptions_that_are_none(tmp_path: Path, text: bytes) -> None:
    write_dataset(tmp_path / "d", hashes=[1, 2])
    (tmp_path / "d" / "dataset.json").write_bytes(text)
    with pytest.raises(DatasetError, match=r"dataset\.json is damaged"):
        Dataset.open(tmp_path / "d")


def test_what_is_no_dataset_at_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(DatasetError, match="is not a dataset"):
            Dataset.open(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\r\n1,", "\r\n2,"),
        lambda text: text.replace("row,", "line,"),
        lambda text: text.replace(",train,", ",training,"),
        lambda text: text.replace(",train,", ",held-out,"),
        lambda text: text.replace(",held-out,", ",train,"),
        lambda text: text.replace(f"{1:064x}", f"{1:063x}"),
        lambda text: text.replace(",train,0", ",train,1"),
        lambda text: text.replace(",train,0", ",train,9999999999999999999999"),
        lambda text: text.replace(",train,0", ",train,x"),
        lambda text: text.replace("0.png", ""),
        lambda text: text.replace("0.png", '"0.png'),
        lambda text: text.replace("0.png", "x" * 200_000),
        lambda text: text.rsplit("\r\n", 2)[0] + "\r\n",
        lambda text: "",
    ],
)
def test_tables_are_not_trusted(tmp_path: Path, change: Callable[[str], str]) -> None:
    write_dataset(tmp_path / "d", hashes=[1, 2, 1, 3])
    path = tmp_path / "d" / "index.csv"
    text = path.read_bytes().decode()
    assert change(text) != text
    path.write_bytes(change(text).encode())
    with pytest.raises(DatasetError, match=r"index\.csv"):
        Dataset.open(tmp_path / "d")


def test_the_fingerprint_follows_what_training_sees() -> None:
    hashes = dict.fromkeys(("0004.npy", "index.csv", "skipped.csv"), "0" * 64)
    described = Description(
        resolution=4,
        channels=3,
        count=5,
        held_out=1,
        framing={"crop": "top"},
        source="here",
        seed=0,
        versions={"numpy": "2"},
        sha256=hashes,
    )
    same = [
        replace(described, source="there", versions={"numpy": "3"}),
        replace(described, sha256={**hashes, "skipped.csv": "1" * 64}),
    ]
    others = [
        replace(described, count=6),
        replace(described, held_out=2),
        replace(described, classes=("a",)),
        replace(described, sha256={**hashes, "0004.npy": "1" * 64}),
        replace(described, sha256={**hashes, "index.csv": "1" * 64}),
    ]
    assert {d.fingerprint for d in same} == {described.fingerprint}
    assert len({d.fingerprint for d in [described, *others]}) == 6
    assert len({d.text() for d in [described, *same, *others]}) == 8
