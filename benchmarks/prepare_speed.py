"""How fast photographs become a dataset, beside the usual tool and beside decoding alone.

    OMP_NUM_THREADS=1 python -m benchmarks.prepare_speed --photographs FOLDER

The usual tool opens each picture with Pillow, crops the middle, resizes by Lanczos and writes a PNG
file into an archive; some compress it as Pillow does by default, the best known one not at all.
This one also makes all smaller levels and hashes everything. What is compared is the processor time
of one process, in turns, so that neither the number of processors nor other programs count.
"""

import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Literal

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.codecs import Choice, codecs_of_levels
from datasets.framing import Framing, frame, reduction
from datasets.pyramid import Writer
from datasets.sources import Source
from datasets.workers import Framed, frame_all

Pixels = NDArray[np.uint8]

# Width and height of the files, how many there are, and the sides to bring them to.
_CASES = (((675, 825), 80, (256, 128)), ((4000, 3000), 6, (256, 1024)))
_JPEG_QUALITY = 92
_LANCZOS = Image.Resampling.LANCZOS


class Files(Source):
    """JPEG files in memory, so that no disk counts."""

    def __init__(self, files: Sequence[bytes]) -> None:
        self.files = files
        self.names = [f"{number}.jpg" for number in range(len(files))]

    def load(self, item: int) -> bytes:
        """Give a file."""
        return self.files[item]


@click.command()
@click.option(
    "--photographs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Make the files of these, side by side.  [default: of clouds of colour with grain]",
)
@click.option("--repeats", default=5, show_default=True, help="The median counts.")
def main(photographs: Path | None, repeats: int) -> None:
    """Time the preparation of datasets."""
    click.echo("pictures a second and processor; in parentheses, times the usual tool's")
    head = ["size", "to", "usual", "compressed", "this", "coded", "full", "decoding", "scaled"]
    click.echo(" ".join(f"{word:>14}" for word in head))
    for size, count, sides in _CASES:
        files = [jpeg(size, number, photographs) for number in range(count)]
        click.echo(f"{sum(map(len, files)) / count / 1000:.0f} kB a file")
        for side in sides:
            rates = compare(files, side, repeats)
            words = [f"{size[0]}×{size[1]}", str(side)]
            words += [f"{rate:.1f} ({rate / rates['usual']:.1f})" for rate in rates.values()]
            click.echo(" ".join(f"{word:>14}" for word in words))
    for side in (256, 1024):
        worst, mean, ratio = difference(files, side)
        click.echo(
            f"{size[0]}×{size[1]} to {side}: scaled decoding differs by {mean:.2f} of 255 on "
            f"average, {worst:.0f} at most, PSNR {ratio:.1f} dB"
        )


