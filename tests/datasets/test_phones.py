"""Photographs as telephones take them: HEIC, AVIF and JPEG with several pictures."""

import struct
import sys
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from datasets import index
from datasets.errors import UnusableError
from datasets.formats.boxes import read_primary
from datasets.formats.heif import NO_HEIC
from datasets.framing import Framing, frame, upright
from datasets.prepare import prepare
from datasets.sources import open_source
from tests.datasets.making import Pixels, file_bytes, noise
from tests.datasets.test_colour import (
    DISPLAY_P3,
    SRGB,
    decode_srgb,
    encode_srgb,
    grey_profile,
    profile,
    srgb_of_xyz,
    to_d50,
)
from tests.datasets.test_framing import STORED

pillow_heif = pytest.importorskip("pillow_heif")

Format = Literal["HEIC", "AVIF"]
FORMATS: tuple[Format, ...] = ("HEIC", "AVIF")
COLOUR = (180, 150, 120)
BT_2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))


def soft(width: int, height: int) -> Pixels:
    """Colours that change slowly, so that coding leaves them as they are."""
    small = Image.fromarray(noise(3, 4, 3))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def coded(image: Image.Image | Pixels, format: Format, **options: Any) -> bytes:
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    if format == "AVIF":
        return file_bytes(image, "AVIF", quality=95, subsampling="4:4:4", **options)
    buffer = BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=95, chroma=444, **options)
    return buffer.getvalue()


def with_codes(data: bytes, primaries: int, transfer: int) -> bytes:
    """Change the numbers of the colours in the box `colr`."""
    place = data.index(b"colrnclx") + 8
    return data[:place] + struct.pack(">2H", primaries, transfer) + data[place + 4 :]


def plain(colour: tuple[int, ...] = COLOUR) -> Image.Image:
    return Image.new("RGB", (64, 64), colour)


@pytest.mark.parametrize("format", FORMATS)
def test_pixels_are_those_that_were_coded(format: Format) -> None:
    pixels = soft(96, 64)
    result = upright(coded(pixels, format), 3).astype(int)
    assert result.shape == pixels.shape
    assert np.abs(result - pixels).mean() < 2
    squared = frame(coded(pixels, format), Framing(resolution=32, channels=1))
    expected = frame(pixels, Framing(resolution=32, channels=1)).astype(int)
    assert np.abs(squared - expected).mean() < 2


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("orientation", STORED)
def test_turned_upright(orientation: int, format: Format) -> None:
    pixels = soft(96, 64)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](pixels))
    result = upright(coded(stored, format, exif=exif.tobytes()), 3).astype(int)
    assert result.shape == pixels.shape
    assert np.abs(result - pixels).mean() < 2


@pytest.mark.parametrize("format", FORMATS)
def test_only_the_boxes_tell_how_a_picture_is_turned(format: Format) -> None:
    pixels = soft(96, 64)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = coded(pixels, format, exif=exif.tobytes())
    # A quarter turn becomes a whole one, whatever Exif says beside it.
    place = data.index(b"irot") + 4
    unturned = data[:place] + b"\0" + data[place + 1 :]
    assert data[place] & 3
    assert upright(unturned, 3).shape == pixels.shape


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("codes", "primaries", "curve"),
    [((12, 13), DISPLAY_P3, 0.0), ((1, 13), SRGB, 0.0), ((2, 2), SRGB, 0.0), ((1, 8), SRGB, 1.0),
     ((9, 4), BT_2020, 2.2)],
)  # fmt: skip
def test_colours_by_their_codes(
    codes: tuple[int, int],
    primaries: tuple[tuple[float, float], ...],
    curve: float,
    format: Format,
) -> None:
    encoded = np.array(COLOUR) / 255
    linear = encoded**curve if curve else decode_srgb(encoded)
    expected = srgb_of_xyz(to_d50(primaries) @ linear)
    result = upright(with_codes(coded(plain(), format), *codes), 3)[32, 32]
    assert np.abs(result - expected).max() <= 3


