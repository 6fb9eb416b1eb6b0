"""What codecs make of photographs: size, and the processor time to code and to decode one.

    OMP_NUM_THREADS=1 python -m benchmarks.codecs --photographs FOLDER

With imagecodecs installed (pip install imagecodecs), its codecs are compared too.
"""

import importlib
import io
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.prepare_speed import clouds
from datasets.codecs import CODECS, decode, encode
from datasets.framing import Framing, frame

Pixels = NDArray[np.uint8]
Coder = tuple[Callable[[Pixels], bytes], Callable[[bytes], Pixels]]

_PICTURES = {256: 32, 512: 16, 1024: 6}


@click.command()
@click.option(
    "--photographs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Code these, enlarged where they are smaller.  [default: clouds of colour with grain]",
)
@click.option("--repeats", default=3, show_default=True, help="The median counts.")
def main(photographs: Path | None, repeats: int) -> None:
    """Compare codecs."""
    for side, count in _PICTURES.items():
        pictures = load(photographs, side, count)
        click.echo(f"\n{side} × {side} pixels, {count} pictures")
        click.echo(f"{'':26} size  code ms  decode ms  decode MB/s")
        for name, (code, back) in coders(side).items():
            start = time.process_time()
            coded = [code(picture) for picture in pictures]
            coding = (time.process_time() - start) / count
            seconds = []
            for _ in range(repeats):
                start = time.process_time()
                found = [back(data) for data in coded]
                seconds.append((time.process_time() - start) / count)
            decoding = statistics.median(seconds)
            share = sum(map(len, coded)) / sum(picture.size for picture in pictures)
            speed = pictures[0].size / decoding / 1e6
            click.echo(
                f"{name:26} {100 * share:3.0f} %  {1000 * coding:7.1f}  {1000 * decoding:9.2f}  "
                f"{speed:11.0f}  {quality(pictures, found)}"
            )


def load(photographs: Path | None, side: int, count: int) -> list[Pixels]:
    """Give pictures [side, side, 3], made of the largest photographs of a folder."""
    if photographs is None:
        return [np.asarray(clouds((side, side), number)) for number in range(count)]
    paths = sorted(photographs.iterdir(), key=lambda path: (-_pixels(path), path.name))[:count]
    framing = Framing(resolution=side, upscale=True)
    return [frame(path.read_bytes(), framing) for path in paths]


def _pixels(path: Path) -> int:
    with Image.open(path) as image:
        return min(image.size)


def coders(side: int) -> dict[str, Coder]:
    """Give all codecs that can be compared here, by name."""
    found: dict[str, Coder] = {
        "plain pixels": (lambda p: p.tobytes(), lambda d: np.frombuffer(d, np.uint8).copy()),
    }
    for codec in CODECS:
        found[f"--codec {codec}"] = (
            partial(encode, codec=codec),
            partial(decode, codec=codec, side=side, channels=3),
        )
    for effort in (1, 6):
        found[f"PNG, effort {effort}"] = _pillow("PNG", compress_level=effort)
    found["WebP lossless, effort 4"] = _pillow("WEBP", lossless=True, method=4, quality=75)
    found["AVIF, quality 95"] = _pillow("AVIF", quality=95, speed=8, subsampling="4:4:4")
    try:
        more = importlib.import_module("imagecodecs")
    except ImportError:
        click.echo("imagecodecs is not installed, so its codecs are left out.", err=True)
        return found
    one: dict[str, Any] = {"numthreads": 1}
    found["QOI"] = more.qoi_encode, more.qoi_decode
    for effort in (1, 2):
        found[f"JPEG XL lossless, effort {effort}"] = (
            partial(more.jpegxl_encode, lossless=True, effort=effort, **one),
            lambda d: more.jpegxl_decode(d, **one),
        )
    found["JPEG XL, distance 0.5"] = (
        lambda p: more.jpegxl_encode(p, distance=0.5, effort=3, **one),
        lambda d: more.jpegxl_decode(d, **one),
    )
    found["Blosc2, Zstandard, shuffled"] = (
        lambda p: more.blosc2_encode(p, level=5, compressor="zstd", shuffle=True, typesize=3),
        lambda d: np.frombuffer(more.blosc2_decode(d), np.uint8),
    )
    found["differences, Zstandard"] = (
        lambda p: more.zstd_encode(_differences(p).tobytes(), 1),
        lambda d: _sums(np.frombuffer(more.zstd_decode(d), np.uint8).reshape(3, side, side)),
    )
    return found


def _pillow(format: str, **options: Any) -> Coder:
    def code(picture: Pixels) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, format, **options)
        return buffer.getvalue()

    return code, lambda data: np.asarray(Image.open(io.BytesIO(data)))


def _differences(picture: Pixels) -> Pixels:
    planes = np.ascontiguousarray(picture.transpose(2, 0, 1))
    for axis in (1, 2):
        planes = np.diff(planes, axis=axis, prepend=np.uint8(0))
    return planes


def _sums(planes: Pixels) -> Pixels:
    for axis in (2, 1):
        planes = np.cumsum(planes, axis=axis, dtype=np.uint8)
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def quality(pictures: list[Pixels], found: list[Pixels]) -> str:
    """Say how near pictures are to what they were."""
    errors = [
        np.mean((picture.astype(np.float64) - other.reshape(picture.shape)) ** 2)
        for picture, other in zip(pictures, found, strict=True)
    ]
    if not any(errors):
        return "lossless"
    return f"PSNR {10 * np.log10(255**2 / np.mean(errors)):.1f} dB"


if __name__ == "__main__":
    main()