def compare(files: Sequence[bytes], side: int, repeats: int) -> dict[str, float]:
    """Measure pictures a second of processor time, by turns; the median counts."""
    works: dict[str, Callable[[], object]] = {
        "usual": lambda: usual(files, side, compression=0),
        "compressed": lambda: usual(files, side, compression=6),
        "this": lambda: this(files, side, "scaled", "raw"),
        "coded": lambda: this(files, side, "scaled", "webp"),
        "full": lambda: this(files, side, "full", "raw"),
        "decoding": lambda: decoded(files, 1),
        "scaled": lambda: decoded(files, fraction(files[0], side)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            start = time.process_time()
            work()
            seconds[name].append(time.process_time() - start)
    return {name: len(files) / statistics.median(each) for name, each in seconds.items()}


def usual(files: Sequence[bytes], side: int, *, compression: int) -> None:
    """Do what the usual tool does."""
    with tempfile.TemporaryFile() as file, zipfile.ZipFile(file, "w") as archive:
        for number, data in enumerate(files):
            pixels = np.array(Image.open(BytesIO(data)))
            size = min(pixels.shape[:2])
            top, left = (pixels.shape[0] - size) // 2, (pixels.shape[1] - size) // 2
            square = Image.fromarray(pixels[top : top + size, left : left + size])
            result = np.array(square.resize((side, side), _LANCZOS))
            buffer = BytesIO()
            Image.fromarray(result).save(buffer, "PNG", compress_level=compression)
            archive.writestr(f"{number // 1000:05d}/img{number:08d}.png", buffer.getvalue())


def this(
    files: Sequence[bytes], side: int, decoding: Literal["scaled", "full"], codec: Choice
) -> None:
    """Do what `python -m datasets prepare` does, in one process."""
    framing = Framing(resolution=side, decoding=decoding)
    codecs = codecs_of_levels(codec, side)
    with (
        tempfile.TemporaryDirectory() as folder,
        Writer(Path(folder), resolution=side, channels=3, codecs=codecs) as writer,
    ):
        for result in frame_all(Files(files), range(len(files)), framing, 1, codecs):
            assert isinstance(result, Framed)
            writer.append(result.levels, name="x", sha256=result.sha256)
        writer.finish(held_out=0, framing={}, source="", seed=0, versions={})


def decoded(files: Sequence[bytes], reduction: int) -> None:
    """Only decode, whole or at a fraction."""
    for data in files:
        with Image.open(BytesIO(data)) as image:
            image.draft(None, (image.width // reduction, image.height // reduction))
            image.load()


def fraction(data: bytes, side: int) -> int:
    """Say how many times smaller this program decodes a file."""
    with Image.open(BytesIO(data)) as image:
        return reduction(*image.size, Framing(resolution=side))


def difference(files: Sequence[bytes], side: int) -> tuple[float, float, float]:
    """Compare scaled with full decoding: largest and mean absolute difference, and PSNR in dB."""
    errors = np.stack(
        [
            frame(data, Framing(resolution=side)).astype(np.float64)
            - frame(data, Framing(resolution=side, decoding="full"))
            for data in files
        ]
    )
    ratio = 10 * np.log10(255**2 / np.mean(errors**2))
    return float(np.abs(errors).max()), float(np.abs(errors).mean()), float(ratio)


def jpeg(size: tuple[int, int], number: int, photographs: Path | None) -> bytes:
    """Make a JPEG file of some width and height."""
    picture = clouds(size, number) if photographs is None else mosaic(size, number, photographs)
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def clouds(size: tuple[int, int], number: int) -> Image.Image:
    """Draw noise whose strength falls with its frequency, as in photographs, with grain."""
    numbers = np.random.default_rng(number)
    width, height = size
    total = np.full((height, width, 3), 128.0, np.float32)
    cell = 1 << (max(size) - 1).bit_length()
    while cell >= 1:
        shape = (-(-height // cell) + 1, -(-width // cell) + 1)
        grey = numbers.normal(0, 1, (*shape, 1)) + numbers.normal(0, 0.3, (*shape, 3))
        strength = 30 if cell > 8 else 3 * cell**0.5
        noise = np.clip(128 + 40 * grey, 0, 255).astype(np.uint8)
        finer = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
        total += (np.asarray(finer, np.float32) - 128) * (strength / 40)
        cell //= 2
    return Image.fromarray(np.clip(total, 0, 255).astype(np.uint8))


def mosaic(size: tuple[int, int], number: int, photographs: Path) -> Image.Image:
    """Fill a picture with photographs at the size they have, or with one that is enlarged a bit."""
    paths = sorted(photographs.iterdir())
    picture = Image.new("RGB", size)
    place, left, top, bottom = number * 31, 0, 0, 0
    while top < size[1]:
        with Image.open(paths[place % len(paths)]) as opened:
            tile = opened.convert("RGB")
        place += 1
        if max(size) < 2 * max(tile.size):
            return tile.resize(size, Image.Resampling.BICUBIC)
        picture.paste(tile, (left, top))
        left, bottom = left + tile.width, max(bottom, top + tile.height)
        if left >= size[0]:
            left, top = 0, bottom
    return picture


if __name__ == "__main__":
    main()
