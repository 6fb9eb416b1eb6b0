"""Files that lie: each gives a sentence, or a picture that is skipped."""

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets import records
from datasets.errors import DatasetError, UnusableError
from datasets.sources import cifar, landmarks, matching, tables
from datasets.sources.files import LocalFile
from datasets.sources.zips import Contents, open_zip
from tests.datasets.making import noise
from tests.datasets.sources import making
from tests.datasets.sources.making import loaded, opened, pictures

PNG = making.png(noise(8, 8, 3))


def fails(place: Path, classes: str | None = None) -> str:
    """What opening a source ends with."""
    with pytest.raises(DatasetError) as raised:
        opened(place, classes)
    return str(raised.value)


def sentence(place: Path, classes: str | None = None) -> str:
    """The one sentence that opening a source gives."""
    text = fails(place, classes)
    assert str(place) in text
    assert "\n" not in text
    assert len(text) < 400
    return text


# Names and members of archives


@pytest.mark.parametrize("name", ["../../x.png", "/x.png", "a/../../x.png", "C:\\x.png", "~/x.png"])
@pytest.mark.parametrize("write", [making.write_zip, making.write_tar])
def test_names_are_no_paths(
    tmp_path: Path, name: str, write: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    (tmp_path / "in").mkdir()
    source = opened(write(tmp_path / "in" / "a", {name: PNG, "b/1.png": PNG}), "folders")
    assert loaded(source) == [PNG, PNG]
    assert name in source.names
    assert source.class_of(list(source.names).index("b/1.png")) == "b"
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "a"]
    # No class has a name that is none.
    for item in range(2):
        try:
            assert source.class_of(item) not in ("", ".", "..", None)
        except UnusableError as error:
            assert str(error) == "has no class"


def test_links_and_devices_in_a_tar_archive_are_passed_over(tmp_path: Path) -> None:
    members = []
    for kind in (
        *(tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE),
        *(tarfile.DIRTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE),
    ):
        info = tarfile.TarInfo(f"kind-{kind.decode()}.png")
        info.type, info.linkname = kind, "/etc/passwd"
        members.append((info, b""))
    members.append((tarfile.TarInfo("good.png"), PNG))
    (tmp_path / "a.tar").write_bytes(making.tar_bytes(members))
    source = opened(tmp_path / "a.tar")
    assert [name for name in source.names if name != "kind-7.png"] == ["good.png"]
    assert loaded(source)[0] == PNG


