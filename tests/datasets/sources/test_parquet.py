"""Parquet files, as the Hugging Face hub has them."""

import struct
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from datasets.errors import DatasetError
from datasets.sources import parquet, parquet_columns
from datasets.sources.files import LocalFile
from datasets.sources.parquet_columns import DamagedError, rows
from datasets.sources.parquet_layout import Chunk, page_sizes, read_chunks
from tests.datasets.conftest import Program
from tests.datasets.sources.conftest import Prepare
from tests.datasets.sources.making import (
    check,
    loaded,
    opened,
    pictures,
    png,
    write_parquet,
)

PICTURES = pictures()
PNGS = [png(picture) for picture in PICTURES]


def test_a_file_of_the_hub_becomes_a_dataset(prepared: Prepare, tmp_path: Path) -> None:
    paths = [f"deep/{n}.png" for n in range(8)]
    path = write_parquet(
        tmp_path / "x.parquet",
        PNGS,
        paths=paths,
        labels=[0, 1, 2, 0, 1, 2, 0, 1],
        class_names=["cat", "dog", "été"],
        row_group_size=3,
    )
    classes = dict(zip(paths, ["cat", "dog", "été"] * 3, strict=False))
    dataset = prepared(path, "--classes", "labels", "--workers", 2)
    check(dataset, dict(zip(paths, PICTURES, strict=True)), classes)


def test_a_folder_of_files(prepared: Prepare, tmp_path: Path) -> None:
    # The same paths in both, so that they do not tell the pictures apart.
    for part in range(2):
        write_parquet(
            tmp_path / f"hub/data/train-{part}.parquet",
            PNGS[4 * part : 4 * part + 4],
            paths=["a.png", "b.png", "c.png", "d.png"],
            labels=[7, 30, -1, None] if part else [7, 7, 30, 30],
            row_group_size=3,
        )
    (tmp_path / "hub/README.md").write_text("---")
    (tmp_path / "hub/.cache").mkdir()
    (tmp_path / "hub/.cache/x.parquet").write_bytes(b"rubbish")
    source = opened(tmp_path / "hub", "labels")
    names = [f"data/train-{part}.parquet/{n:08d}" for part in range(2) for n in range(4)]
    assert list(source.names) == names
    assert loaded(source) == PNGS
    assert source.labels is not None
    assert list(source.labels) == ["07", "07", "30", "30", "07", "30", None, None]
    dataset = prepared(tmp_path / "hub")
    check(dataset, dict(zip(names, PICTURES, strict=True)))


KINDS: list[tuple[Any, dict[str, Any]]] = [
    (pa.binary(), {}),
    (pa.large_binary(), {"compression": "zstd", "use_dictionary": False}),
    (pa.binary(), {"compression": "none", "data_page_version": "2.0"}),
    (
        pa.binary(),
        {"use_dictionary": False, "column_encoding": {"photo": "DELTA_LENGTH_BYTE_ARRAY"}},
    ),
    (pa.dictionary(pa.int32(), pa.binary()), {"compression": "gzip"}),
]


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_columns_of_bytes_of_all_kinds(tmp_path: Path, kind: Any, options: dict[str, Any]) -> None:
    table = pa.table({"number": pa.array(range(9)), "photo": pa.array([*PNGS, None]).cast(kind)})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=4, **options)
    source = opened(tmp_path / "x.parquet")
    assert list(source.names) == [f"{n:08d}" for n in range(9)]
    # In any order.
    assert [source.load(item) for item in (7, 0, 3, 4)] == [PNGS[item] for item in (7, 0, 3, 4)]
    assert loaded(source) == [*PNGS, "not in its Parquet file, which names it alone"]
    # A column of numbers is no column of classes, whatever it holds.
    with pytest.raises(DatasetError, match="no labels"):
        opened(tmp_path / "x.parquet", "labels")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["cat", "dog", "", None, *["cat"] * 4], ["cat", "dog", None, None, *["cat"] * 4]),
        (pa.array(["a", "b"] * 4).dictionary_encode(), ["a", "b"] * 4),
        ([True, False] * 4, ["1", "0"] * 4),
    ],
)
def test_classes_that_are_words(
    tmp_path: Path, labels: list[object], expected: list[str | None]
) -> None:
    source = opened(write_parquet(tmp_path / "x.parquet", PNGS, labels=labels), "labels")
    assert source.labels is not None
    assert list(source.labels) == expected


def test_numbers_beyond_the_names_are_no_classes(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "x.parquet", PNGS, labels=[0, 1, 2, -1, 0, 0, 0, 0], class_names=["a", "b"]
    )
    source = opened(path, "labels")
    assert source.labels is not None
    assert list(source.labels) == ["a", "b", None, None, *"aaaa"]


