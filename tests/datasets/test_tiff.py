"""TIFF files put together byte by byte: each depth and kind, with the value that it means."""

import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datasets.errors import UnusableError
from datasets.framing import upright
from tests.datasets.hand_made import Tiff, shorts
from tests.datasets.making import file_bytes, noise

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS = 0, 1, 2, 3, 5


def values(bits: int, *shape: int) -> NDArray[Any]:
    """Samples of some bits, black and white among them."""
    result = np.random.default_rng(bits).integers(0, 2**bits, shape, dtype=np.int64)
    result[0, 0], result[0, 1] = 0, 2**bits - 1
    return result


def shown(tiff: Tiff, channels: int = 3) -> NDArray[np.float64]:
    return upright(tiff.to_bytes(), channels).astype(np.float64)


def is_rounded(result: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
    return bool(np.abs(result - expected).max() <= 0.5 + 1e-6)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [*range(1, 17), 24])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO])
def test_grey_of_every_depth(bits: int, order: str, photometric: int) -> None:
    samples = values(bits, 5, 7, 1)
    expected = samples * 255 / (2**bits - 1)
    if photometric == WHITE_IS_ZERO:
        expected = 255 - expected
    assert is_rounded(shown(Tiff(samples, bits, photometric, order)), expected)


@pytest.mark.parametrize("bits", [2, 4, 5, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("separate", [False, True])
def test_colours_of_every_depth(bits: int, separate: bool) -> None:
    samples = values(bits, 5, 7, 3)
    tiff = Tiff(samples, bits, RGB, separate=separate, rows_per_strip=2)
    assert is_rounded(shown(tiff), samples * 255 / (2**bits - 1))


@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
@pytest.mark.parametrize("tile", [None, (16, 16), (32, 16)])
@pytest.mark.parametrize(("bits", "order"), [(12, "<"), (16, "<"), (16, ">"), (8, "<"), (3, ">")])
def test_strips_and_tiles_however_compressed(
    compression: int, tile: tuple[int, int] | None, bits: int, order: str
) -> None:
    samples = values(bits, 21, 37, 1)
    tiff = Tiff(
        samples, bits, WHITE_IS_ZERO, order, compression=compression, tile=tile, rows_per_strip=8
    )
    assert is_rounded(shown(tiff), 255 - samples * 255 / (2**bits - 1))


@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize(("bits", "order"), [(8, "<"), (16, "<"), (16, ">")])
@pytest.mark.parametrize(("photometric", "count"), [(WHITE_IS_ZERO, 1), (RGB, 3)])
@pytest.mark.parametrize("compression", [5, 8])
def test_differences_are_summed(
    compression: int,
    photometric: int,
    count: int,
    bits: int,
    order: str,
    tile: tuple[int, int] | None,
) -> None:
    samples = values(bits, 18, 20, count)
    tiff = Tiff(samples, bits, photometric, order, compression=compression, predictor=2, tile=tile)
    expected = samples * 255 / (2**bits - 1)
    assert is_rounded(shown(tiff), 255 - expected if photometric == WHITE_IS_ZERO else expected)


@pytest.mark.parametrize("order", "<>")
def test_large_files_form_has_the_same_pictures(order: str) -> None:
    samples = values(12, 6, 9, 1)
    tiff = Tiff(samples, 12, BLACK_IS_ZERO, order, big=True, rows_per_strip=2)
    assert is_rounded(shown(tiff), samples * 255 / 4095)
    eight = Tiff(noise(6, 9, 3), 8, RGB, order, big=True)
    assert np.array_equal(shown(eight), eight.samples)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_8_and_of_16_bits(bits: int, wide: bool) -> None:
    samples = values(bits, 5, 7, 1)
    colours = np.random.default_rng(0).integers(0, 256, (3, 2**bits))
    numbers = (colours * 257 if wide else colours).ravel().tolist()
    tiff = Tiff(samples, bits, PALETTE, tags={320: shorts("<", numbers)})
    assert np.array_equal(shown(tiff), colours.T[samples[..., 0]])


def test_a_palette_that_is_too_short_is_damage() -> None:
    tiff = Tiff(values(4, 5, 7, 1), 4, PALETTE, tags={320: shorts("<", [0] * 47)})
    with pytest.raises(UnusableError, match="damaged"):
        shown(tiff)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("extra", [(), (0,), (1,), (2,), (999,), (0, 2)])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO, RGB])