@pytest.mark.parametrize("format", FORMATS)
def test_colours_by_a_profile(format: Format) -> None:
    expected = srgb_of_xyz(to_d50(DISPLAY_P3) @ decode_srgb(np.array(COLOUR) / 255))
    data = coded(plain(), format, icc_profile=profile(DISPLAY_P3, None))
    assert np.abs(upright(data, 3)[32, 32] - expected).max() <= 3
    # Of a grey scale, it is for other pictures.
    grey = coded(plain(), format, icc_profile=grey_profile(1.0))
    assert np.abs(upright(grey, 3)[32, 32] - np.array(COLOUR, float)).max() <= 3


@pytest.mark.parametrize("format", FORMATS)
def test_grey_by_a_profile(format: Format) -> None:
    data = coded(Image.new("L", (64, 64), 55), format, icc_profile=grey_profile(1.0))
    expected = 255 * encode_srgb(np.array(55 / 255))
    assert np.abs(upright(data, 1)[32, 32] - expected).max() <= 3


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("transfer", [16, 18])
def test_high_dynamic_range_is_refused(format: Format, transfer: int) -> None:
    data = with_codes(coded(plain(), format), 9, transfer)
    with pytest.raises(UnusableError, match="high dynamic range"):
        upright(data, 3)


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_transparent_becomes_white(format: Format) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, 32:, 3] = 128
    result = upright(coded(Image.fromarray(pixels), format), 3)
    assert np.abs(result[32, 8] - 255.0).max() <= 3
    assert np.abs(result[32, 56] - 127.0).max() <= 3


def test_ten_bits() -> None:
    samples = np.empty((64, 64, 3), np.uint16)
    samples[:] = np.array(COLOUR) * 257
    buffer = BytesIO()
    pillow_heif.encode("RGB;16", (64, 64), samples.tobytes(), buffer, quality=95, chroma=444)
    data = buffer.getvalue()
    assert pillow_heif.open_heif(data).info["bit_depth"] == 10
    assert np.abs(upright(data, 3)[32, 32] - np.array(COLOUR, float)).max() <= 3


def test_ten_bits_of_grey() -> None:
    samples = np.full((64, 64), 100 * 257, np.uint16)
    buffer = BytesIO()
    pillow_heif.encode("L;16", (64, 64), samples.tobytes(), buffer, quality=95)
    assert np.abs(upright(buffer.getvalue(), 3)[32, 32] - 100.0).max() <= 3


@pytest.mark.parametrize("primary", [0, 1, 2])
def test_of_several_pictures_the_primary_one_counts(primary: int) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    file = pillow_heif.HeifFile()
    for number, colour in enumerate(colours):
        # Of different sizes, so that none is taken for another.
        file.add_from_pillow(Image.new("RGB", (64 + 32 * number, 64), colour))
    buffer = BytesIO()
    file.save(buffer, quality=95, chroma=444, primary_index=primary)
    result = upright(buffer.getvalue(), 3)
    assert result.shape == (64, 64 + 32 * primary, 3)
    assert np.abs(result[32, 32] - np.array(colours[primary], float)).max() <= 3
    told = read_primary(buffer.getvalue())
    assert told.size == (64 + 32 * primary, 64)


def test_a_jpeg_of_several_pictures_shows_its_first() -> None:
    first, second = soft(96, 64), soft(64, 96)
    data = file_bytes(
        Image.fromarray(first), "MPO", quality=95, save_all=True,
        append_images=[Image.fromarray(second)],
    )  # fmt: skip
    result = upright(data, 3).astype(int)
    assert result.shape == first.shape
    assert np.abs(result - first).mean() < 2
    for resolution in (8, 16):
        scaled = frame(data, Framing(resolution=resolution)).astype(int)
        assert np.abs(scaled - frame(first, Framing(resolution=resolution))).mean() < 2


