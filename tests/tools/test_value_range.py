"""Numbers of arrays are read as what they mean, or refused."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from datasets.errors import DatasetError
from datasets.pyramid import Dataset
from tests.tools.conftest import Tool
from tools import value_range
from tools.images import open_images
from tools.value_range import ValueRange, find_range, parse_range

Numbers = NDArray[np.float64]


def pictures(count: int = 6, *, seed: int = 0) -> NDArray[np.uint8]:
    """Pictures [N, 3, 8, 8] with a black and a white pixel each."""
    made = np.random.default_rng(seed).integers(20, 236, (count, 3, 8, 8)).astype(np.uint8)
    made[:, :, 0, 0], made[:, :, 7, 7] = 0, 255
    return made


def overshot(numbers: Numbers, low: float, high: float) -> Numbers:
    """Let some pixels of all pictures go as far as this."""
    changed = numbers.copy()
    changed[:, :, 3, 3], changed[:, :, 4, 4] = low, high
    return changed


UNIT = pictures() / 255
SIGNED = pictures() / 127.5 - 1
BYTES = pictures().astype(np.float64)


def read(folder: Path, array: NDArray[np.generic], asked: str | None = None) -> NDArray[np.uint8]:
    """Return pixels [N, C, H, W] as a tool reads them."""
    np.save(folder / "x.npy", array)
    asked_range = None if asked is None else parse_range(asked)
    images = open_images(str(folder / "x.npy"), value_range=asked_range)
    found = np.concatenate([batch.pixels for batch in images.batches()])
    return np.moveaxis(found, 3, 1)


@pytest.mark.parametrize("kind", ["<f2", "<f4", ">f4", "<f8"])
@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        (UNIT, "floats from 0.00 to 1.00, read as 0 … 1\n"),
        (SIGNED, "floats from -1.00 to 1.00, read as -1 … 1\n"),
        (BYTES, "floats from 0.00 to 255.00, read as 0 … 255\n"),
        (UNIT[:1], "read as 0 … 1\n"),
        (SIGNED[:1], "read as -1 … 1\n"),
        (BYTES[:1], "read as 0 … 255\n"),
        (SIGNED * 0.6, "read as -1 … 1\n"),
        (UNIT * 0.3, "read as 0 … 1\n"),
    ],
)
def test_the_usual_ranges_are_known_by_their_numbers(
    tmp_path: Path,
    numbers: Numbers,
    told: str,
    kind: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = read(tmp_path, numbers.astype(kind))
    low, high = {"0 … 1": (0, 1), "-1 … 1": (-1, 1), "0 … 255": (0, 255)}[
        told.rpartition("as ")[2].strip()
    ]
    expected = (numbers - low) / (high - low) * 255
    # A number of 16 bits near 1 is right to one part in two thousand.
    assert np.abs(found - expected).max() <= (0.63 if kind == "<f2" else 0.501)
    assert capsys.readouterr().err.endswith(told)


@pytest.mark.parametrize(
    ("numbers", "low", "high"),
    [
        (overshot(SIGNED, -1.3, 1.2), -1, 1),
        (overshot(SIGNED, -1.02, 1.0), -1, 1),
        (overshot(UNIT, -0.12, 1.15), 0, 1),
        (overshot(UNIT, -0.001, 1.0), 0, 1),
        (overshot(BYTES, -14.0, 271.0), 0, 255),
    ],
)
def test_overshoot_is_clipped_and_told(
    tmp_path: Path, numbers: Numbers, low: float, high: float, capsys: pytest.CaptureFixture[str]
) -> None:
    found = read(tmp_path, numbers.astype(np.float32))
    expected = np.clip((numbers - low) / (high - low), 0, 1) * 255
    assert np.abs(found - expected).max() <= 0.501
    assert f"read as {low} … {high}; what lies outside is clipped\n" in capsys.readouterr().err


def test_a_wild_network_is_read_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # As for ImageNet's networks: (x / 255 - 0.45) / 0.225, which goes from -2 to 2.4.
    read(tmp_path, (UNIT - 0.45) / 0.225)
    assert "Warning: most pictures of" in capsys.readouterr().err
    read(tmp_path, overshot(SIGNED, -1.6, 1.6))
    assert "Warning" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["int64", "int32", ">i2", "uint16"])
def test_whole_numbers_within_a_byte_are_pixels(tmp_path: Path, kind: str) -> None:
    np.testing.assert_array_equal(read(tmp_path, pictures().astype(kind)), pictures())


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        (np.zeros((4, 3, 8, 8)), r"floats from 0\.00 \(row 0\) to 0\.00"),
        (np.full((4, 3, 8, 8), 0.5), "not certain"),
        (np.ones((1, 3, 8, 8)), "not certain"),
        (0.4 + 0.5 * UNIT, "not certain"),  # too bright to be of 0 … 1 for certain
        (0.2 * SIGNED, "not certain"),  # a faint picture of -1 … 1, or noise
        (overshot(UNIT, -0.45, 1.45), "not certain"),
        (overshot(UNIT, 0.0, 20.0), r"to 20\.00 \(row 0\).*--range LOW:HIGH, such as -1:1"),
        (BYTES - 128, "not certain"),
        (BYTES * 257, r"to 6\.55e\+04"),
        (pictures().astype(np.int64) * 257, r"int64 numbers from 0\.00"),
        (pictures().astype(np.int64) - 1, r"int64 numbers from -1\.00"),
        ((pictures() > 128).astype(np.int8), "int8"),
        (np.concatenate([BYTES, UNIT[:2]]), r"more than one range: row 6 goes from 0\.00 to 1\.00"),
    ],
)
def test_what_is_not_certain_is_refused(tmp_path: Path, numbers: Numbers, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        read(tmp_path, numbers)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("asked", [None, "-1:1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_is_not_finite_is_refused_by_its_row(
    tmp_path: Path, bad: float, asked: str | None, order: str
) -> None:
    array = SIGNED.astype(np.float32)
    array[3, 1, 2, 5] = bad
    array = np.asarray(array, order=order)  # type: ignore[call-overload]
    with pytest.raises(DatasetError, match="in row 3: such"):
        read(tmp_path, array, asked)
    array[5] = bad
    with pytest.raises(DatasetError, match="in row 3, and in 1 other"):
        read(tmp_path, array, asked)


def test_the_last_row_of_many_counts_in_any_order_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(value_range, "_AT_ONCE", 50)
    for array in (UNIT, np.asfortranarray(UNIT), np.moveaxis(UNIT, 1, 3)):
        changed = array.copy(order="K")
        found = find_range(changed, "x", None)
        assert (found.low, found.high) == (0, 1)
        changed[(-1,) * 4] = 20.0
        with pytest.raises(DatasetError, match=r"to 20\.00 \(row 5\)"):
            find_range(changed, "x", None)


def test_large_arrays_are_looked_at_in_little_memory(tmp_path: Path) -> None:
    shape = (400, 3, 128, 128)
    array = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, shape)
    array[:, :, ::2] = 1
    array.flush()
    tracemalloc.start()
    try:
        images = open_images(str(tmp_path / "x.npy"))
        assert tracemalloc.get_traced_memory()[1] < array.nbytes / 8
    finally:
        tracemalloc.stop()
    assert images.details == {"range": "0:1"}


def test_an_asked_range_is_taken_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = 0.4 + 0.5 * UNIT
    np.testing.assert_array_equal(read(tmp_path, numbers, "0.4:0.9"), pictures())
    expected = (numbers + 1) * 127.5
    assert np.abs(read(tmp_path, numbers, "-1:1") - expected).max() <= 0.501
    wild = SIGNED.copy()
    wild[0, 0, 0, 0], wild[1, 1, 1, 1] = -1e300, 1e300
    found = read(tmp_path, wild, "-1:1")
    assert (found[0, 0, 0, 0], found[1, 1, 1, 1]) == (0, 255)
    with pytest.raises(DatasetError, match=r"not finite.* in row 2"):
        read(tmp_path, np.where(np.arange(6)[:, None, None, None] == 2, np.longdouble("1e999"), 0))
    twelve_bits = pictures().astype(np.uint16) * 16
    np.testing.assert_array_equal(read(tmp_path, twelve_bits, "0:4080"), pictures())
    assert "uint16 numbers from 0.00 to 4080.00, read as 0 … 4080\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "1", "1:1", "1:0", "nan:1", "0:inf", "0:1:2", "a:b", "0:1e999"]
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_range(text)


@given(st.integers(0, 255), st.sampled_from([(-1, 1), (0, 1), (0, 255), (-2.5, 0.25)]))
def test_every_pixel_comes_back(level: int, ends: tuple[float, float]) -> None:
    found = ValueRange(*ends)
    value = found.low + (found.high - found.low) * level / 255
    for kind in (np.float32, np.float64):
        images = np.full((1, 1, 1, 1), value, kind)
        assert found.to_uint8(images).item() == level


def test_tools_take_a_range_and_refuse_one_that_nothing_is_read_by(
    tool: Tool, faces: Dataset, tmp_path: Path
) -> None:
    rows = faces.rows("train")[:20]
    pixels = np.asarray(faces.level(4)[rows])
    np.save("grey.npy", 0.4 + 0.5 * (pixels - pixels.min()) / (pixels.max() - pixels.min()))
    np.save("bytes.npy", pixels)
    for words in (
        ("metrics", faces.path, "grey.npy", "--metric", "ms-ssim", "--images", 20),
        ("neighbours", "grey.npy", faces.path, "report"),
    ):
        assert "give --range LOW:HIGH" in tool(*words).err
        ended = tool(*words, "--range", "0.4:0.9")
        assert ended.status == 0, ended.err
        assert "grey.npy: floats from 0.40 to 0.90, read as 0.4 … 0.9\n" in ended.err
        assert (
            "--range is for .npy arrays"
            in tool(*(str(word).replace("grey", "bytes") for word in words), "--range", "0:1").err
        )
        assert tool(*words, "--range", "dark").status == 2
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["images_of"]["details"] == {"range": "0.4:0.9"}