def test_opacity(bits: int, extra: tuple[int, ...], photometric: int) -> None:
    count = 3 if photometric == RGB else 1
    white = 2**bits - 1
    colours, opacity = values(bits, 5, 7, count) / white, values(bits, 5, 7, 1) / white
    kinds = extra or (2 if photometric == RGB else 0,)
    kind = 2 if 999 in kinds else max(kinds)
    # By the standard's text: associated samples are products with the opacity.
    if kind == 1:
        colours = np.floor(colours * opacity * white) / white
    others = [np.full((5, 7, 1), 0.5)] * (len(kinds) - 1)
    samples = np.rint(np.concatenate([colours, *others, opacity], axis=-1) * white).astype(int)
    if photometric == WHITE_IS_ZERO:
        # As if of black: what is not there is white, which is 0.
        over = 1 - colours if kind == 1 else 1 - colours * opacity
    else:
        over = colours + (1 - opacity) if kind == 1 else colours * opacity + 1 - opacity
    if kind == 0:
        over = 1 - colours if photometric == WHITE_IS_ZERO else colours
    result = shown(Tiff(samples, bits, photometric, extra=extra))
    assert np.abs(result - 255 * over).max() <= 1.5


@pytest.mark.parametrize("bits", [8, 16])
def test_inks(bits: int) -> None:
    samples = np.zeros((4, 4, 4), np.int64)
    samples[1:, :, 1:3] = 2**bits - 1
    samples[2:, :, 3] = 2**bits - 1
    result = shown(Tiff(samples, bits, INKS))
    assert np.abs(result[:, 0] - [(255, 255, 255), (255, 0, 0), (0, 0, 0), (0, 0, 0)]).max() <= 1


def floats(numbers: NDArray[Any], size: int, order: str) -> list[bytes]:
    kind = f"{order}f{size}"
    return [row.astype(kind).tobytes() for row in numbers.reshape(len(numbers), -1)]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("size", "white"),
    [(2, 1), (2, 255), (4, 1), (4, 255), (4, 65535), (8, 1), (8, 255), (8, 65535)],
)
@pytest.mark.parametrize(("photometric", "count"), [(0, 1), (1, 1), (2, 3)])
def test_floating_point_numbers(
    photometric: int, count: int, size: int, order: str, white: int
) -> None:
    numbers = np.random.default_rng(1).random((6, 5, count)) * white
    numbers[0, 0] = white
    tiff = Tiff(numbers, 8 * size, photometric, order, format=3, rows=floats(numbers, size, order))
    expected = 255 * numbers / white
    if photometric == WHITE_IS_ZERO:
        expected = 255 - expected
    # Half precision has steps of an eighth at 255.
    assert np.abs(shown(tiff) - expected).max() <= (0.7 if size == 2 else 0.51)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("count", [1, 3])
def test_predicted_floating_point_numbers(order: str, count: int) -> None:
    numbers = np.random.default_rng(2).random((6, 10, count)).astype(np.float32)
    rows = []
    for row in numbers.reshape(6, -1):
        # All highest bytes first, then differences of bytes that are `count` apart.
        planes = row.astype(">f4").view(np.uint8).reshape(-1, 4).T.ravel().astype(int)
        before = np.concatenate([np.zeros(count, int), planes[:-count]])
        rows.append(((planes - before) % 256).astype(np.uint8).tobytes())
    tiff = Tiff(
        numbers, 32, 1 if count == 1 else 2, order, format=3, compression=8, predictor=3, rows=rows
    )
    assert is_rounded(shown(tiff), 255 * numbers.astype(np.float64))