def header(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    """A tar header whose size may be anything."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT)[:512])
    block[124:136] = size.ljust(12, b"\0")
    block[156:157] = kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


HUGE = (2**90).to_bytes(12, "big").replace(b"\0", b"\x80", 1)


@pytest.mark.parametrize(
    "data",
    [
        header("a.png", b"\xff" * 12) + PNG.ljust(512, b"\0"),  # -1
        header("a.png", b"\xff" * 10 + b"\xfe\0") + bytes(1024),  # -512: would lead back to itself
        header("a.png", HUGE) + bytes(2048),
        header("a.png", b"77777777777") + bytes(2048),  # 8 GiB
        header("a", HUGE, b"x") + bytes(2048),  # a header of settings of that size
        header("a", b"77777777777", b"L") + bytes(2048),  # a name of that size
        header("a", b"\xff" * 10 + b"\xfe\0", b"x") + bytes(2048),
        header("a.png", b"0") + b"no header".ljust(512, b"!") + header("b.png", b"0"),
        header("a", b"00000000040", b"x") + b"32 size=-512\n".ljust(512) + header("a.png", b"0"),
        header("a.png", b"00000001000") + bytes(100),  # cut short
    ],
)
def test_tar_archives_that_lie(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        assert "damaged" in sentence(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_zip_archives_that_lie(tmp_path: Path) -> None:
    path = making.write_zip(tmp_path / "a.zip", {"1.png": PNG, "2.png": PNG}, zipfile.ZIP_STORED)
    whole = path.read_bytes()
    table = whole.index(b"PK\x01\x02")

    def lie(place: int, layout: str, value: int) -> list[object]:
        data = bytearray(whole)
        struct.pack_into(layout, data, table + place, value)
        path.write_bytes(data)
        return list(loaded(opened(path)))

    assert lie(16, "<I", 7) == ["damaged in the archive", PNG]  # checksum
    assert lie(20, "<I", len(PNG) - 1) == ["damaged in the archive", PNG]  # packed
    assert lie(20, "<I", len(whole) * 2) == ["damaged in the archive", PNG]
    assert lie(20, "<I", 2**32 - 2) == ["larger than 1 GiB", PNG]
    assert lie(24, "<I", 2**32 - 2) == [PNG, PNG]  # unpacked: nobody believes it
    assert lie(42, "<I", 5) == ["damaged in the archive", PNG]  # where it begins
    assert lie(42, "<I", 2**31) == ["damaged in the archive", PNG]
    assert lie(10, "<H", 99) == ["encrypted, or packed in an unknown way", PNG]
    assert lie(8, "<H", 1) == ["encrypted, or packed in an unknown way", PNG]
    assert lie(8, "<H", 0) == [PNG, PNG]
    end = len(whole) - 22
    data = bytearray(whole)
    struct.pack_into("<I", data, end + 12, 2**31)  # size of the table
    path.write_bytes(data)
    assert "damaged" in sentence(path)
    data = bytearray(whole)
    struct.pack_into("<I", data, end + 16, 2**31)  # its place, from which all others are counted
    path.write_bytes(data)
    assert list(loaded(opened(path))) == ["damaged in the archive"] * 2
    # An end that speaks of a table with 64 bits, on another disk.
    path.write_bytes(whole[:end] + struct.pack("<4sIQI", b"PK\6\7", 1, 0, 1) + whole[end:])
    assert "damaged" in sentence(path)
    # Places and sizes of 64 bits, in a field behind the name.
    name = table + 46
    extra = struct.pack("<HHQQQ", 1, 24, 2**64 - 1, 2**64 - 1, 2**64 - 1)
    data = bytearray(whole[: name + 5] + extra + whole[name + 5 :])
    struct.pack_into("<II", data, table + 20, 2**32 - 1, 2**32 - 1)
    struct.pack_into("<H", data, table + 30, len(extra))
    struct.pack_into("<I", data, table + 42, 2**32 - 1)
    struct.pack_into("<I", data, len(data) - 22 + 12, end - table + len(extra))
    path.write_bytes(data)
    assert list(loaded(opened(path))) == ["larger than 1 GiB", PNG]


def test_a_member_that_claims_more_than_the_file_has_reserves_none(tmp_path: Path) -> None:
    path = making.write_zip(tmp_path / "a.zip", {"1.png": PNG}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 20, 2**30)
    path.write_bytes(data)
    source = open_zip(Contents(LocalFile(path)))
    tracemalloc.start()
    try:
        with pytest.raises(UnusableError, match="damaged in the archive"):
            source.load(0)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_bombs_are_unpacked_no_further_than_is_allowed(tmp_path: Path, method: int) -> None:
    path = making.write_zip(tmp_path / "a.zip", {"1.png": bytes(30_000_000)}, method)
    source = open_zip(Contents(LocalFile(path)), most_bytes=10_000)
    tracemalloc.start()
    try:
        with pytest.raises(UnusableError, match="larger than"):
            source.load(0)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damage_to_tar_archives_and_databases_gives_sentences(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, undamaged: dict[str, bytes]
) -> None:
    kind = data.draw(st.sampled_from(sorted(undamaged)))
    damaged = bytearray(undamaged[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / kind
    path.write_bytes(damaged[: data.draw(st.integers(1, len(damaged)))])
    try:
        for found in loaded(opened(folder if kind != "a.tar" else path)):
            assert len(found)
    except DatasetError as error:
        assert str(folder) in str(error)


@pytest.fixture(scope="session")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undamaged")
    entries = {b"%d" % n: PNG * (n % 3 * 8 + 1) for n in range(40)}
    making.write_lmdb(folder / "db", entries)
    whole = (folder / "db" / "data.mdb").read_bytes()
    making.write_cifar_python(folder / "cifar", pictures(32, count=1), [0])
    return {
        "a.tar": making.tar_bytes([(tarfile.TarInfo(f"{n}/1.png"), PNG) for n in range(3)]),
        "data.mdb": whole,
        "x-r03.tfrecords": making.record(
            making.example((3, 8, 8), np.moveaxis(noise(8, 8, 3), 2, 0).tobytes())
        )
        * 2,
    }


# Databases


def test_databases_that_are_cut_short_end_in_a_sentence_and_not_in_the_program(
    tmp_path: Path,
) -> None:
    making.write_lmdb(tmp_path / "db", {b"%d" % n: bytes([n]) * 9000 for n in range(9)})
    path = tmp_path / "db" / "data.mdb"
    whole = path.read_bytes()
    for size in (0, 10, 100, 4096, 8192, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert "LMDB" in (text := sentence(tmp_path / "db")) or "cut short" in text
    # It is cut while it is read.
    path.write_bytes(whole)
    source = opened(tmp_path / "db")
    path.write_bytes(whole[:8192])
    assert set(map(str, loaded(source))) == {"cut short"}


def test_databases_that_lie(tmp_path: Path) -> None:
    making.write_lmdb(tmp_path / "db", {b"%02d" % n: bytes([n]) * 3000 for n in range(9)})
    path = tmp_path / "db" / "data.mdb"
    whole = path.read_bytes()
    metas = [place for place in (0, 4096) if whole[place + 16 :][:4] == b"\xde\xc0\xef\xbe"]
    newest = max(metas, key=lambda place: struct.unpack_from("<Q", whole, place + 144))
    root = struct.unpack_from("<Q", whole, newest + 128)[0] * 4096
    node = root + struct.unpack_from("<H", whole, root + 16)[0]
    for place, layout, value in (
        (newest + 128, "<Q", 2**63),  # the root
        (newest + 128, "<Q", 0),
        (newest + 120, "<Q", 7),  # the number of entries
        (newest + 92, "<H", 4),  # several values for a key
        (root + 10, "<H", 1),  # a branch, that leads anywhere
        (root + 12, "<H", 9999),  # more nodes than fit
        (root + 16, "<H", 4095),  # a node at the end
        (root + 18, "<H", struct.unpack_from("<H", whole, root + 16)[0]),  # the same twice
        (node + 4, "<H", 2),  # a database in it
        (node + 6, "<H", 60000),  # a key beyond the page
        (node + 2, "<H", 60000),  # a value of 4 GB
        (node + 10, "<Q", 2**50),  # far away
    ):
        data = bytearray(whole)
        struct.pack_into(layout, data, place, value)
        path.write_bytes(data)
        assert "damaged" in (text := sentence(tmp_path / "db")) or "none of pictures" in text


def test_databases_with_several_values_for_a_key_are_none_of_pictures(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "db"), map_size=2**20, max_dbs=1) as database:
        inner = database.open_db(b"inner", dupsort=True)
        with database.begin(write=True, db=inner) as writing:
            writing.put(b"1", b"x")
    assert "damaged" in sentence(tmp_path / "db")


# TFRecords


def tfrecords(folder: Path, data: bytes) -> Path:
    folder.mkdir()
    (folder / "x-r03.tfrecords").write_bytes(data)
    return folder


GOOD = making.record(making.example((3, 8, 8), np.moveaxis(noise(8, 8, 3), 2, 0).tobytes()))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:11],
        GOOD[:-1],
        GOOD + GOOD[:50],
        GOOD[:8] + bytes(4) + GOOD[12:],  # the checksum of the length
        struct.pack("<Q", 2**62) + making.masked(struct.pack("<Q", 2**62)) + GOOD[12:],
        struct.pack("<Q", 2**24) + making.masked(struct.pack("<Q", 2**24)) + GOOD[12:],
    ],
)
def test_tfrecords_that_cannot_be_gone_through(tmp_path: Path, data: bytes) -> None:
    assert "again" in sentence(tfrecords(tmp_path / "in", data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (GOOD[:-4] + bytes(4), "checksum"),
        (GOOD[:100] + b"!" + GOOD[101:], "checksum"),
        (making.record(b""), "no picture"),
        (making.record(b"\xff" * 50), "no picture"),
        (making.record(making.example((3, 9, 8), bytes(192))), "no picture"),
        (making.record(making.example((2, 8, 8), bytes(128))), "impossible shape"),
        (making.record(making.example((3, 0, 8), b"")), "impossible shape"),
        (making.record(making.example((3, 8), bytes(192))), "no picture"),
        (making.record(making.example([3] * 100, bytes(192))), "no picture"),
        (making.record(making.message(1, making.message(1, b"\x0a\x7f"))), "no picture"),
    ],
)
def test_records_that_are_no_pictures_are_skipped(tmp_path: Path, data: bytes, reason: str) -> None:
    found = loaded(opened(tfrecords(tmp_path / "in", GOOD + data)))
    assert np.array_equal(np.asarray(found[0]), noise(8, 8, 3))
    assert reason in str(found[1])


def test_a_shape_of_millions_of_numbers_fills_no_memory() -> None:
    many = making.message(
        1,
        making.message(
            1,
            making.message(1, b"shape")
            + making.message(2, making.message(3, making.message(1, b"\x01" * 2_000_000))),
        ),
    )
    tracemalloc.start()
    try:
        with pytest.raises(UnusableError, match="no picture"):
            records.unpack(many, records._checksum(many))
        # The data itself is copied a few times, and its checksum takes a few times as much.
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


def test_a_level_with_fewer_pictures_was_cut_between_two(tmp_path: Path) -> None:
    making.write_tfrecords(tmp_path / "in", {2: pictures(4, count=3), 3: pictures(8, count=2)})
    assert "holds 2 pictures" in sentence(tmp_path / "in")


class Touched:
    """A pickle that makes a file when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.place),)

    def __init__(self, place: Path) -> None:
        self.place = place


