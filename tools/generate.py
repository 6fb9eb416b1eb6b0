"""Pictures of a generator: single files, a grid, or the network's own numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets import pictures
from datasets.landing import landing
from datasets.progress import progress
from progan.checkpoint import ModelFile
from tools.drawing import images


def generate_files(
    model: ModelFile,
    points: np.ndarray,
    labels: np.ndarray | None,
    names: Sequence[str],
    out: Path,
    *,
    suffix: str,
    overwrite: bool,
) -> None:
    """Write one picture a latent vector into a new folder.

    Args:
        model: the generator.
        points: latents float32 [N, latent_size].
        labels: class numbers int64 [N], if there are classes.
        names: file names without suffix, N.
        out: the folder, which is there whole or not at all.
        suffix: .png or .jpg.
        overwrite: whether an existing folder gives way.
    """
    with landing(out, overwrite=overwrite) as folder:
        folder.mkdir()
        number = 0
        with progress("Drawing pictures", total=len(points), unit="pictures") as bar:
            for part in images(model.generator, points, labels):
                for image in pictures.to_uint8(part):
                    pictures.save(folder / f"{names[number]}{suffix}", image)
                    number += 1
                bar.advance(len(part))


def generate_array(
    model: ModelFile,
    points: np.ndarray,
    labels: np.ndarray | None,
    out: Path,
    *,
    overwrite: bool,
) -> None:
    """Write the network's own output to one `.npy` file, float32 [N, C, H, W], unclipped."""
    generator = model.generator
    size = 2**generator.level
    shape = (len(points), generator.num_channels, size, size)
    with landing(out, overwrite=overwrite) as path:
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        start = 0
        with progress("Drawing pictures", total=len(points), unit="pictures") as bar:
            for part in images(generator, points, labels):
                array[start : start + len(part)] = part
                start += len(part)
                bar.advance(len(part))
        array.flush()
        del array


def generate_grid(
    model: ModelFile,
    points: np.ndarray,
    labels: np.ndarray | None,
    out: Path,
    *,
    columns: int,
    overwrite: bool,
) -> None:
    """Write one picture file with all images in rows."""
    made = []
    with progress("Drawing pictures", total=len(points), unit="pictures") as bar:
        for part in images(model.generator, points, labels):
            made.append(pictures.to_uint8(part))
            bar.advance(len(part))
    sheet = pictures.grid(np.concatenate(made), columns)
    data = pictures.encode(sheet, pictures.format_of(out))
    with landing(out, overwrite=overwrite) as path:
        path.write_bytes(data)