def test_floating_point_opacity() -> None:
    numbers = np.full((4, 4, 4), 0.5)
    numbers[0, 0, 0] = 1
    tiff = Tiff(numbers, 32, RGB, format=3, extra=(2,), rows=floats(numbers, 4, "<"))
    assert shown(tiff)[2, 2] == pytest.approx((191, 191, 191), abs=1)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("format", "most", "white"), [(1, 255, 255), (1, 65535, 65535), (1, 2**32 - 1, 2**32 - 1),
                                  (2, 255, 255), (2, 60000, 65535)]
)  # fmt: skip
def test_32_bits(format: int, most: int, white: int, order: str) -> None:
    samples = np.random.default_rng(3).integers(0, most, (5, 7, 1))
    samples[0, 0] = most
    tiff = Tiff(samples, 32, BLACK_IS_ZERO, order, format=format)
    assert is_rounded(shown(tiff), samples * 255 / white)


def test_low_bits_first() -> None:
    samples = values(8, 6, 16, 1)
    reversed_rows = [
        bytes(int(format(int(value), "08b")[::-1], 2) for value in row) for row in samples[..., 0]
    ]
    for photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO):
        tiff = Tiff(samples, 8, photometric, rows=reversed_rows, tags={266: shorts("<", [2])})
        expected = 255 - samples if photometric == WHITE_IS_ZERO else samples
        assert is_rounded(shown(tiff), expected)


def text(content: bytes) -> tuple[int, bytes]:
    return 2, content


@pytest.mark.parametrize("bits", [8, 12])
def test_what_lies_beside_the_picture_costs_nothing(bits: int) -> None:
    samples = values(bits, 5, 7, 1)
    beside: dict[int, tuple[int, bytes]] = {
        270: text(b"x" * 3_000_000 + b"\0"),
        305: text(b"\xff" * 70_000),
        700: (7, b"<x:xmpmeta " + b" " * 2_000_000),
        34377: (7, b"8BIM" + bytes(range(256)) * 100),
        34665: (4, struct.pack("<I", 2**31)),
        34853: (4, struct.pack("<I", 3)),
        33723: (7, b"\x1c" * 9),
        50838: (4, struct.pack("<I", 2**32 - 1)),
    }
    result = shown(Tiff(samples, bits, BLACK_IS_ZERO, tags=beside))
    assert is_rounded(result, samples * 255 / (2**bits - 1))


@pytest.mark.parametrize("bits", [8, 12])
def test_turned_by_the_tag_or_else_by_xmp(bits: int) -> None:
    samples = values(bits, 5, 7, 1)
    expected = np.rot90(samples * 255 / (2**bits - 1), -1)
    xmp = (1, b'<rdf:Description tiff:Orientation="6"/>')
    for tags in ({274: shorts("<", [6])}, {700: xmp}, {274: shorts("<", [6]), 700: (1, b"x")}):
        assert is_rounded(shown(Tiff(samples, bits, BLACK_IS_ZERO, tags=tags)), expected)
    both = {274: shorts("<", [1]), 700: xmp}
    assert shown(Tiff(samples, bits, BLACK_IS_ZERO, tags=both)).shape == (5, 7, 3)


def told(bits: int, photometric: int, count: int = 1, **others: Any) -> Tiff:
    """A file whose tags tell of so many bits, whatever is in it."""
    return Tiff(values(8, 4, 4, count), bits, photometric, **others)


def long(number: int) -> tuple[int, bytes]:
    return 4, struct.pack("<I", number)