def test_the_column_of_pictures_must_be_clear(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"left": PNGS, "right": PNGS}), path)
    with pytest.raises(DatasetError, match=r"several columns .*\(left, right\)"):
        opened(path)
    pq.write_table(pa.table({"depth": PNGS, "image": PNGS[::-1]}), path)
    assert loaded(opened(path)) == PNGS[::-1]
    pq.write_table(pa.table({"text": ["a"]}), path)
    with pytest.raises(DatasetError, match="no column of pictures"):
        opened(path)
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), path)
    with pytest.raises(DatasetError, match="no rows"):
        opened(path)


def test_without_pyarrow_a_sentence_names_the_line(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets.__main__ import datasets

    path = write_parquet(tmp_path / "x.parquet", PNGS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet")
    ended = program(datasets, "prepare", path, tmp_path / "d", "--resolution", 8)
    assert (ended.status, ended.out) == (1, "")
    assert "pip install pyarrow" in ended.err
    assert not list(tmp_path.glob("*d*"))


# What the pages take.


def chunk(path: Path, name: str) -> tuple[int, int, int]:
    """Where a column of the first row group begins and ends, and its size unpacked."""
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(n) for n in range(group.num_columns)]
    (found,) = [column for column in columns if column.path_in_schema == name]
    start = found.dictionary_page_offset or found.data_page_offset
    return start, start + found.total_compressed_size, found.total_uncompressed_size


def stretch(path: Path, start: int, end: int) -> Chunk:
    return Chunk(LocalFile(path), 0, "image", start, end, 0, 0)


def test_the_table_of_contents_is_what_the_library_reads(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "x.parquet", PNGS * 3, paths=[f"{n}" for n in range(24)], labels=range(24),
        row_group_size=7,
    )  # fmt: skip
    described = pq.ParquetFile(path).metadata
    groups = read_chunks(LocalFile(path))
    assert [group["label"].rows for group in groups] == [7, 7, 7, 3]
    for number, group in enumerate(groups):
        theirs = described.row_group(number)
        assert list(group) == ["image.bytes", "image.path", "label"]
        for place, ours in enumerate(group.values()):
            column = theirs.column(place)
            assert ours.start == column.dictionary_page_offset
            assert ours.end - ours.start == column.total_compressed_size
            assert ours.unpacked == column.total_uncompressed_size
            assert ours.group == number


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_sizes_of_pages_are_told_from_their_headers(tmp_path: Path, compression: str) -> None:
    values = [bytes([n]) * 1000 for n in range(200)]
    pq.write_table(
        pa.table({"image": pa.array(values, pa.binary())}),
        tmp_path / "x.parquet",
        compression=compression,
        use_dictionary=False,
        write_batch_size=10,
        data_page_size=4096,
    )
    start, end, told = chunk(tmp_path / "x.parquet", "image")
    sizes = page_sizes(stretch(tmp_path / "x.parquet", start, end))
    # Each value with four bytes before it; and whether they are there, a few bytes a page. What
    # the writer tells counts headers, too.
    assert 200 * 1004 < sizes.unpacked < 200 * 1004 + 40 * 16 < told + 40 * 16
    assert sizes.dictionary == 0


def test_the_dictionary_is_told_apart(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"image": pa.array([b"x" * 500, b"y" * 700] * 50, pa.binary())}),
        tmp_path / "x.parquet",
    )
    start, end, _ = chunk(tmp_path / "x.parquet", "image")
    sizes = page_sizes(stretch(tmp_path / "x.parquet", start, end))
    assert sizes.dictionary == 504 + 704


def thrift_page(kind: int, unpacked: int, packed: int, *rest: bytes) -> bytes:
    """A page header in the compact form, written by hand."""

    def number(value: int) -> bytes:
        value, data = value << 1 ^ value >> 63, b""
        while value > 127:
            data += bytes([value & 127 | 128])
            value >>= 7
        return data + bytes([value])

    numbers = (b"\x15" + number(value) for value in (kind, unpacked, packed))
    return b"".join([*numbers, *rest, b"\0"])