@pytest.mark.parametrize("format", FORMATS)
def test_sizes_are_looked_at_before_anything_is_decoded(format: Format) -> None:
    data = coded(plain(), format)
    place = data.index(b"ispe") + 8
    for size, reason in (
        ((100_000, 100_000), "more than 300 million pixels"),
        ((2**14, 2**14 + 1024), "larger than the reader" if format == "AVIF" else "damaged"),
    ):
        large = data[:place] + struct.pack(">2I", *size) + data[place + 8 :]
        with pytest.raises(UnusableError, match=reason):
            upright(large, 3)


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_is_cut_short_is_damaged(format: Format) -> None:
    data = coded(soft(96, 64), format)
    for end in (40, 100, len(data) // 2, len(data) - 20):
        with pytest.raises(UnusableError, match="damaged or cut short"):
            upright(data[:end], 3)


def test_without_its_package_the_reason_names_the_line_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = coded(plain(), "HEIC")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnusableError, match=r"pip install pillow-heif==\d"):
        upright(data, 3)
    # Any brand that telephones write.
    for brand in (b"heix", b"mif1", b"hevc", b"msf1"):
        with pytest.raises(UnusableError, match="pip install pillow-heif"):
            upright(data[:8] + brand + data[12:], 3)


@pytest.mark.parametrize("installed", [True, False])
def test_photographs_of_telephones_are_prepared_or_skipped_by_name(
    installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "photo.HEIC").write_bytes(coded(soft(64, 64), "HEIC"))
    (tmp_path / "pictures" / "a.avif").write_bytes(coded(soft(64, 64), "AVIF"))
    (tmp_path / "pictures" / "b.png").write_bytes(file_bytes(soft(64, 64)))
    if not installed:
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
    source = open_source(str(tmp_path / "pictures"), resolution=32, channels=3, seed=0)
    summary = prepare(
        source, tmp_path / "made", framing=Framing(resolution=32), source_name="pictures",
        held_out=0, seed=0, workers=1,
    )  # fmt: skip
    skipped = dict(index.read_skipped(tmp_path / "made" / "skipped.csv"))
    assert skipped == ({} if installed else {"photo.HEIC": NO_HEIC})
    used = {"photo.HEIC", "a.avif", "b.png"} - set(skipped)
    assert set(summary.dataset.names) == used


def test_without_its_decoder_avif_has_its_own_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    data = coded(plain(), "AVIF")
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(UnusableError, match="AVIF"):
        upright(data, 3)


def jpeg_header(marker: int, bits: int) -> bytes:
    frame_header = struct.pack(">BHHB", bits, 8, 8, 1) + b"\1\x11\0"
    beside = b"\xff\xe0\0\4ab\xff\xfe\0\3c"
    length = struct.pack(">H", len(frame_header) + 2)
    return b"\xff\xd8" + beside + b"\xff" + bytes([marker]) + length + frame_header + b"\xff\xd9"


@pytest.mark.parametrize(
    ("marker", "bits", "reason"),
    [(0xC1, 12, "12 bits a sample"), (0xC3, 8, "lossless"), (0xC0, 8, "damaged or cut short")],
)
def test_jpeg_files_that_nobody_decodes(marker: int, bits: int, reason: str) -> None:
    with pytest.raises(UnusableError, match=reason):
        upright(jpeg_header(marker, bits), 3)


def test_long_comments_cost_no_jpeg() -> None:
    pixels = soft(64, 64)
    data = file_bytes(pixels, "JPEG", quality=100, subsampling=0)
    comment = b"\xff\xfe\xff\xff" + b"x" * 65533
    xmp = b"\xff\xe1\xff\xff" + b"http://ns.adobe.com/xap/1.0/\0".ljust(65533, b" ")
    strange = b"\xff\xed\xff\xff" + (b"Photoshop 3.0\0" + 20_000 * b"8BIM")[:65533]
    filled: NDArray[np.uint8] = upright(data[:2] + (comment + xmp + strange) * 60 + data[2:], 3)
    assert np.array_equal(filled, upright(data, 3))


def test_long_metadata_cost_no_webp() -> None:
    pixels = noise(8, 8, 3)
    data = file_bytes(pixels, "WEBP", lossless=True, xmp=b"x" * 3_000_000)
    assert np.array_equal(upright(data, 3), pixels)
