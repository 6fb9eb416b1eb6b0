import io
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.__main__ import datasets
from datasets.codecs import CODECS, Codec, codecs_of_levels, decode, encode
from datasets.description import Description
from datasets.errors import DatasetError
from datasets.levels import CodedLevel
from datasets.pyramid import Dataset, Writer, shrink, size_on_disk
from datasets.stream import Stream
from tests.datasets.conftest import Program
from tests.datasets.making import Pixels, noise, write_dataset


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of 16 pixels, with the two larger levels coded."""
    path = tmp_path_factory.mktemp("codec") / "d"
    write_dataset(path, hashes=list(range(6)), resolution=16, codecs={8: "webp", 16: "webp"})
    return path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    for file in whole.iterdir():
        (tmp_path / "d" / file.name).write_bytes(file.read_bytes())
    return tmp_path / "d"


def smooth(side: int, channels: int) -> Pixels:
    small = Image.fromarray(noise(4, 4, 3)).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(small)[..., :channels]


# One picture.


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_was_coded_is_decoded(codec: Codec, channels: int) -> None:
    picture = smooth(64, channels)
    data = encode(picture, codec)
    assert len(data) < picture.size
    found = decode(data, codec, 64, channels)
    assert found.shape == picture.shape
    assert found.dtype == np.uint8
    difference = np.abs(found.astype(int) - picture)
    assert difference.max() <= (0 if codec == "webp" else 6)


def test_noise_survives_lossless_coding() -> None:
    picture = noise(32, 32, 3)
    assert np.array_equal(decode(encode(picture, "webp"), "webp", 32, 3), picture)


def file_of(format: str, size: tuple[int, int], mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 77).save(buffer, format, **options)
    return buffer.getvalue()


def promising(data: bytes, side: int) -> bytes:
    """The same file, which says that it is larger."""
    if data[:4] == b"RIFF":
        return data[:21] + struct.pack("<I", (side - 1) | (side - 1) << 14) + data[25:]
    start = data.index(b"\xff\xc0") + 5
    return data[:start] + struct.pack(">HH", side, side) + data[start + 4 :]


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_no_picture_of_that_codec_and_size_is_refused(codec: Codec) -> None:
    data = encode(smooth(16, 3), codec)
    others = [
        b"",
        b"x" * 100,
        data[:-20],
        data[:25],
        file_of("PNG", (16, 16)),
        file_of("JPEG" if codec == "webp" else "WEBP", (16, 16)),
        file_of("WEBP", (16, 16), lossless=False),
        file_of("JPEG", (16, 16), "CMYK"),
        encode(smooth(8, 3), codec),
        promising(data, 8),
        promising(data, 16_000),
    ]
    for other in others:
        with pytest.raises(ValueError, match=r"^.*$"):
            decode(other, codec, 16, 3)


def test_a_promise_of_a_large_picture_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*arguments: object, **options: object) -> None:
        raise AssertionError

    # Pillow takes the memory when it opens a file of this format.
    data = promising(encode(smooth(16, 3), "webp"), 16_000)
    monkeypatch.setattr(Image, "open", opened)
    with pytest.raises(ValueError, match="no such picture"):
        decode(data, "webp", 16, 3)


def test_the_choice_of_codecs() -> None:
    assert codecs_of_levels("raw", 1024) == {}
    assert codecs_of_levels("webp", 1024) == {256: "webp", 512: "webp", 1024: "webp"}
    assert codecs_of_levels("jpeg", 256) == {256: "jpeg"}
    assert codecs_of_levels("jpeg", 128) == {}
    coded = size_on_disk(1000, 1024, 3, codecs_of_levels("webp", 1024))
    assert coded < 0.7 * size_on_disk(1000, 1024, 3)


# A level.


def test_coded_levels_are_read_like_plain_ones(whole: Path, tmp_path: Path) -> None:
    plain = write_dataset(tmp_path / "plain", hashes=list(range(6)), resolution=16)
    coded = Dataset.open(whole)
    for level in (2, 3, 4):
        expected, found = plain.level(level), coded.level(level)
        assert isinstance(found, CodedLevel) == (level > 2)
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        assert len(found) == len(expected)
        for rows in (
            np.array([4, 0, 4, 5]),
            [1, -1],
            np.array([], np.int64),
            np.array([True, False, True, False, False, True]),
            slice(1, 5, 2),
            slice(None),
        ):
            assert np.array_equal(found[rows], expected[rows])
            assert found[rows].shape == expected[rows].shape
        for row in (0, 5, -2, np.int64(3)):
            assert np.array_equal(found[row], expected[row])
        assert np.array_equal(np.asarray(found), np.asarray(expected))
        with pytest.raises(IndexError):
            found[6]
        with pytest.raises(IndexError):
            found[np.array([0, 6])]
    assert coded.verify() == []
    assert coded.hashed_bytes == sum(
        (whole / name).stat().st_size for name in coded.description.sha256
    )


def test_streams_of_both_are_the_same(whole: Path, tmp_path: Path) -> None:
    plain = Stream(write_dataset(tmp_path / "plain", hashes=list(range(6)), resolution=16), seed=3)
    coded = Stream(Dataset.open(whole), seed=3)
    for position in range(0, 40, 4):
        first, second = (stream.minibatch(4, position, 4)[0] for stream in (plain, coded))
        assert np.array_equal(first, second)


def test_the_files_are_what_they_say(whole: Path) -> None:
    offsets = np.load(whole / "0016.offsets.npy")
    data = (whole / "0016.bin").read_bytes()
    assert offsets.dtype == np.int64
    assert offsets.tolist()[0] == 0
    assert offsets.tolist()[-1] == len(data)
    picture = Image.open(io.BytesIO(data[offsets[2] : offsets[3]]))
    assert picture.format == "WEBP"
    assert np.array_equal(np.asarray(picture), noise(16, 16, 3, seed=2))


def test_plain_datasets_keep_their_format(whole: Path, tmp_path: Path) -> None:
    plain = write_dataset(tmp_path / "d", hashes=[1, 2])
    fields = json.loads((tmp_path / "d" / "dataset.json").read_text())
    assert fields["format_version"] == 2
    assert "codecs" not in fields
    assert plain.description == Description.read(tmp_path / "d")
    fields = json.loads((whole / "dataset.json").read_text())
    # Who knows only version 2 must not look for 0016.npy.
    assert fields["format_version"] == 3
    assert fields["codecs"] == {"8": "webp", "16": "webp"}


# Going on.


@pytest.mark.parametrize("done", [1, 3])
def test_going_on_gives_the_same_files(whole: Path, tmp_path: Path, done: int) -> None:
    def add(writer: Writer, numbers: range) -> None:
        for number in numbers:
            picture = noise(16, 16, 3, seed=number)
            writer.append(shrink(picture), name=f"{number}.png", sha256=f"{number:064x}")

    codecs: dict[int, Codec] = {8: "webp", 16: "webp"}
    with Writer(tmp_path, resolution=16, channels=3, codecs=codecs) as writer:
        add(writer, range(done))
        digests = writer.checkpoint()
        entries = writer.entries.copy()
        add(writer, range(50, 53))  # These are lost.
    with Writer(tmp_path, resolution=16, channels=3, codecs=codecs, entries=entries) as writer:
        assert writer.digests() == digests
        add(writer, range(done, 6))
        writer.finish(held_out=0.25, framing={}, source="s", seed=3, versions={})
    for name in Dataset.open(whole).description.sha256:
        if name != "skipped.csv":
            assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_a_level_can_be_read_while_it_is_written(whole: Path, tmp_path: Path) -> None:
    with Writer(tmp_path, resolution=16, channels=3, codecs={8: "webp", 16: "webp"}) as writer:
        for number in range(6):
            pictures = shrink(noise(16, 16, 3, seed=number))
            writer.append(pictures, name=f"{number}.png", sha256=f"{number:064x}")
            if number % 2:
                for picture in pictures:
                    level = writer.level(len(picture))
                    assert len(level) == number + 1
                    assert np.array_equal(level[number], picture)
        writer.finish(held_out=0.25, framing={}, source="s", seed=3, versions={})
    for name in ("0004.npy", "0008.bin", "0008.offsets.npy", "0016.bin", "0016.offsets.npy"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_going_on_after_damage_is_noticed(tmp_path: Path) -> None:
    codecs: dict[int, Codec] = {8: "webp"}
    with Writer(tmp_path, resolution=8, channels=3, codecs=codecs) as writer:
        for number in range(3):
            picture = noise(8, 8, 3, seed=number)
            writer.append(shrink(picture), name="x", sha256=f"{number:064x}")
        digests = writer.checkpoint()
        entries = writer.entries
    path = tmp_path / "0008.offsets.npy"
    good = path.read_bytes()
    for last in (b"", b"\xff" * 8, bytes(8), b"\1" + bytes(7)):
        path.write_bytes(good[:-8] + last)
        with Writer(tmp_path, resolution=8, channels=3, codecs=codecs, entries=entries) as writer:
            assert writer.digests() != digests


def test_the_writer_refuses_bytes_for_plain_levels(tmp_path: Path) -> None:
    levels: list[Pixels | bytes] = [*shrink(noise(8, 8, 3))]
    with Writer(tmp_path, resolution=8, channels=3, codecs={8: "webp"}) as writer:
        writer.append([levels[0], encode(noise(8, 8, 3), "webp")], name="x", sha256="0" * 64)
        with pytest.raises(ValueError, match="levels of other shapes"):
            writer.append([b"x", levels[1]], name="x", sha256="0" * 64)


# Strangers.


def offsets_of(change: Callable[[np.ndarray], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "0016.offsets.npy"
        numbers = np.load(path)
        change(numbers)
        np.save(path, numbers)

    return damage


def write(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        offsets_of(lambda numbers: numbers.__setitem__(0, 1)),
        offsets_of(lambda numbers: numbers.__setitem__(2, -5)),
        offsets_of(lambda numbers: numbers.__setitem__(2, numbers[1])),
        offsets_of(lambda numbers: numbers.__setitem__(2, 2**62)),
        offsets_of(lambda numbers: numbers.__setitem__(1, -(2**63))),
        offsets_of(lambda numbers: numbers.__setitem__(-1, numbers[-1] + 1)),
        offsets_of(lambda numbers: numbers.__setitem__(-1, 2**63 - 1)),
        write("0016.offsets.npy", lambda data: data[:-8]),
        write("0016.offsets.npy", lambda data: data.replace(b"<i8", b"<f8")),
        write("0016.offsets.npy", lambda data: b""),
        write("0016.bin", lambda data: data[:-1]),
        write("0016.bin", lambda data: data + b"x"),
        lambda folder: (folder / "0016.bin").unlink(),
        lambda folder: (folder / "0016.offsets.npy").unlink(),
    ],
)
def test_files_of_coded_levels_are_not_trusted(copy: Path, damage: Callable[[Path], None]) -> None:
    damage(copy)
    with pytest.raises(DatasetError, match=r"0016\.(bin|offsets\.npy)"):
        Dataset.open(copy)


def test_offsets_of_a_giant_are_refused(copy: Path) -> None:
    # As long as it says, but no picture of 16 pixels takes so much.
    offsets = np.load(copy / "0016.offsets.npy")
    offsets[-1] += 2**20
    np.save(copy / "0016.offsets.npy", offsets)
    with (copy / "0016.bin").open("ab") as file:
        file.truncate(int(offsets[-1]))
    with pytest.raises(DatasetError, match=r"0016\.offsets\.npy is damaged"):
        Dataset.open(copy)


@pytest.mark.parametrize(
    "codecs", [{}, {"16": "zip"}, {"32": "webp"}, {"08": "webp"}, {"16": 1}, ["16"], None]
)
def test_descriptions_of_codecs_are_not_trusted(copy: Path, codecs: object) -> None:
    path = copy / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"codecs": codecs}))
    with pytest.raises(DatasetError, match="codecs"):
        Dataset.open(copy)


def test_damaged_pictures_are_found_when_read_and_when_verified(copy: Path) -> None:
    path = copy / "0016.bin"
    data = bytearray(path.read_bytes())
    start = int(np.load(copy / "0016.offsets.npy")[3])
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    dataset = Dataset.open(copy)
    assert [problem.split("/")[-1] for problem in dataset.verify()] == [
        "0016.bin is not as it was written."
    ]
    level = dataset.level(4)
    assert np.array_equal(level[2], noise(16, 16, 3, seed=2))
    with pytest.raises(DatasetError, match=r"Picture 3 in .*0016\.bin is damaged"):
        level[np.array([2, 3])]
    row = int(np.flatnonzero(dataset.rows("train") == 3)[0])
    assert row == 3
    stream = Stream(dataset, seed=0)
    with pytest.raises(DatasetError, match="Picture 3"):
        for position in range(0, 20, 2):
            stream.minibatch(4, position, 2)


# The commands.


def test_commands_read_coded_datasets_as_others(program: Program, tmp_path: Path) -> None:
    for codec in ("raw", "webp"):
        path = tmp_path / codec
        made = program(
            datasets,
            *("prepare", "drawn:2", path, "--resolution", 256, "--codec", codec, "--workers", 1),
        )
        assert made.status == 0
        assert program(datasets, "verify", path).status == 0
        assert (
            program(
                datasets, "export", path, tmp_path / f"{codec}.zip", "--format", "stylegan-zip"
            ).status
            == 0
        )
    assert (tmp_path / "raw.zip").read_bytes() == (tmp_path / "webp.zip").read_bytes()
    assert (tmp_path / "raw" / "0128.npy").read_bytes() == (
        tmp_path / "webp" / "0128.npy"
    ).read_bytes()
    assert not (tmp_path / "webp" / "0256.npy").exists()
    told = program(datasets, "describe", tmp_path / "webp").out
    assert re.search(r"^coded: +256 webp$", told, re.MULTILINE)
    assert "decoding scaled" in told
    told = program(datasets, "describe", tmp_path / "raw").out
    assert re.search(r"^coded: +none$", told, re.MULTILINE)
