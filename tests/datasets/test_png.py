"""PNG files put together byte by byte: transparency, depths, and what their chunks tell."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datasets.errors import UnusableError
from datasets.framing import upright
from tests.datasets.hand_made import PNG_SIGNATURE, Chunk, chunk, packed, png
from tests.datasets.making import file_bytes, noise
from tests.datasets.test_colour import (
    ADOBE_RGB,
    D65,
    DISPLAY_P3,
    SRGB,
    decode_srgb,
    encode_srgb,
    profile,
    srgb_of_xyz,
    to_d50,
)

ROOT = Path(__file__).parents[2]
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
Samples = NDArray[Any]


def values(bits: int, *shape: int) -> Samples:
    result = np.random.default_rng(bits).integers(0, 2**bits, shape, dtype=np.int64)
    result[0, 0], result[0, 1] = 0, 2**bits - 1
    return result


def shown(data: bytes) -> NDArray[np.float64]:
    return upright(data, 3).astype(np.float64)


def is_rounded(result: NDArray[np.float64], expected: Samples) -> bool:
    return bool(np.abs(result - expected).max() <= 0.5 + 1e-6)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_one_grey_is_transparent(bits: int) -> None:
    samples = values(bits, 9, 11, 1)
    clear = int(samples[4, 4, 0])
    near = clear ^ 1
    samples[5, 5] = near
    # Higher bits than a sample has mean nothing.
    for told in {clear, clear | (1 << bits) & 0xFFFF}:
        result = shown(png(samples, bits, GREY, [(b"tRNS", struct.pack(">H", told))]))
        expected = np.where(samples == clear, 255, samples * 255 / (2**bits - 1))
        assert is_rounded(result, expected)


@pytest.mark.parametrize("bits", [8, 16])
def test_one_colour_is_transparent(bits: int) -> None:
    samples = values(bits, 9, 11, 3)
    clear = samples[4, 4].tolist()
    # One that differs in its lowest bit is another.
    samples[5, 5] = clear
    samples[5, 5, 2] ^= 1
    samples[6, 6, :2] = clear[:2]
    result = shown(png(samples, bits, RGB, [(b"tRNS", struct.pack(">3H", *clear))]))
    hit = (samples == clear).all(axis=-1, keepdims=True)
    assert is_rounded(result, np.where(hit, 255, samples * 255 / (2**bits - 1)))
    assert hit.sum() == 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_colours_of_a_palette_are_transparent(bits: int) -> None:
    samples = values(bits, 9, 11, 1)
    palette = noise(2**bits, 3).astype(int)
    # Those without an opacity are opaque.
    opacity = np.array([0, 128, *[255] * (2**bits - 2)])
    told = bytes(opacity[: max(2, 2**bits - 1)].tolist())
    chunks = [(b"PLTE", palette.astype(np.uint8).tobytes()), (b"tRNS", told)]
    result = shown(png(samples, bits, PALETTE, chunks))
    part = opacity[samples] / 255
    expected = palette[samples[..., 0]] * part + 255 * (1 - part)
    assert np.abs(result - expected).max() <= 1


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("kind", "count"), [(GREY_ALPHA, 2), (RGB_ALPHA, 4)])
def test_opacity(bits: int, kind: int, count: int) -> None:
    samples = values(bits, 9, 11, count)
    samples[2:4, ..., -1] = 2**bits - 1
    samples[4:6, ..., -1] = 0
    parts = samples / (2**bits - 1)
    expected = 255 * (parts[..., :-1] * parts[..., -1:] + 1 - parts[..., -1:])
    assert np.abs(shown(png(samples, bits, kind)) - expected).max() <= 1.5


@pytest.mark.parametrize(("kind", "count"), [(GREY, 1), (RGB, 3), (GREY_ALPHA, 2), (RGB_ALPHA, 4)])
def test_16_bits_are_rounded(kind: int, count: int) -> None:
    samples = values(16, 9, 11, count)
    if count in (2, 4):
        samples[..., -1] = 65535
    colours = samples[..., : 1 if count < 3 else 3]
    assert is_rounded(shown(png(samples, 16, kind)), colours / 257)


def interlaced(samples: Samples, bits: int, colour_type: int) -> bytes:
    """The same in the seven passes of Adam7."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
              (1, 0, 2, 1)]  # fmt: skip
    rows = b""
    for top, left, down, across in passes:
        part = samples[top::down, left::across]
        if part.size:
            rows += b"".join(b"\0" + row for row in packed(part.reshape(len(part), -1), bits))
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 1)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in parts)