def test_labels_that_are_none(tmp_path: Path) -> None:
    folder = tfrecords(tmp_path / "in", GOOD * 3)
    labels = folder / "x-rxx.labels"
    buffer = io.BytesIO()
    np.savez(buffer, np.zeros(3))
    labels.write_bytes(buffer.getvalue())
    assert "no NumPy array" in sentence(folder)
    labels.write_bytes(pickle.dumps(Touched(tmp_path / "touched")))
    assert "no NumPy array" in sentence(folder)
    for array in (
        np.zeros(4), np.zeros((3, 2)), np.ones((3, 2)), np.array([0, 1, np.nan]),
        np.array([0, 1, 1e300]), np.array([0, 1, -1]), np.array([0, 1, 0.5]), np.array(["a"] * 3),
        np.array([Touched(tmp_path / "touched")] * 3, object), np.zeros((3, 1, 1)),
        np.array([[np.nan, 1], [0, 1], [0, 1]]),
    ):  # fmt: skip
        with labels.open("wb") as file:
            np.save(file, array, allow_pickle=True)
        assert "label" in sentence(folder)
    header_bytes = labels.read_bytes()[:128].replace(b"(3, 2)", b"(3, 9999999999)")
    labels.write_bytes(header_bytes)
    assert "label" in sentence(folder)
    assert not (tmp_path / "touched").exists()


