"""Colours against what their definitions say, computed in float64 without any colour library."""

import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datasets.colour import to_srgb
from datasets.framing import Framing, frame, upright
from tests.datasets.making import file_bytes, noise

Numbers = NDArray[np.float64]

# Chromaticities of the primaries, from each standard's own text; all have the white of D65.
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
D65 = (0.3127, 0.3290)
D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def xyz(chromaticity: tuple[float, float]) -> Numbers:
    x, y = chromaticity
    return np.array([x / y, 1, (1 - x - y) / y])


def to_d50(primaries: tuple[tuple[float, float], ...]) -> Numbers:
    """The matrix from linear RGB to XYZ under the white of colour profiles."""
    columns = np.stack([xyz(primary) for primary in primaries], axis=1)
    matrix = columns * np.linalg.solve(columns, xyz(D65))
    cones = (BRADFORD @ D50) / (BRADFORD @ xyz(D65))
    return np.asarray(np.linalg.inv(BRADFORD) @ np.diag(cones) @ BRADFORD @ matrix)


def encode_srgb(linear: Numbers) -> Numbers:
    clipped = np.clip(linear, 0, 1)
    return np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)


def decode_srgb(encoded: Numbers) -> Numbers:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def srgb_of_xyz(d50: Numbers) -> Numbers:
    return 255 * encode_srgb(np.asarray(np.linalg.solve(to_d50(SRGB), d50), np.float64))


def srgb_of_lab(lightness: float, a: float, b: float) -> Numbers:
    """After CIE 15, with the white of D50."""
    middle = (lightness + 16) / 116
    parts = np.array([middle + a / 500, middle, middle - b / 200])
    small = 6 / 29
    return srgb_of_xyz(D50 * np.where(parts > small, parts**3, 3 * small**2 * (parts - 4 / 29)))


def fixed(number: float) -> bytes:
    return struct.pack(">i", round(number * 65536))


def curve(gamma: float | None) -> bytes:
    if gamma is None:
        samples = np.rint(65535 * decode_srgb(np.linspace(0, 1, 4096))).astype(">u2").tobytes()
        return b"curv" + bytes(4) + struct.pack(">I", 4096) + samples
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def profile(
    primaries: tuple[tuple[float, float], ...],
    gamma: float | None,
    *,
    space: bytes = b"RGB ",
    name: bytes = b"a test",
) -> bytes:
    """A colour profile (ICC.1:2001) of three primaries; gamma None is the curve of sRGB."""
    matrix = to_d50(primaries)
    tags = {
        letter + b"XYZ": b"XYZ " + bytes(4) + b"".join(map(fixed, matrix[:, column]))
        for column, letter in enumerate((b"r", b"g", b"b"))
    }
    tags |= {letter + b"TRC": curve(gamma) for letter in (b"r", b"g", b"b")}
    return profile_of_tags(tags, space=space, name=name)


def grey_profile(gamma: float | None, name: bytes = b"a test") -> bytes:
    return profile_of_tags({b"kTRC": curve(gamma)}, space=b"GRAY", name=name)


def tabled_profile(bands: int, black: float) -> bytes:
    """A profile of greys with a table: L* goes from `black` to 100 with light, or without ink."""
    corners = np.indices([2] * bands).reshape(bands, -1).T
    corners = 1 - corners if bands == 4 else corners
    lightness = black + (100 - black) * corners.mean(axis=1)
    # As 16 bits, L* is 652.8 times as large, and no colour is 128 times 256.
    grid = np.stack([652.8 * lightness, *[np.full(len(corners), 128 * 256.0)] * 2], axis=1)
    straight = struct.pack(">2H", 0, 65535)
    table = (
        b"mft2" + bytes(4) + bytes([bands, 3, 2, 0])
        + b"".join(map(fixed, np.eye(3).ravel())) + struct.pack(">2H", 2, 2)
        + straight * bands + np.rint(grid).astype(">u2").tobytes() + straight * 3
    )  # fmt: skip
    space = {3: b"RGB ", 4: b"CMYK"}[bands]
    tags = {b"A2B0": table, b"A2B1": table}
    return profile_of_tags(tags, space=space, connection=b"Lab ", kind=b"scnr")