@pytest.mark.parametrize(("kind", "count"), [(GREY, 1), (RGB, 3), (GREY_ALPHA, 2), (RGB_ALPHA, 4)])
def test_16_bits_interlaced(kind: int, count: int) -> None:
    samples = values(16, 13, 11, count)
    plain = shown(png(samples, 16, kind))
    assert np.array_equal(shown(interlaced(samples, 16, kind)), plain)


def gamma(value: int) -> Chunk:
    return b"gAMA", struct.pack(">I", value)


def chromaticities(primaries: tuple[tuple[float, float], ...]) -> Chunk:
    numbers = [round(number * 100_000) for pair in (D65, *primaries) for number in pair]
    return b"cHRM", struct.pack(">8I", *numbers)


def icc(data: bytes, name: bytes = b"x") -> Chunk:
    return b"iCCP", name + b"\0\0" + zlib.compress(data)


COLOUR = (200, 150, 60)


def one_colour(*chunks: Chunk, colour: tuple[int, ...] = COLOUR) -> NDArray[np.float64]:
    samples = np.full((4, 4, len(colour)), colour)
    result = shown(png(samples, 8, RGB if len(colour) == 3 else GREY, chunks))
    return np.asarray(result[0, 0])


def with_primaries(primaries: tuple[tuple[float, float], ...], linear: Samples) -> Samples:
    return srgb_of_xyz(to_d50(primaries) @ linear)


@pytest.mark.parametrize("value", [100_000, 55_556, 50_000, 38_462])
@pytest.mark.parametrize("colour", [COLOUR, (55, 55, 55), (90,), (8,), (255,), (0,)])
def test_gamma(value: int, colour: tuple[int, ...]) -> None:
    expected = 255 * encode_srgb((np.array(colour) / 255) ** (100_000 / value))
    assert np.abs(one_colour(gamma(value), colour=colour) - expected).max() <= 1


@pytest.mark.parametrize("value", [45_455, 45_454, 45_000, 46_000, 0, 1, 2**31])
def test_the_gamma_of_a_screen_or_none_that_has_a_meaning(value: int) -> None:
    assert tuple(one_colour(gamma(value))) == COLOUR


def test_linear_light_of_16_bits_keeps_the_dark() -> None:
    # In 8 bits, the first thirty shades of sRGB would be five.
    samples = np.arange(0, 2000, 10).reshape(10, 20, 1)
    expected = 255 * encode_srgb(samples / 65535)
    assert is_rounded(shown(png(samples, 16, GREY, [gamma(100_000)])), expected)
    colours = np.repeat(samples, 3, axis=-1)
    result = shown(png(colours, 16, RGB, [gamma(100_000)]))
    assert is_rounded(result, np.repeat(expected, 3, axis=-1))


@pytest.mark.parametrize("primaries", [ADOBE_RGB, DISPLAY_P3])
def test_primaries(primaries: tuple[tuple[float, float], ...]) -> None:
    expected = with_primaries(primaries, decode_srgb(np.array(COLOUR) / 255))
    assert np.abs(one_colour(gamma(45_455), chromaticities(primaries)) - expected).max() <= 1
    assert np.abs(one_colour(chromaticities(primaries)) - expected).max() <= 1
    linear = with_primaries(primaries, np.array(COLOUR) / 255)
    assert np.abs(one_colour(gamma(100_000), chromaticities(primaries)) - linear).max() <= 1


