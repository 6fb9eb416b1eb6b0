"""Files as strangers have them: nothing crashes, and each is accounted for exactly once."""

import os
import struct
import tempfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, TiffImagePlugin

from datasets import index
from datasets.errors import DatasetError
from datasets.framing import Framing, frame
from datasets.prepare import prepare
from datasets.sources import open_source
from tests.datasets.making import noise

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
SUFFIXES = (".png", ".jpg", ".JPEG", ".tif", ".bmp", ".webp", ".gif")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PROFILES: tuple[bytes | None, ...] = (
    None,
    SRGB,
    SRGB[: len(SRGB) // 2],
    SRGB[:16] + b"CMYK" + SRGB[20:],
    ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
    b"",
    b"no profile at all",
)


def picture(mode: str, width: int, height: int, seed: int) -> Image.Image:
    numbers = noise(height, width, 4, seed=seed)
    match mode:
        case "I;16":
            return Image.fromarray(numbers[..., :2].copy().view("<u2")[..., 0])
        case "I":
            return Image.fromarray(numbers[..., 0].astype(np.int32) * 257)
        case "F":
            return Image.fromarray(numbers[..., 0].astype(np.float32) / 255)
        case "1":
            return Image.fromarray(numbers[..., 0]).convert("1")
        case "P":
            return Image.fromarray(numbers[..., :3]).quantize(16)
        case "L":
            return Image.fromarray(numbers[..., 0])
        case "LA":
            return Image.merge("LA", [Image.fromarray(numbers[..., n]) for n in (0, 3)])
        case _:
            bands = 4 if mode in ("RGBA", "CMYK") else 3
            return Image.merge(mode, [Image.fromarray(numbers[..., n]) for n in range(bands)])


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def writable() -> list[tuple[str, str]]:
    pairs = []
    for mode in MODES:
        for format in FORMATS:
            try:
                encoded(picture(mode, 8, 8, 0), format)
            except (OSError, KeyError, ValueError):
                continue
            pairs.append((mode, format))
    return pairs


WRITABLE = writable()


def huge(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 100) + b"IDAT"


def without_adobe(data: bytes) -> bytes:
    """Take the mark of Adobe's programs out of a JPEG file."""
    start = data.index(b"\xff\xee")
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    return data[:start] + data[start + 2 + length :]


@dataclass(frozen=True)
class Odd:
    data: bytes
    sound: bool
    """Whether it has to be used."""


@st.composite
def odd_files(draw: st.DrawFn) -> Odd:
    mode, format = draw(st.sampled_from(WRITABLE))
    width, height = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    image = picture(mode, width, height, draw(st.integers(0, 5)))
    options: dict[str, Any] = {}
    profile = draw(st.sampled_from(PROFILES))
    if profile is not None:
        options["icc_profile"] = profile
    if format in ("PNG", "JPEG", "TIFF", "WEBP"):
        exif = Image.Exif()
        exif[0x0112] = draw(st.integers(0, 9))
        garbage = draw(st.booleans()) and format != "TIFF"
        options["exif"] = b"Exif\0\0" + draw(st.binary(max_size=40)) if garbage else exif
    if mode == "P" and draw(st.booleans()) and format in ("PNG", "GIF"):
        options["transparency"] = draw(st.integers(0, 15))
    if format in ("GIF", "WEBP", "PNG", "TIFF") and draw(st.booleans()):
        more = picture(mode, width, height, 9)
        options |= {"save_all": True, "append_images": [more]}
    try:
        data = encoded(image, format, **options)
    except (OSError, ValueError, TypeError, KeyError, struct.error, SyntaxError, RuntimeError):
        # Not everything can be written with everything.
        data = encoded(image, format)
    if mode == "CMYK" and format == "JPEG" and draw(st.booleans()):
        data = without_adobe(data)
    match draw(st.sampled_from(["sound", "sound", "cut", "flipped", "other"])):
        case "sound":
            return Odd(data, sound=True)
        case "cut":
            return Odd(data[: draw(st.integers(0, len(data) - 1))], sound=False)
        case "flipped":
            damaged = bytearray(data)
            for place in draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=8)):
                damaged[place] ^= draw(st.integers(1, 255))
            return Odd(bytes(damaged), sound=False)
        case _:
            others = [b"", b"words", huge(60_000, 60_000), huge(3000, 3000), huge(0, 1)]
            return Odd(draw(st.sampled_from(others)), sound=False)


def _name(data: bytes, suffix: str) -> str:
    # Whatever the system allows: only these two bytes are not.
    stem = data.translate(None, b"/\0") or b"x"
    return os.fsdecode(b"n" + stem + suffix.encode())


NAMES = st.builds(
    _name,
    st.one_of(
        st.binary(max_size=30),
        st.text(max_size=30).map(lambda text: text.encode("utf-8", "ignore")),
        st.sampled_from([b"\r", b"\n", b'"', b",", b"\xff\xfe", "ж あ é".encode(), b" "]),
    ),
    st.sampled_from(SUFFIXES),
)


@settings(
    max_examples=22,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    st.dictionaries(NAMES, odd_files(), min_size=10, max_size=16),
    st.sampled_from([(8, 3), (8, 1), (32, 3)]),
)
def test_every_file_is_used_or_skipped_and_none_is_fatal(
    files: dict[str, Odd], shape: tuple[int, int]
) -> None:
    resolution, channels = shape
    with tempfile.TemporaryDirectory() as place:
        folder, made = Path(place, "photographs"), Path(place, "made")
        folder.mkdir()
        for name, odd in files.items():
            (folder / name).write_bytes(odd.data)
        source = open_source(str(folder), resolution=resolution, channels=channels, seed=0)
        assert sorted(source.names) == sorted(files)
        try:
            summary = prepare(
                source,
                made,
                framing=Framing(resolution=resolution, channels=channels, upscale=True),
                source_name=str(folder),
                held_out=0.2,
                seed=0,
                workers=1,
            )
        except DatasetError as error:
            assert "can be used" in str(error)
            assert not any(odd.sound for odd in files.values())
            assert [path.name for path in Path(place).iterdir()] == ["photographs"]
            return
        dataset = summary.dataset
        skipped = [name for name, _ in index.read_skipped(made / "skipped.csv")]
        assert sorted([*dataset.names, *skipped]) == sorted(files)
        assert not {name for name, odd in files.items() if odd.sound} & set(skipped)
        assert dataset.verify() == []
        for level in dataset.levels:
            assert dataset.level(level).shape == (dataset.count, 2**level, 2**level, channels)
        assert sorted(path.name for path in Path(place).iterdir()) == ["made", "photographs"]


def test_the_generator_knows_every_mode() -> None:
    assert {mode for mode, _ in WRITABLE} == set(MODES)
    assert {format for _, format in WRITABLE} == set(FORMATS)


@pytest.mark.parametrize(("kind", "value"), [(3, 7), (4, 70000), (12, 1.5), (2, "text"), (7, b"")])
def test_a_profile_that_is_no_bytes_does_not_end_the_work(kind: int, value: Any) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[34675] = kind
    tags[34675] = value
    pixels = noise(8, 8, 3)
    data = encoded(Image.fromarray(pixels), "TIFF", tiffinfo=tags)
    assert np.array_equal(frame(data, Framing(resolution=8)), pixels)