def profile_of_tags(
    tags: dict[bytes, bytes],
    *,
    space: bytes,
    connection: bytes = b"XYZ ",
    kind: bytes = b"mntr",
    name: bytes = b"a test",
) -> bytes:
    name += b"\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78),
        b"wtpt": b"XYZ " + bytes(4) + b"".join(map(fixed, D50)),
        **tags,
    }
    table, data = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += tag + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    body = struct.pack(">I", len(tags)) + table + data
    header = struct.pack(">I4s4s4s4s4s12s4s", 128 + len(body), b"", b"\2\x20\0\0", kind, space,
                         connection, bytes(12), b"acsp")  # fmt: skip
    return header + bytes(28) + b"".join(map(fixed, D50)) + bytes(48) + body


def framed(image: Image.Image, format: str, **options: object) -> Numbers:
    data = file_bytes(image, format, **options)
    return np.asarray(frame(data, Framing(resolution=8))[0, 0], np.float64)


def plain(mode: str, colour: tuple[int, ...]) -> Image.Image:
    return Image.new(mode, (8, 8), colour)


COLOURS = [(200, 150, 120), (90, 60, 50), (128, 128, 128), (20, 30, 25), (255, 255, 255), (0, 0, 0)]


def test_the_formulas_agree_with_published_values() -> None:
    # The matrix of IEC 61966-2-1 after Lindbloom, and the Lab of sRGB's red (D50).
    assert np.abs(to_d50(SRGB)[1] - [0.2225, 0.7169, 0.0606]).max() < 2e-4
    assert np.abs(srgb_of_lab(54.29, 80.80, 69.89) - [255, 0, 0]).max() < 1
    assert np.abs(srgb_of_lab(50, 0, 0) - 119).max() < 0.5


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("primaries", "gamma"), [(ADOBE_RGB, 563 / 256), (DISPLAY_P3, None), (SRGB, 1.8)]
)
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_rgb_with_a_profile_becomes_srgb(
    colour: tuple[int, int, int],
    primaries: tuple[tuple[float, float], ...],
    gamma: float | None,
    format: str,
) -> None:
    encoded = np.array(colour) / 255
    linear = decode_srgb(encoded) if gamma is None else encoded**gamma
    expected = srgb_of_xyz(to_d50(primaries) @ linear)
    result = framed(plain("RGB", colour), format, icc_profile=profile(primaries, gamma))
    assert np.abs(result - expected).max() <= 1.0


def test_a_profile_changes_what_is_far_from_grey() -> None:
    colour = (200, 60, 40)
    result = framed(plain("RGB", colour), "PNG", icc_profile=profile(ADOBE_RGB, 563 / 256))
    assert result[0] > 225


@pytest.mark.parametrize(
    "lab", [(50, 0, 0), (70, 20, 30), (40, -20, 10), (30, 10, -30), (90, 5, 5)]
)
def test_lab_becomes_srgb(lab: tuple[int, int, int]) -> None:
    lightness, a, b = lab
    stored = (round(lightness * 255 / 100), a + 128, b + 128)
    expected = srgb_of_lab(stored[0] * 100 / 255, a, b)
    # The colour library interpolates in a table, which is coarse in the dark.
    assert np.abs(framed(plain("LAB", stored), "TIFF") - expected).max() <= 2.0