@pytest.mark.parametrize(
    "numbers", [[0] * 8, [31270, 32900] * 4, [2**31] * 8, [1, 0, 2, 0, 3, 0, 4, 0]]
)
def test_primaries_without_a_meaning_count_as_none(numbers: list[int]) -> None:
    assert tuple(one_colour((b"cHRM", struct.pack(">8I", *numbers)))) == COLOUR
    grey = (100,)
    told = one_colour(gamma(100_000), (b"cHRM", struct.pack(">8I", *numbers)), colour=grey)
    assert np.abs(told - 255 * encode_srgb(np.array(100 / 255))).max() <= 1


def test_the_primaries_of_srgb_change_nothing() -> None:
    assert tuple(one_colour(gamma(45_455), chromaticities(SRGB))) == COLOUR


def cicp(primaries: int, transfer: int, matrix: int = 0, full: int = 1) -> Chunk:
    return b"cICP", bytes([primaries, transfer, matrix, full])


BT_2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))


def decode_709(encoded: Samples) -> Samples:
    """The inverse of ITU-R BT.709's transfer, with the constants of its text."""
    return np.where(encoded < 0.081, encoded / 4.5, ((encoded + 0.099) / 1.099) ** (1 / 0.45))


@pytest.mark.parametrize(
    ("codes", "primaries", "decode"),
    [
        ((12, 13), DISPLAY_P3, decode_srgb),
        ((1, 13), SRGB, decode_srgb),
        ((2, 13), SRGB, decode_srgb),
        ((9, 14), BT_2020, decode_709),
        ((1, 1), SRGB, decode_709),
        ((1, 8), SRGB, lambda encoded: encoded),
        ((12, 4), DISPLAY_P3, lambda encoded: encoded**2.2),
        ((1, 5), SRGB, lambda encoded: encoded**2.8),
    ],
)
def test_coded_colours(codes: tuple[int, int], primaries: Any, decode: Any) -> None:
    expected = with_primaries(primaries, decode(np.array(COLOUR) / 255))
    assert np.abs(one_colour(cicp(*codes)) - expected).max() <= 1
    samples = np.full((4, 4, 3), COLOUR) * 257
    sixteen = shown(png(samples, 16, RGB, [cicp(*codes)]))[0, 0]
    assert np.abs(sixteen - expected).max() <= 1.5


def test_coded_display_p3_looks_as_with_its_profile() -> None:
    by_profile = one_colour(icc(profile(DISPLAY_P3, None)))
    assert np.abs(one_colour(cicp(12, 13)) - by_profile).max() <= 1
    assert by_profile[0] > COLOUR[0] + 5


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [GREY, RGB, GREY_ALPHA, RGB_ALPHA])
def test_the_narrow_range_of_films(bits: int, kind: int) -> None:
    count = {GREY: 1, RGB: 3, GREY_ALPHA: 2, RGB_ALPHA: 4}[kind]
    unit = 2 ** (bits - 8)
    samples = np.full((4, 4, count), 126 * unit)
    samples[1], samples[2], samples[3] = 16 * unit, 235 * unit, 250 * unit
    if kind in (GREY_ALPHA, RGB_ALPHA):
        samples[..., -1] = 2**bits - 1
    result = shown(png(samples, bits, kind, [cicp(1, 13, full=0)]))
    expected = [255 * (126 - 16) / 219, 0, 255, 255]
    assert np.abs(result[:, 0, 0] - expected).max() <= 0.5


def test_clear_samples_are_white_in_the_narrow_range() -> None:
    samples = np.full((4, 4, 1), 126)
    result = shown(png(samples, 8, GREY, [cicp(1, 13, full=0), (b"tRNS", b"\0\x7e")]))
    assert (result == 255).all()