# CIFAR and MNIST


def test_cifar_of_wrong_sizes(tmp_path: Path) -> None:
    folder = making.write_cifar10(tmp_path / "in", pictures(32, count=2), [0, 1])
    path = folder / "data_batch_1.bin"
    whole = path.read_bytes()
    for data in (b"", whole[:-1], whole + b"x", b"x"):
        path.write_bytes(data)
        assert "cut short" in fails(folder)
    path.write_bytes(b"\xff" + whole[1:])
    assert "class 255" in sentence(folder)
    path.write_bytes(whole)
    source = opened(folder)
    path.write_bytes(whole * 2)
    cifar._read.cache_clear()
    with pytest.raises(DatasetError, match="was changed"):
        source.load(0)


def test_cifar_for_python_runs_nothing(tmp_path: Path) -> None:
    folder = making.write_cifar_python(tmp_path / "in", pictures(32, count=2), [0, 1])
    whole = (folder / "data_batch_1").read_bytes()
    touched = tmp_path / "touched"
    for data in (
        *(pickle.dumps(Touched(touched), protocol) for protocol in range(6)),
        *(pickle.dumps({b"data": Touched(touched)}, protocol) for protocol in range(6)),
        b"", b".", b"(.", b"0.", b"}.", whole[:-200], whole[:-1],
        b"\x80\x02r\xff\xff\xff\x7f.",  # memory number 2**31
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",  # bytes without number
        b"(" * 100_000 + b".",
        pickle.dumps({b"data": [1], b"labels": [0, 1]}),
        pickle.dumps({b"data": np.zeros((2, 3072), np.float32), b"labels": [0, 1]}, 2),
        pickle.dumps({b"data": np.zeros((3, 3072), np.uint8), b"labels": [0, 1]}, 2),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, "1"]}, 2),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 10**9]}, 2),
    ):  # fmt: skip
        (folder / "data_batch_1").write_bytes(data)
        assert "data_batch_1" in fails(folder)
    assert not touched.exists()


