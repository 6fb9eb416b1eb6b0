"""Pictures, sources and datasets for the tests of this room."""

import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.codecs import Codec
from datasets.pyramid import NONE_CODED, Dataset, Writer, shrink
from datasets.sources import Source

Pixels = NDArray[np.uint8]


def noise(*shape: int, seed: int = 0) -> Pixels:
    """Pixels that are all different from each other's neighbours: any mix-up shows."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def file_bytes(picture: Image.Image | Pixels, format: str = "PNG", **options: Any) -> bytes:
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(picture)
    buffer = BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def write_photographs(folder: Path, count: int, *, size: int = 16, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        pixels = noise(size, size, 3, seed=number)
        (folder / f"{number:03d}.png").write_bytes(file_bytes(pixels))


def write_dataset(
    path: Path,
    *,
    hashes: list[int],
    classes: list[str] | None = None,
    names: list[str] | None = None,
    held_out: float = 0.25,
    resolution: int = 8,
    channels: int = 3,
    codecs: Mapping[int, Codec] = NONE_CODED,
) -> Dataset:
    """A dataset with one row for each of `hashes`, which stand for the bytes of the picture."""
    path.mkdir()
    with Writer(path, resolution=resolution, channels=channels, codecs=codecs) as writer:
        for row, number in enumerate(hashes):
            writer.append(
                shrink(noise(resolution, resolution, channels, seed=number)),
                name=names[row] if names else f"{row}.png",
                sha256=f"{number:064x}",
                class_name=classes[row] if classes else None,
            )
        writer.finish(
            held_out=held_out,
            framing={"crop": "centre", "upscale": False},
            source="photographs",
            seed=3,
            versions={"numpy": "2"},
            skipped=[("bad.png", "damaged or cut short")],
        )
    return Dataset.open(path)


class Deadly(Source):
    """A source that kills the process which reads its third picture, as a lack of memory does."""

    names = ("0", "1", "2", "3", "4", "5")

    def load(self, item: int) -> Pixels:
        if item == 2:
            os._exit(9)
        return noise(4, 4, 3, seed=item)
