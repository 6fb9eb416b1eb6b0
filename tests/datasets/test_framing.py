import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from datasets.colour import opaque, to_srgb
from datasets.decoding import pillow_set_up
from datasets.errors import UnusableError
from datasets.framing import Box, Crop, Framing, frame, parse_crop, reduction
from tests.datasets.making import Pixels, file_bytes, noise

ROOT = Path(__file__).parents[2]

# How a camera that was turned stores an upright picture, after the definition of the tag: where
# the first stored row and the first stored column are in the picture.
STORED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: upright[:, ::-1].swapaxes(0, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: upright[::-1].swapaxes(0, 1),
}


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_pictures_are_turned_upright(orientation: int, format: str) -> None:
    upright = noise(8, 12, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](upright))
    options = {"lossless": True} if format == "WEBP" else {}
    data = file_bytes(stored, format, exif=exif, **options)
    result = frame(data, Framing(resolution=8, crop=Box(3, 0, 8)))
    assert np.array_equal(result, upright[:, 3:11])


def photograph(width: int, height: int) -> Pixels:
    """Colours that change slowly, but nowhere alike: any shift shows."""
    small = Image.fromarray(noise(height // 40 + 2, width // 40 + 2, 3))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("orientation", STORED)
def test_scaled_decoding_frames_the_same_square(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Neither side is a multiple of 8, so that pixels at two edges are fractions.
    stored = np.ascontiguousarray(STORED[orientation](photograph(213, 331)))
    data = file_bytes(stored, "JPEG", quality=95, subsampling=0, exif=exif)

    def framed(crop: Crop, decoding: Literal["scaled", "full"], side: int) -> NDArray[np.int_]:
        settings = Framing(resolution=side, crop=crop, decoding=decoding)
        assert (reduction(213, 331, settings) > 1) == (decoding == "scaled")
        return frame(data, settings).astype(int)

    for side in (8, 16, 32, 64):
        squares: tuple[Crop, ...] = ("centre", "top")
        for crop in squares:
            difference = framed(crop, "scaled", side) - framed(crop, "full", side)
            assert np.abs(difference).mean() < 2
        for x, y in ((7, 101), (15, 133), (1, 1)):
            scaled = framed(Box(x, y, 197), "scaled", side)
            nearest = np.abs(scaled - framed(Box(x, y, 197), "full", side)).mean()
            for across, down in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                shifted = framed(Box(x + across, y + down, 197), "full", side)
                assert np.abs(scaled - shifted).mean() > nearest


def test_a_file_is_decoded_at_the_smallest_size_that_is_enough() -> None:
    def chosen(width: int, height: int, side: int, **settings: Any) -> int:
        return reduction(width, height, Framing(resolution=side, **settings))

    assert chosen(4000, 3000, 256) == 4
    assert chosen(4000, 3000, 1024) == 2
    assert chosen(675, 825, 256) == 2
    assert chosen(675, 825, 128) == 2
    assert chosen(675, 825, 32) == 8
    assert chosen(600, 600, 256) == 1
    assert chosen(4000, 3000, 256, crop=Box(0, 0, 500)) == 1
    assert chosen(4000, 3000, 256, decoding="full") == 1
    assert chosen(4000, 3000, 256, crop="face") == 1


def test_only_jpeg_files_are_decoded_at_a_fraction() -> None:
    picture = photograph(120, 90)
    for format in ("PNG", "TIFF", "BMP"):
        settings = Framing(resolution=16)
        assert np.array_equal(
            frame(file_bytes(picture, format), settings), frame(picture, settings)
        )


def test_extreme_shapes_have_a_reason() -> None:
    for width, height in ((3000, 1), (1, 3000), (3000, 3)):
        data = file_bytes(noise(height, width, 3), "JPEG")
        with pytest.raises(UnusableError, match="smaller than"):
            frame(data, Framing(resolution=8))
        with pytest.raises(UnusableError, match="smaller than the crop"):
            frame(data, Framing(resolution=8, crop=Box(0, 0, 2000)))


def test_a_damaged_orientation_does_not_cost_the_picture() -> None:
    pixels = noise(8, 8, 3)
    for exif in (b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"):
        assert np.array_equal(frame(file_bytes(pixels, exif=exif), Framing(resolution=8)), pixels)


def plain(mode: str, value: Any) -> Image.Image:
    return Image.new(mode, (8, 8), value)


def grey_16(value: int, kind: str = "<u2") -> Image.Image:
    return Image.fromarray(np.full((8, 8), value, kind))


def with_palette(colour: tuple[int, int, int]) -> Image.Image:
    image = plain("P", 1)
    image.putpalette([9, 9, 9, *colour])
    return image


RED = (255, 0, 0)
COLOURS: list[tuple[str, bytes, tuple[int, int, int], int]] = [
    ("1 white", file_bytes(plain("1", 1)), (255, 255, 255), 0),
    ("1 black", file_bytes(plain("1", 0)), (0, 0, 0), 0),
    ("L", file_bytes(plain("L", 100)), (100, 100, 100), 0),
    ("L transparent", file_bytes(plain("L", 100), transparency=100), (255, 255, 255), 0),
    ("LA", file_bytes(plain("LA", (0, 128))), (127, 127, 127), 0),
    ("P", file_bytes(with_palette((1, 2, 3))), (1, 2, 3), 0),
    ("P transparent", file_bytes(with_palette((1, 2, 3)), transparency=1), (255, 255, 255), 0),
    (
        "P half transparent",
        file_bytes(with_palette((1, 2, 3)), transparency=b"\xff\x80"),
        (127, 128, 128),
        1,
    ),
    ("GIF", file_bytes(with_palette((1, 2, 3)), "GIF"), (1, 2, 3), 0),
    ("RGB transparent", file_bytes(plain("RGB", RED), transparency=RED), (255, 255, 255), 0),
    ("RGBA", file_bytes(plain("RGBA", (200, 0, 0, 64))), (241, 191, 191), 0),
    ("RGBA WebP", file_bytes(plain("RGBA", (0, 0, 0, 0)), "WEBP"), (255, 255, 255), 0),
    ("BMP", file_bytes(plain("RGB", (1, 2, 3)), "BMP"), (1, 2, 3), 0),
    ("JPEG", file_bytes(plain("RGB", (200, 100, 50)), "JPEG"), (200, 100, 50), 2),
    # Pillow writes the inverted inks that Adobe's programs do.
    ("CMYK JPEG", file_bytes(plain("CMYK", (0, 255, 255, 0)), "JPEG"), RED, 2),
    ("CMYK TIFF", file_bytes(plain("CMYK", (0, 255, 255, 0)), "TIFF"), RED, 0),
    ("YCbCr", file_bytes(plain("RGB", RED).convert("YCbCr"), "TIFF"), RED, 2),
    # In memory, Pillow's a and b are 128 more than their meaning.
    ("Lab", file_bytes(plain("LAB", (138, 81 + 128, 70 + 128)), "TIFF"), RED, 6),
    ("16 bits, low", file_bytes(grey_16(300)), (1, 1, 1), 0),
    ("16 bits, middle", file_bytes(grey_16(200 * 257)), (200, 200, 200), 0),
    ("16 bits, rounded", file_bytes(grey_16(100 * 257 + 129)), (101, 101, 101), 0),
    ("16 bits, white", file_bytes(grey_16(65535)), (255, 255, 255), 0),
    ("16 bits, other end", file_bytes(grey_16(200 * 257, ">u2"), "TIFF"), (200, 200, 200), 0),
    ("16 bits, clear", file_bytes(grey_16(300), transparency=300), (255, 255, 255), 0),
    ("I of 8 bits", file_bytes(plain("I", 200), "TIFF"), (200, 200, 200), 0),
    ("I of 16 bits", file_bytes(plain("I", 200 * 257), "TIFF"), (200, 200, 200), 0),
    ("F to 1", file_bytes(plain("F", 0.25), "TIFF"), (64, 64, 64), 0),
    ("F to 255", file_bytes(plain("F", 200.4), "TIFF"), (200, 200, 200), 0),
    ("F to 65535", file_bytes(plain("F", 200 * 257.0), "TIFF"), (200, 200, 200), 0),
]


@pytest.mark.parametrize(
    ("data", "rgb", "tolerance"), [c[1:] for c in COLOURS], ids=[c[0] for c in COLOURS]
)
def test_colour_modes(data: bytes, rgb: tuple[int, int, int], tolerance: int) -> None:
    result = frame(data, Framing(resolution=8)).astype(int)
    assert result.shape == (8, 8, 3)
    assert np.abs(result - np.array(rgb)).max() <= tolerance


@pytest.mark.parametrize(
    ("image", "rgb"),
    [
        (plain("HSV", (0, 255, 255)), RED),
        (plain("La", (0, 128)), (127, 127, 127)),
        (plain("RGBa", (50, 0, 0, 64)), (241, 191, 191)),
        (plain("RGBX", (1, 2, 3, 0)), (1, 2, 3)),
        (plain("PA", 0), (0, 0, 0)),
        (plain("I;16L", 200 * 257), (200, 200, 200)),
        (plain("I;16B", 200 * 257), (200, 200, 200)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_colour_modes_that_no_file_of_ours_has(
    image: Image.Image, rgb: tuple[int, int, int]
) -> None:
    if image.mode == "PA":
        image.putalpha(255)
    assert to_srgb(opaque(image), None).getpixel((0, 0)) == rgb


# More pixels than are converted at a time, in rows that do not fill the last of the times.
LARGE = (1000, 700)


def test_a_large_picture_loses_its_transparency_everywhere() -> None:
    pixels = noise(*LARGE, 4)
    colours, opacity = pixels[..., :3].astype(float), pixels[..., 3:] / 255
    found = np.asarray(opaque(Image.fromarray(pixels)))
    assert np.abs(found - (colours * opacity + 255 * (1 - opacity))).max() <= 1


def test_a_large_picture_of_wide_numbers_is_scaled_by_its_largest() -> None:
    numbers = np.random.default_rng(0).integers(0, 200, LARGE)
    sixteen = Image.fromarray((numbers * 257).astype("<u2"))
    assert np.array_equal(np.asarray(opaque(sixteen)), numbers)
    small = Image.fromarray(numbers.astype(np.int32))
    assert np.array_equal(np.asarray(opaque(small)), numbers)
    # The only number that tells of 16 bits stands in the last row.
    numbers[-1, -1] = 65535
    large = Image.fromarray(numbers.astype(np.float32))
    assert np.array_equal(np.asarray(opaque(large)), np.rint(numbers / 257))


def test_a_transparent_picture_takes_no_more_memory_than_it_must() -> None:
    # Palette, one byte a pixel, and colours, four: 250 MB. Whole copies with transparency would be
    # 200 MB each.
    code = (
        "import resource\n"
        "from pathlib import Path\n"
        "from PIL import Image\n"
        "from datasets.colour import opaque\n"
        "image = Image.new('P', (50, 10**6))\n"
        "image.info['transparency'] = 3\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 300 * 2**20,) * 2)\n"
        "print(opaque(image).size)\n"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("how much memory a process has is read in a way that only Linux knows")
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "(50, 1000000)\n"), ended.stderr


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 70000.0])
def test_brightness_without_a_meaning_is_refused(value: float) -> None:
    numbers = np.full((8, 8), 0.5, np.float32)
    numbers[2, 3] = value
    with pytest.raises(UnusableError, match="brightness"):
        frame(file_bytes(Image.fromarray(numbers), "TIFF"), Framing(resolution=8))


def test_grey_is_luminance() -> None:
    result = frame(file_bytes(plain("RGB", RED)), Framing(resolution=8, channels=1))
    assert result.shape == (8, 8, 1)
    assert set(result.ravel().tolist()) == {76}


@given(st.integers(8, 30), st.integers(8, 30))
def test_crops_of_pixels_that_need_no_resampling(width: int, height: int) -> None:
    side = min(width, height)
    resolution = 16
    picture = noise(height, width, 3)
    for crop, top in (("centre", (height - side) // 2), ("top", 0)):
        left = (width - side) // 2
        settings = Framing(resolution=resolution, crop=parse_crop(crop), upscale=True)
        expected = frame(picture[top : top + side, left : left + side], settings)
        assert np.array_equal(frame(picture, settings), expected)
        if side == resolution:
            assert np.array_equal(expected, picture[top : top + side, left : left + side])


def test_the_box_counts_from_the_upper_left_and_may_touch_the_edges() -> None:
    picture = noise(12, 10, 3)
    result = frame(picture, Framing(resolution=8, crop=Box(2, 4, 8)))
    assert np.array_equal(result, picture[4:12, 2:10])
    for box in (Box(3, 4, 8), Box(2, 5, 8)):
        with pytest.raises(UnusableError, match="smaller than the crop"):
            frame(picture, Framing(resolution=8, crop=box))


def test_reducing_is_antialiased() -> None:
    fine = np.indices((64, 64)).sum(axis=0) % 2 * 255
    picture = np.repeat(fine[..., None], 3, axis=2).astype(np.uint8)
    result = frame(picture, Framing(resolution=16)).astype(int)
    assert np.abs(result - 127).max() <= 12


def test_small_pictures_are_enlarged_only_when_asked() -> None:
    picture = noise(40, 15, 3)
    with pytest.raises(UnusableError, match="smaller than 16 pixels"):
        frame(picture, Framing(resolution=16))
    assert frame(picture, Framing(resolution=16, upscale=True)).shape == (16, 16, 3)
    assert frame(noise(16, 40, 3), Framing(resolution=16)).shape == (16, 16, 3)


def png_of_size(width: int, height: int) -> bytes:
    """The first bytes of a black and white file that promises a size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 100) + b"IDAT"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a picture of a known format"),
        (b"These are words and not a picture.", "not a picture of a known format"),
        (file_bytes(noise(64, 64, 3), "PPM"), "not a picture of a known format"),
        (file_bytes(noise(64, 64, 3), "JPEG")[:-400], "damaged or cut short"),
        (file_bytes(noise(64, 64, 3), "PNG")[:-400], "damaged or cut short"),
        (file_bytes(noise(64, 64, 3), "WEBP")[:-400], "damaged or cut short"),
        (png_of_size(100_000, 100_000), "more than 300 million pixels"),
        (png_of_size(20_000, 15_001), "more than 300 million pixels"),
        # Of 200 megapixels, as telephones have them: only the rest of the file is missing.
        (png_of_size(16_320, 12_240), "damaged or cut short"),
    ],
)
def test_what_cannot_be_read_has_a_reason(
    data: bytes, reason: str, recwarn: pytest.WarningsRecorder
) -> None:
    with pytest.raises(UnusableError) as caught:
        frame(data, Framing(resolution=8))
    assert str(caught.value) == reason
    assert not recwarn.list


def test_the_first_frame_of_a_film_counts() -> None:
    frames = [plain("RGB", RED), plain("RGB", (0, 255, 0))]
    for format in ("PNG", "WEBP", "GIF", "TIFF"):
        data = file_bytes(frames[0], format, save_all=True, append_images=frames[1:])
        result = frame(data, Framing(resolution=8)).astype(int)
        assert np.abs(result - np.array(RED)).max() <= 3, format


SEEDS = [
    file_bytes(noise(16, 16, 3), "PNG"),
    file_bytes(noise(16, 16, 3), "JPEG"),
    file_bytes(noise(16, 16, 3), "TIFF", compression="tiff_lzw"),
    file_bytes(with_palette((1, 2, 3)), "GIF"),
    file_bytes(noise(16, 16, 3), "BMP"),
    file_bytes(noise(16, 16, 3), "WEBP"),
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255))))
def test_damage_leads_to_pixels_or_to_a_reason(data: bytes, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(data)
    for place, value in changes:
        # Early bytes decide more.
        damaged[place % min(len(damaged), 200)] = value
    try:
        result = frame(bytes(damaged), Framing(resolution=16, upscale=True))
    except UnusableError as unusable:
        assert str(unusable)
    else:
        assert result.shape == (16, 16, 3)


def test_nothing_of_pillow_is_changed_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12345)
    frame(file_bytes(noise(8, 8, 3)), Framing(resolution=8))
    with pytest.raises(UnusableError):
        frame(b"x", Framing(resolution=8))
    assert Image.MAX_IMAGE_PIXELS == 12345


def test_settings_of_pillow_come_back_when_the_last_thread_is_done() -> None:
    usual, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    first, second = pillow_set_up(), pillow_set_up()
    with first:
        ours = Image.MAX_IMAGE_PIXELS
        second.__enter__()
    # The first one is done, and the second at work.
    assert Image.MAX_IMAGE_PIXELS == ours != usual
    second.__exit__(None, None, None)
    after = Image.MAX_IMAGE_PIXELS
    assert after == usual
    assert warnings.filters == filters


@pytest.mark.parametrize("text", ["centre", "top", "face", "0,0,1", "25,57,128"])
def test_crops_are_read_and_written_alike(text: str) -> None:
    assert str(parse_crop(text)) == text


@pytest.mark.parametrize(
    "text", ["", "center", "faces", "1,2", "1,2,3,4", "1,2,0", "-1,2,3", "1,2,x"]
)
def test_other_crops_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        parse_crop(text)