@pytest.mark.parametrize(
    ("inks", "rgb"),
    [((0, 0, 0, 0), (255, 255, 255)), ((0, 255, 255, 0), (255, 0, 0)), ((0, 0, 0, 255), (0, 0, 0)),
     ((255, 0, 0, 0), (0, 255, 255)), ((40, 80, 120, 20), (198, 161, 124))],
)  # fmt: skip
def test_inks_mean_the_same_inverted_or_not(
    inks: tuple[int, int, int, int], rgb: tuple[int, int, int]
) -> None:
    """Adobe's programs store 255 for no ink, and mark the file; others store 0, and do not."""
    adobe = file_bytes(plain("CMYK", inks), "JPEG", quality=100)
    start = adobe.index(b"\xff\xee\x00\x0eAdobe")
    assert frame(adobe, Framing(resolution=8))[0, 0] == pytest.approx(rgb, abs=2)
    uninverted = file_bytes(plain("CMYK", tuple(255 - ink for ink in inks)), "JPEG", quality=100)
    unmarked = uninverted[:start] + uninverted[start + 16 :]
    assert b"Adobe" not in unmarked
    assert frame(unmarked, Framing(resolution=8))[0, 0] == pytest.approx(rgb, abs=2)
    assert framed(plain("CMYK", inks), "TIFF") == pytest.approx(rgb, abs=2)


@pytest.mark.parametrize("damage", ["cut", "other space", "no curve", "empty"])
def test_a_profile_that_does_not_work_counts_as_none(damage: str) -> None:
    good = profile(ADOBE_RGB, 563 / 256)
    bad = {
        "cut": good[:200],
        "other space": profile(ADOBE_RGB, 563 / 256, space=b"CMYK"),
        "no curve": good.replace(b"curv", b"vruc"),
        "empty": b"",
    }[damage]
    colour = (200, 60, 40)
    assert framed(plain("RGB", colour), "PNG", icc_profile=bad) == pytest.approx(colour)


def test_what_was_transparent_is_white_under_any_profile() -> None:
    result = framed(plain("RGBA", (10, 200, 30, 0)), "PNG", icc_profile=profile(DISPLAY_P3, None))
    assert result == pytest.approx((255, 255, 255), abs=1)


def test_a_profile_that_fails_at_work_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import ImageCms

    def fail(self: object, image: object) -> None:
        raise ValueError("mode mismatch")

    monkeypatch.setattr(ImageCms.ImageCmsTransform, "apply", fail)
    image = plain("RGB", (200, 60, 40))
    assert to_srgb(image, profile(ADOBE_RGB, 2.0)).getpixel((0, 0)) == (200, 60, 40)


SRGB_NAMES = [b"sRGB IEC61966-2.1", b"GIMP built-in Linear sRGB", b"sRGB", b"Camera RGB", b""]


@pytest.mark.parametrize("name", SRGB_NAMES)
@pytest.mark.parametrize("gamma", [1.0, 1.8])
@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG"])
def test_the_name_of_a_profile_tells_nothing(name: bytes, gamma: float, format: str) -> None:
    colour = (55, 90, 120)
    expected = 255 * encode_srgb((np.array(colour) / 255) ** gamma)
    options = OPTIONS.get(format, {})
    made = profile(SRGB, gamma, name=name)
    result = framed(plain("RGB", colour), format, icc_profile=made, **options)
    assert np.abs(result - expected).max() <= (4 if format == "JPEG" else 1)


@pytest.mark.parametrize("name", SRGB_NAMES)
def test_what_is_srgb_by_any_name_keeps_every_bit(name: bytes) -> None:
    pixels = noise(8, 8, 3)
    data = file_bytes(pixels, icc_profile=profile(SRGB, None, name=name))
    assert np.array_equal(frame(data, Framing(resolution=8)), pixels)
    grey = noise(8, 8)
    data = file_bytes(grey, icc_profile=grey_profile(None, name))
    assert np.array_equal(frame(data, Framing(resolution=8, channels=1))[..., 0], grey)


def test_a_profile_that_differs_in_one_corner_is_followed() -> None:
    # sRGB, but for its blue.
    primaries = (*SRGB[:2], (0.15, 0.09))
    expected = srgb_of_xyz(to_d50(primaries) @ decode_srgb(np.array((30, 40, 250)) / 255))
    made = profile(primaries, None, name=b"sRGB IEC61966-2.1")
    result = framed(plain("RGB", (30, 40, 250)), "PNG", icc_profile=made)
    assert np.abs(result - expected).max() <= 1
    assert np.abs(result - (30, 40, 250)).max() > 10