@pytest.mark.parametrize(
    ("tiff", "reason"),
    [
        (told(8, 1, format=2), "signed numbers of 8 bits"),
        (told(16, 1, format=6), "unknown numbers of 16 bits"),
        (told(20, 1), "whole numbers of 20 bits"),
        (told(16, 32803), r"colours that are not known \(32803\)"),
        (told(16, 8, 3), "whole numbers of 16 bits"),
        (told(8, 6, 3), "reduced colours"),
        (told(8, INKS, 4, tags={332: long(2)}), "colours that"),
        (told(16, RGB, 3, tags={258: shorts("<", [5, 6, 5])}), "differ in kind"),
        (told(8, 1, tags={259: long(34712)}), r"not known \(34712\)"),
        (told(8, 1, tags={259: long(50001)}), r"not known \(50001\)"),
        (told(16, 1, tags={259: long(7)}), "compression not known"),
        (told(12, 1, compression=8, predictor=2), "predictor"),
        (Tiff(values(14, 4, 4, 1), 16, 1, format=2), "unclear range"),
        (Tiff(values(9, 4, 4, 1), 32, 1), "unclear range"),
        (told(8, 1, tags={256: long(0)}), "damaged"),
        (told(12, 1, tags={273: long(255)}), "damaged"),
        (told(8, 1, tags={273: long(255)}), "damaged"),
        (told(8, 1, compression=8, tags={279: long(255)}), "damaged"),
        (told(8, 1, rows_per_strip=2, tags={273: long(8)}), "damaged"),
        (told(16, 1, tags={256: long(2**16), 257: long(2**16)}), "more than 300 million pixels"),
        (
            told(32, 0, format=3, tags={256: long(2**14), 257: long(2**14), 277: long(2)}),
            "more than 1200 million bytes",
        ),
    ],
)
def test_what_cannot_be_read_has_a_true_reason(tiff: Tiff, reason: str) -> None:
    with pytest.raises(UnusableError, match=reason):
        shown(tiff)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "lzma", "zstd"])
@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_whatever_writes_them(compression: str, kind: str) -> None:
    pixels = noise(20, 30)
    scale = {"u1": 1, "u2": 257, "f4": 1 / 255}[kind]
    image = Image.fromarray((pixels * np.float64(scale)).astype(kind))
    data = file_bytes(image, "TIFF", compression=compression)
    assert np.array_equal(upright(data, 1)[..., 0], pixels)


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (200, 150, 60)), ("L", (90,) * 3)])
def test_jpeg_inside(mode: str, colour: tuple[int, int, int]) -> None:
    image = Image.new("RGB", (40, 30), colour).convert(mode)
    data = file_bytes(image, "TIFF", compression="jpeg", quality=95)
    assert np.abs(upright(data, 3)[20, 20] - np.array(colour, float)).max() <= 3


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt", "raw", "tiff_lzw"])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO])
def test_facsimile(compression: str, photometric: int) -> None:
    image = Image.fromarray(noise(24, 40)).convert("1")
    data = bytearray(file_bytes(image, "TIFF", compression=compression))
    place = data.index(struct.pack("<HHI", 262, 3, 1)) + 8
    # What the file tells first is what its samples are written by.
    inverted = data[place] != photometric
    data[place] = photometric
    expected = np.asarray(image) ^ inverted
    assert np.array_equal(upright(bytes(data), 1)[..., 0], 255 * expected)


@pytest.mark.parametrize("cut", [5, 20, 60, 150])
def test_a_file_that_is_cut_short_is_damaged(cut: int) -> None:
    data = Tiff(values(12, 9, 9, 1), 12, BLACK_IS_ZERO).to_bytes()
    with pytest.raises(UnusableError, match="damaged or cut short"):
        upright(data[:-cut], 1)


def test_thousands_of_large_tags_take_no_memory() -> None:
    # Each tells of nearly the whole file: 60,000 copies would be 240 GB.
    order = "<"
    pixels = bytes(4 * 10**6)
    tags = b"".join(struct.pack("<HHII", tag, 7, 3 * 10**6, 8) for tag in range(1000, 61000))
    sound = Tiff(values(8, 4, 4, 1), 8, 0, order, tags={270: (7, pixels)}).to_bytes()
    # Its own directory, with these behind its own lines.
    (start,) = struct.unpack_from("<I", sound, 4)
    (count,) = struct.unpack_from("<H", sound, start)
    lines = sound[start + 2 : start + 2 + 12 * count]
    end = len(sound) + len(sound) % 2
    data = (
        sound[:4]
        + struct.pack("<I", end)
        + sound[8:].ljust(end - 8, b"\0")
        + struct.pack("<H", count + 60_000)
        + lines
        + tags
        + bytes(4)
    )
    assert upright(data, 1).shape == (4, 4, 1)