@pytest.mark.parametrize("transfer", [16, 18])
def test_high_dynamic_range_is_refused(transfer: int) -> None:
    with pytest.raises(UnusableError, match="high dynamic range"):
        one_colour(cicp(9, transfer))


def test_a_profile_of_high_dynamic_range_is_refused() -> None:
    made = bytearray(profile(DISPLAY_P3, None))
    # In place of its name: the tag with the codes of BT.2100's PQ.
    place = made.index(b"desc", 128)
    made[place : place + 4] = b"cicp"
    (where,) = struct.unpack_from(">I", made, place + 4)
    made[where : where + 12] = b"cicp" + bytes(4) + bytes([9, 16, 0, 1])
    with pytest.raises(UnusableError, match="high dynamic range"):
        one_colour(icc(bytes(made)))


P3_ICC, ADOBE_ICC = icc(profile(DISPLAY_P3, None)), icc(profile(ADOBE_RGB, 563 / 256))


@pytest.mark.parametrize(
    ("chunks", "same_as"),
    [
        ([gamma(100_000), (b"sRGB", b"\0"), ADOBE_ICC, cicp(12, 13)], [cicp(12, 13)]),
        ([cicp(12, 13), ADOBE_ICC], [cicp(12, 13)]),
        ([gamma(100_000), (b"sRGB", b"\0"), ADOBE_ICC], [ADOBE_ICC]),
        ([chromaticities(DISPLAY_P3), gamma(100_000), (b"sRGB", b"\1")], []),
        # What has no meaning does not stand in the way of what has.
        ([cicp(2, 2), ADOBE_ICC], [ADOBE_ICC]),
        ([cicp(77, 99), P3_ICC], [P3_ICC]),
        ([cicp(12, 13, matrix=6), ADOBE_ICC], [ADOBE_ICC]),
        ([(b"cICP", b"\x0c\x0d"), P3_ICC], [P3_ICC]),
        ([(b"iCCP", b"x\0\0nonsense"), gamma(100_000)], [gamma(100_000)]),
        ([icc(b"nonsense"), gamma(100_000)], [gamma(100_000)]),
        ([icc(profile(ADOBE_RGB, 1.8, space=b"GRAY")), gamma(100_000)], [gamma(100_000)]),
        ([P3_ICC, ADOBE_ICC], [P3_ICC]),
    ],
)
def test_the_first_that_tells_the_colours_counts(chunks: list[Chunk], same_as: list[Chunk]) -> None:
    assert np.array_equal(one_colour(*chunks), one_colour(*same_as))


def test_a_chunk_with_a_wrong_checksum_counts_as_none() -> None:
    samples = np.full((4, 4, 3), COLOUR)
    data = png(samples, 8, RGB, [cicp(12, 13)])
    place = data.index(b"cICP") + 8
    damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    assert tuple(shown(damaged)[0, 0]) == COLOUR


TEXT = b"A" * 3_000_000
LONG_TEXTS: list[Chunk] = [
    (b"zTXt", b"Raw profile\0\0" + zlib.compress(TEXT)),
    (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(TEXT)),
    (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(TEXT)),
    (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + TEXT),
    (b"tEXt", b"parameters\0" + TEXT),
    (b"tEXt", b"\xff" * 200 + b"\0" + TEXT),
    (b"zTXt", b"x\0\7nonsense"),
    (b"iTXt", b"XML:com.adobe.xmp\0\1"),
    (b"eXIf", TEXT),
    (b"prVt", TEXT),
    (b"tIME", b""),
]


@pytest.mark.parametrize("number", range(len(LONG_TEXTS)))
@pytest.mark.parametrize(("bits", "kind", "count"), [(8, RGB, 3), (16, GREY_ALPHA, 2)])
def test_text_costs_no_picture(number: int, bits: int, kind: int, count: int) -> None:
    samples = values(bits, 6, 7, count)
    sound = shown(png(samples, bits, kind))
    beside = [LONG_TEXTS[number]]
    assert np.array_equal(shown(png(samples, bits, kind, beside)), sound)
    assert np.array_equal(shown(png(samples, bits, kind, [], beside)), sound)