PROFILES = {
    "L": grey_profile(1.0, b"Dot Gain 20%"),
    "RGB": profile(ADOBE_RGB, 563 / 256),
    "CMYK": tabled_profile(4, 10),
}
FORMATS = {"L": ("PNG", "TIFF", "JPEG"), "RGB": ("PNG", "TIFF", "JPEG", "WEBP"),
           "CMYK": ("TIFF", "JPEG")}  # fmt: skip


OPTIONS: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 100, "subsampling": 0},
    "WEBP": {"lossless": True},
}


@pytest.mark.parametrize("kind", PROFILES)
@pytest.mark.parametrize(("mode", "format"), [(m, f) for m in FORMATS for f in FORMATS[m]])
def test_a_profile_for_other_pictures_counts_as_none(mode: str, format: str, kind: str) -> None:
    colour = {"L": (90,), "RGB": (200, 60, 60), "CMYK": (20, 90, 120, 10)}[mode]
    options = OPTIONS.get(format, {})
    image = plain(mode, colour)
    without = framed(image, format, **options)
    result = framed(image, format, icc_profile=PROFILES[kind], **options)
    assert np.array_equal(result, without) == (kind != mode)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "I;16"])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_the_profile_of_a_grey_scale_is_followed(mode: str, format: str) -> None:
    numbers = np.full((8, 8), 255 if mode == "1" else 55, np.uint8)
    if mode == "I;16":
        image = Image.fromarray(numbers.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(numbers).convert(mode)
    value = 255 if mode == "1" else 55
    expected = 255 * encode_srgb(np.array(value / 255))
    result = framed(image, format, icc_profile=grey_profile(1.0))
    assert np.abs(result - expected).max() <= 1


def test_grey_that_is_half_transparent_has_its_profile_too() -> None:
    # On white as it is stored, then as its profile has it.
    image = Image.new("LA", (8, 8), (0, 128))
    result = framed(image, "PNG", icc_profile=grey_profile(1.0))
    assert np.abs(result - 255 * encode_srgb(np.array(127 / 255))).max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_the_darkest_of_a_profile_is_black(mode: str) -> None:
    """Black point compensation: XYZ is stretched so that the darkest is 0, and white stays."""
    made = tabled_profile(len(mode), black=20)
    darkest = ((20 + 16) / 116) ** 3
    for sample in (0, 64, 128, 255):
        light = 255 - sample if mode == "CMYK" else sample
        lightness = 20 + 80 * light / 255
        stretched = (((lightness + 16) / 116) ** 3 - darkest) / (1 - darkest)
        expected = 255 * encode_srgb(np.array(stretched))
        result = framed(plain(mode, (sample,) * len(mode)), "TIFF", icc_profile=made)
        assert np.abs(result - expected).max() <= 1


def test_grey_is_the_luminance_of_what_a_screen_shows() -> None:
    for primaries, gamma in ((SRGB, 1.0), (ADOBE_RGB, 563 / 256)):
        for colour in ((200, 60, 40), (20, 90, 160)):
            linear = to_d50(primaries) @ (np.array(colour) / 255) ** gamma
            expected = srgb_of_xyz(linear) @ (0.299, 0.587, 0.114)
            data = file_bytes(plain("RGB", colour), icc_profile=profile(primaries, gamma))
            result = frame(data, Framing(resolution=8, channels=1))
            assert result.shape == (8, 8, 1)
            assert np.abs(result - expected).max() <= 1.5
            assert np.abs(upright(data, 1) - expected).max() <= 1.5


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_a_profile_of_megabytes_costs_no_picture(format: str) -> None:
    large = profile(DISPLAY_P3, None) + np.random.default_rng(0).bytes(3 * 2**20)
    large = struct.pack(">I", len(large)) + large[4:]
    image = plain("RGB", (200, 60, 60))
    result = framed(image, format, icc_profile=large, **OPTIONS.get(format, {}))
    expected = srgb_of_xyz(to_d50(DISPLAY_P3) @ decode_srgb(np.array((200, 60, 60)) / 255))
    assert np.abs(result - expected).max() <= (2 if format == "JPEG" else 1)