def test_cifar_arrays_that_lie_column_by_column(tmp_path: Path) -> None:
    images = pictures(32, count=2)
    folder = making.write_cifar_python(tmp_path / "in", images, [0, 1])
    rows = np.frombuffer(making.cifar_rows(images, [b""] * 2), np.uint8).reshape(2, -1)
    batch = {b"data": np.asfortranarray(rows), b"labels": [0, 1]}
    (folder / "data_batch_1").write_bytes(pickle.dumps(batch, 2))
    for found, image in zip(loaded(opened(folder)), images, strict=True):
        assert np.array_equal(np.asarray(found), image)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_of_wrong_sizes(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / f"train-images-idx3-ubyte{suffix}"
    making.write_idx(path, noise(2, 28, 28))
    whole = path.read_bytes()
    plain = gzip.decompress(whole) if suffix else whole
    lying = [
        plain[:-1], plain + b"x", plain[:10], b"", b"\0\0\x0d\3" + plain[4:],
        b"\0\0\x08\2" + plain[4:], plain[:4] + b"\xff" * 12 + plain[16:],
        plain[:4] + bytes(4) + plain[8:],
    ]  # fmt: skip
    for data in lying:
        path.write_bytes(gzip.compress(data) if suffix else data)
        assert path.name in fails(tmp_path / "in")
    for data in (whole[:-9], whole[:20] + b"!!!" + whole[23:]) if suffix else ():
        path.write_bytes(data)
        assert path.name in fails(tmp_path / "in")
    path.write_bytes(whole)
    making.write_idx(tmp_path / "in" / "train-labels-idx1-ubyte", noise(3))
    assert "one label for each" in fails(tmp_path / "in")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_idx_file_that_claims_a_gigabyte_reserves_none(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / f"train-images-idx3-ubyte{suffix}"
    data = struct.pack(">4B3I", 0, 0, 8, 3, 2**10, 2**10, 2**10) + bytes(5000)
    path.write_bytes(gzip.compress(data) if suffix else data)
    tracemalloc.start()
    try:
        assert "cut short" in fails(tmp_path / "in")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


# Tables and JSON


@pytest.mark.parametrize(
    "content",
    [
        "[" * 1_000_000,
        '{"labels": ' + "[" * 1_000_000 + "]" * 1_000_000 + "}",
        '{"labels": ' + '{"a":' * 1_000_000,
        "", "\0", "\xff", "{", "nul", '{"labels": 5}', '{"labels": {"1.png": 1}}',
        '{"labels": [["1.png"]]}', '{"labels": [["1.png", true]]}', '{"labels": [["1.png", 1.0]]}',
        '{"labels": [["1.png", -1]]}', '{"labels": [["1.png", 99999999999999999999]]}',
        '{"labels": [[1, 1]]}', '{"labels": [["1.png", 1, 2]]}', '{"labels": [null]}',
        '{"labels": [["1.png", ' + "9" * 5000 + "]]}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [True, False])
def test_labels_of_strange_kinds(tmp_path: Path, content: str, packed: bool) -> None:
    data = content.encode("latin1")
    if packed:
        making.write_zip(tmp_path / "in", {"1.png": PNG, "dataset.json": data})
    else:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "1.png").write_bytes(PNG)
        (tmp_path / "in" / "dataset.json").write_bytes(data)
    assert "dataset.json" in sentence(tmp_path / "in")


@pytest.mark.parametrize("content", ["[]", "5", "null", '"x"', '{"labels": null}', "{}"])
def test_a_dataset_json_that_holds_no_labels(tmp_path: Path, content: str) -> None:
    path = making.write_zip(tmp_path / "in", {"1.png": PNG, "dataset.json": content.encode()})
    assert opened(path).labels is None


@pytest.mark.parametrize("names", ["[5]", "[[]]", "{}", '["a", "a"]', '["a"]', '["", "b"]', "7"])
def test_class_names_that_are_none_give_way_to_numbers(tmp_path: Path, names: str) -> None:
    data = f'{{"labels": [["1.png", 1]], "classes": {names}}}'.encode()
    source = opened(
        making.write_zip(tmp_path / "in", {"1.png": PNG, "dataset.json": data}), "labels"
    )
    assert source.class_of(0) == "1"


def test_class_names_that_cannot_be_written_are_a_sentence(tmp_path: Path) -> None:
    data = json.dumps({"labels": [["1.png", 0]], "classes": ["\ud800"]}).encode()
    path = making.write_zip(tmp_path / "in", {"1.png": PNG, "dataset.json": data})
    assert "no text" in fails(path, "labels")


@pytest.mark.parametrize(
    "text",
    [
        "", "\n\n", "name\n1.png\n", "name,class\n", "name,class\n1.png\n", "name,class\n2.png,a\n",
        "name,class\n1.png,a,b\n", 'name,class\n"1.png,a\n', "name,class\n1.png," + "a" * 200_000,
        "name," + "x" * 10_000 + "\n1.png,1\n", "8\n", "8\nclass\n1.png\n",
        "x" * 1_000_000, ",".join(["x"] * 100_000), "\0,\0\n\0,\0\n",
    ],
)  # fmt: skip
def test_tables_that_are_none(tmp_path: Path, text: str) -> None:
    making.write_zip(tmp_path / "in", {"1.png": PNG})
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DatasetError) as raised:
        opened(tmp_path / "in", str(tmp_path / "t.csv"))
    assert str(tmp_path / "t.csv") in str(raised.value)
    assert len(str(raised.value)) < 600


def test_sentences_do_not_repeat_long_names(tmp_path: Path) -> None:
    name = "a" * 5000
    columns = ",".join(landmarks._COLUMNS)
    (tmp_path / "t.csv").write_text(f"name,{columns}\n{name},x,2,3,4,5,6,7,8\n")
    (tmp_path / "t.json").write_text(json.dumps({name: {"image": {"file_path": 5}}}))
    for table in ("t.csv", "t.json"):
        with pytest.raises(DatasetError, match="points of") as raised:
            landmarks.find_faces(["1.png"], "x", tmp_path / table)
        assert len(str(raised.value)) < 400
    (tmp_path / "a.csv").write_text(f"name,Male\n{name},2\n")
    with pytest.raises(DatasetError, match="neither 1 nor -1") as raised:
        making.write_zip(tmp_path / "in", {"1.png": PNG})
        opened(tmp_path / "in", "Male", attributes=tmp_path / "a.csv")
    assert len(str(raised.value)) < 400


def test_large_tables_are_refused_before_they_are_read(tmp_path: Path) -> None:
    for name, read in (
        ("t.csv", lambda path: tables.read_table(path, ["class"])),
        ("t.json", lambda path: landmarks.find_faces(["1.png"], "x", path)),
    ):
        with (tmp_path / name).open("wb") as file:
            file.truncate(2**30 + 1)
        with pytest.raises(DatasetError, match="too large"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{", '{"0": 5}', '{"0": {"image": 5}}', "{" + '"0":{' * 1_000_000, '{"0"}',
        '{"0": {"image": {"file_path": "1.png", "face_landmarks": 5}}}',
        '{"0": {"image": {"file_path": 1, "face_landmarks": []}}}',
        '{"0": {"image": {"file_path": "1.png", "face_landmarks": ' + str([[1, 2]] * 67) + "}}}",
        '{"0": {"image": {"file_path": "1.png", "face_landmarks": ' + str([[1, {}]] * 68) + "}}}",
        '{"0": {"image": {"file_path": "1.png", "face_landmarks": ' + str([[1, 1e99]] * 68) + "}}}",
        '{"0": {"image": {"file_path": "1.png", "face_landmarks": '
        + str([[1, 2]] * 68).replace("2", "NaN") + "}}}",
        '{"0": {"image": {"file_path": "2.png", "face_landmarks": ' + str([[1, 2]] * 68) + "}}}",
    ],
)  # fmt: skip
def test_landmarks_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(DatasetError) as raised:
        landmarks.find_faces(["1.png"], "x", tmp_path / "t.json")
    assert str(tmp_path / "t.json") in str(raised.value)


def test_names_in_a_table_are_matched_one_way_for_all_and_never_by_chance() -> None:
    # Exactly where any matches so: b/1.png has no class, though a 1.png is listed.
    assert matching.match({"a/1.png": "x", "c/2.png": "y"}, ["a/1.png", "b/2.png"]) == ["x", None]
    assert matching.match({"1.jpg": "x"}, ["in/1.png"]) == ["x"]
    assert matching.match({"1.png": "x"}, ["./1.png"]) == ["x"]
    # Two pictures of that name: nobody knows which is meant.
    assert matching.match({"1.png": "x", "2.png": "y"}, ["a/1.png", "b/1.png", "b/2.png"]) == [
        *(None, None, "y"),
    ]
    assert matching.match({"a/1.png": "x", "b/1.png": "y"}, ["c/1.png"]) == [None]