def test_headers_made_by_hand(tmp_path: Path) -> None:
    inner = b"\x11\x12\x16\x02\x18\x03abc\x17" + bytes(8) + b"\0"
    data = thrift_page(2, 1_000_000, 5) + b"#" * 5
    # A struct; a list of three bytes; a map of one; and a long list, which has its own count.
    data += thrift_page(
        0, 300, 2, b"\x1c" + inner, b"\x19\x33\1\2\3", b"\x1b\x01\x55\x02\x04",
        b"\x19\xf5\x10" + b"\x02" * 16,
    ) + b"##"  # fmt: skip
    (tmp_path / "x").write_bytes(b"...." + data)
    sizes = page_sizes(stretch(tmp_path / "x", 4, 4 + len(data)))
    assert (sizes.unpacked, sizes.dictionary) == (1_000_300, 1_000_000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\x15\x00\x15",
        thrift_page(0, 5, 50),
        thrift_page(0, -5, 1) + b"#",
        thrift_page(0, 5, -1) + b"#",
        b"\x1c" * 100 + b"\0" * 100,
        b"\x18" + b"\xff" * 9 + b"\x01" + b"\0" * 9,
        b"\x15" + b"\xff" * 20,
        b"\x1d\0",
    ],
)
def test_headers_that_are_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ValueError, match=r"."):
        page_sizes(stretch(tmp_path / "x", 0, 20))


# Files of strangers.


def test_a_damaged_row_group_costs_its_own_pictures_alone(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", PNGS, row_group_size=4, compression="snappy")
    start, end, _ = chunk(path, "image.bytes")
    data = bytearray(path.read_bytes())
    data[start : (start + end) // 2] = b"\xff" * ((end - start) // 2)
    path.write_bytes(data)
    assert loaded(opened(path)) == [*["damaged in its Parquet file"] * 4, *PNGS[4:]]


def test_pages_that_would_fill_the_memory_are_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two thousand times the same megabyte would be two gigabytes; and it packs well.
    path = write_parquet(tmp_path / "x.parquet", [bytes(10**6)] * 8 + PNGS, row_group_size=8)
    monkeypatch.setattr(parquet_columns, "MOST_GROUP_BYTES", 10**6 // 2)
    with pytest.raises(DamagedError):
        list(rows(read_chunks(LocalFile(path))[0]["image.bytes"]))
    assert list(rows(read_chunks(LocalFile(path))[1]["image.bytes"])) == PNGS
    assert loaded(opened(path))[8:] == PNGS


def test_rows_that_repeat_one_large_value_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One value in the file, and hundreds of them once each row has its own.
    path = write_parquet(tmp_path / "x.parquet", [bytes(2**16)] * 300)
    monkeypatch.setattr(parquet_columns, "MOST_GROUP_BYTES", 2**20)
    source = opened(path)
    read: list[int] = []
    original: Any = parquet_columns.rows

    def counted(chunk: Chunk) -> Any:
        for value in original(chunk):
            read.append(len(bytes(value)))
            yield value

    monkeypatch.setattr(parquet_columns, "rows", counted)
    assert loaded(source) == ["damaged in its Parquet file"] * 300
    # Not once for each of them, and no further than is allowed.
    assert 2**20 < sum(read) <= 2**20 + 2**16


def test_one_row_group_that_is_too_large_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_parquet(tmp_path / "x.parquet", PNGS)
    monkeypatch.setattr(parquet, "MOST_GROUP_BYTES", 1000)
    with pytest.raises(DatasetError, match=r"8 pictures of .* GB in one row group.*row_group_size"):
        opened(path)


def test_few_row_groups_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "x.parquet", PNGS, row_group_size=2)
    monkeypatch.setattr(parquet_columns, "_MOST_KEPT_BYTES", 5 * len(PNGS[0]))
    source = opened(path)
    read: list[int] = []
    original = rows

    def counted(chunk: Chunk) -> Any:
        read.append(chunk.group)
        return original(chunk)

    monkeypatch.setattr(parquet_columns, "rows", counted)
    for item in (0, 1, 2, 0, 3, 4, 0, 2):
        assert source.load(item) == PNGS[item]
    # Two groups have room; the one that was asked for longest ago goes.
    assert read == [0, 1, 2, 0, 1]


@pytest.mark.parametrize(
    "data",
    [
        b"PAR1",
        b"PAR1" + bytes(100),
        b"PAR1" + bytes(100) + struct.pack("<I", 50) + b"PAR1",
        b"PAR1" + bytes(100) + struct.pack("<I", 2**31) + b"PAR1",
    ],
)
def test_what_is_no_parquet_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.parquet").write_bytes(data)
    with pytest.raises(DatasetError, match=r"x\.parquet is not a Parquet file, or is damaged"):
        opened(tmp_path / "x.parquet")


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", PNGS[:4])
    assert loaded(opened(path)) == PNGS[:4]
    write_parquet(path, PNGS[4:])
    assert loaded(opened(path)) == PNGS[4:]
