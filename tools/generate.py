"""Pictures of a generator: single files, a grid, or the network's own numbers."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from datasets import pictures
from datasets.errors import DatasetError
from datasets.progress import progress
from progan.checkpoint import ModelFile
from progan.labels import labels_of_seeds
from tools.drawing import images
from tools.outputs import landing_file, landing_folder

# The names that `picture_names` gives, so that an older folder of pictures is known as one.
_NAMES = re.compile(r"(?:class\d{4,9}-)?(?:seed|latent)\d{6,18}\.(?:png|jpg)", re.ASCII)
# More pixels than this no viewer opens, and they would take gigabytes while they are compressed.
_MOST_PIXELS = 2**28
# What the JPEG library takes.
_LONGEST_JPEG_SIDE = 65500


def picture_names(kind: str, numbers: Sequence[int], classes: Sequence[int] = ()) -> list[str]:
    """Give file names without suffix, such as seed000012.

    Args:
        kind: "seed" or "latent".
        numbers: of the pictures.
        classes: where there are several, all numbers come once for each, as class0001-seed000012.
            (A class's number: its name may hold anything, such as another folder.)
    """
    names = [f"{kind}{number:06d}" for number in numbers]
    if len(classes) < 2:
        return names
    return [f"class{number:04d}-{name}" for number in classes for name in names]


def with_classes(
    model: ModelFile, points: np.ndarray, numbers: Sequence[int], classes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Give each picture its class: all pictures in each of some classes, one after the other.

    Args:
        model: the generator.
        points: latents float32 [N, latent_size].
        numbers: seeds or places of the pictures, from which a class is drawn where none is asked
            for, as often as the training images have it.
        classes: those that are asked for.

    Returns:
        Latents [N, latent_size], as many times as there are classes, and class numbers int64 or,
        of a generator without classes, None.
    """
    if not classes:
        return points, labels_of_seeds(numbers, model.class_counts)
    labels = np.repeat(np.array(classes, np.int64), len(points))
    return np.tile(points, (len(classes), 1)), labels


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
        names: of `picture_names`, N, at least one.
        out: the folder, which is there whole or not at all.
        suffix: .png or .jpg.
        overwrite: whether an older folder of pictures gives way.

    Raises:
        DatasetError: `out` is taken, or its folder is missing.
    """
    format_name = pictures.format_of(Path(f"{names[0]}{suffix}"))
    with landing_folder(out, overwrite=overwrite, ours=_NAMES) as folder:
        number = 0
        for part in _drawn(model, points, labels):
            for image in pictures.to_uint8(part):
                data = pictures.encode(image, format_name)
                (folder / f"{names[number]}{suffix}").write_bytes(data)
                number += 1


def generate_array(
    model: ModelFile,
    points: np.ndarray,
    labels: np.ndarray | None,
    out: Path,
    *,
    overwrite: bool,
) -> None:
    """Write the network's own output to one `.npy` file, float32 [N, C, H, W], unclipped.

    Arguments and errors as of `generate_files`; `out` is a file.
    """
    size = 2**model.generator.level
    shape = (len(points), model.generator.num_channels, size, size)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    # Not a memory map: when the disk is full, writing to one kills the process.
    with landing_file(out, overwrite=overwrite) as path, path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in _drawn(model, points, labels):
            file.write(np.ascontiguousarray(part, "<f4").data)


def generate_grid(
    model: ModelFile,
    points: np.ndarray,
    labels: np.ndarray | None,
    out: Path,
    *,
    columns: int,
    zoom: int = 1,
    overwrite: bool,
) -> None:
    """Write one picture file with all images in rows, each pixel repeated `zoom` times.

    Arguments and errors as of `generate_files`; `out` is a file that ends in .png, .jpg or .jpeg.

    Raises:
        DatasetError: the sheet would be too large.
    """
    format_name = pictures.format_of(out)
    count, side = len(points), 2**model.generator.level
    width, height = zoom * columns * side, zoom * -(-count // columns) * side
    longest = _LONGEST_JPEG_SIDE if format_name == "jpeg" else _MOST_PIXELS
    if width * height > _MOST_PIXELS or max(width, height) > longest:
        raise DatasetError(
            f"{out} would have {width}×{height} pixels, too many for one {format_name.upper()} "
            "file; ask for fewer pictures, or for a folder of single ones."
        )
    with landing_file(out, overwrite=overwrite) as path:
        made = np.empty((count, side, side, model.generator.num_channels), np.uint8)
        start = 0
        for part in _drawn(model, points, labels):
            made[start : start + len(part)] = pictures.to_uint8(part)
            start += len(part)
        sheet = pictures.zoom(pictures.grid(made, columns), zoom)
        path.write_bytes(pictures.encode(sheet, format_name))


def _drawn(model: ModelFile, points: np.ndarray, labels: np.ndarray | None) -> Iterator[np.ndarray]:
    """Make the generator's images part by part, and report progress."""
    with progress("Drawing pictures", total=len(points), unit="pictures") as bar:
        for part in images(model.generator, points, labels):
            yield part
            bar.advance(len(part))