def test_much_text_costs_no_picture() -> None:
    samples = values(8, 6, 7, 3)
    text = (b"zTXt", b"comment\0\0" + zlib.compress(bytes(10**6)))
    assert np.array_equal(shown(png(samples, 8, RGB, [text] * 100)), samples)


def test_text_that_inflates_takes_no_memory() -> None:
    # 600 MB of text and profile in 600 kB.
    code = (
        "import resource, zlib, numpy as np\n"
        "from pathlib import Path\n"
        "from datasets.framing import upright\n"
        "from tests.datasets.hand_made import png\n"
        "packer = zlib.compressobj(1)\n"
        "piece = bytes(10**7)\n"
        "bomb = b''.join(packer.compress(piece) for _ in range(20)) + packer.flush()\n"
        "chunks = [(b'zTXt', b'Raw profile type exif\\0\\0' + bomb),\n"
        "          (b'iTXt', b'XML:com.adobe.xmp\\0\\1\\0\\0\\0' + bomb),\n"
        "          (b'iCCP', b'x\\0\\0' + bomb)]\n"
        "data = png(np.full((4, 4, 3), 7), 8, 2, chunks)\n"
        "upright(png(np.full((4, 4, 3), 7), 8, 2), 3)\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 60 * 2**20,) * 2)\n"
        "print(upright(data, 3).mean())\n"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("how much memory a process has is read in a way that only Linux knows")
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "7.0\n"), ended.stderr


def test_a_large_profile_is_followed() -> None:
    # Beyond its tags, it may hold anything.
    large = profile(DISPLAY_P3, None) + np.random.default_rng(0).bytes(3_000_000)
    large = struct.pack(">I", len(large)) + large[4:]
    assert np.array_equal(one_colour(icc(large)), one_colour(P3_ICC))
    too_large = profile(DISPLAY_P3, None) + bytes(9 * 2**20)
    assert tuple(one_colour(icc(too_large))) == COLOUR


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("way", ["eXIf", "zTXt", "iTXt", "iTXt packed"])
def test_turned_wherever_it_is_told(way: str, after: bool) -> None:
    samples = noise(5, 7, 3)
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    xmp = b'<rdf:Description tiff:Orientation="6"/>'
    hexadecimal = b"\nexif\n      32\n" + (b"Exif\0\0" + exif).hex().encode()
    told = {
        "eXIf": (b"eXIf", exif),
        "zTXt": (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(hexadecimal)),
        "iTXt": (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        "iTXt packed": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp)),
    }[way]
    data = png(samples, 8, RGB, [] if after else [told], [told] if after else [])
    assert np.array_equal(shown(data), np.rot90(samples, -1))


def test_limits_are_not_called_damage() -> None:
    for size, bits, reason in (
        ((20_000, 15_001), 8, "more than 300 million pixels"),
        ((15_000, 15_000), 16, "more than 1200 million bytes of samples"),
    ):
        header = struct.pack(">IIBBBBB", *size, bits, RGB_ALPHA, 0, 0, 0)
        with pytest.raises(UnusableError, match=reason):
            upright(PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", b""), 3)


def test_a_film_shows_its_first_picture() -> None:
    first, second = (Image.fromarray(noise(6, 7, 3, seed=n)) for n in (0, 1))
    data = file_bytes(first, "PNG", save_all=True, append_images=[second])
    assert b"fdAT" in data
    assert np.array_equal(shown(data), np.asarray(first))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_file_that_is_cut_short_is_damaged(bits: int) -> None:
    data = png(values(bits, 40, 40, 3), bits, RGB, [LONG_TEXTS[0]])
    for end in (20, 33, 40, len(data) // 2, len(data) - 40):
        with pytest.raises(UnusableError, match="damaged or cut short"):
            upright(data[:end], 3)
