"""Pictures of a generator: single files, a grid, or the network's own numbers.

However many they are, few are in memory at once: latents, too, are drawn when their pictures are.
"""

import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from datasets import pictures
from datasets.errors import DatasetError
from datasets.progress import progress
from progan.checkpoint import ModelFile
from progan.labels import labels_of_seeds
from progan.latents import latents_of_seeds
from progan.networks import Generator
from tools.drawing import images, parts, pixels
from tools.outputs import landing_file, landing_folder

# The names that `picture_names` gives, so that an older folder of pictures is known as one.
_NAMES = re.compile(r"(?:class\d{4,9}-)?(?:seed|latent)\d{6,18}\.(?:png|jpg|webp)", re.ASCII)
# More pixels than this no viewer opens, and they would take gigabytes while they are compressed.
_MOST_PIXELS = 2**28
# Pictures by which half precision is judged.
PICTURES_COMPARED = 16
# Faces whose latents are made at once, about.
_FACES_AT_ONCE = 1024
# Files that are written at once: mostly they wait for the disk. And those that may wait for that.
_WRITERS = 8
_FILES_WAITING = 256


class Faces(Protocol):
    """What pictures are made of, any stretch of them."""

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    def part(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Give latents float32 [stop - start, latent_size] and, if there are classes, labels."""
        ...


@dataclass(frozen=True)
class FacesAtHand:
    """Latents and labels that are in memory, as `part` of `Faces` gives them."""

    points: np.ndarray
    labels: np.ndarray | None

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.points)

    def part(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Give some of them."""
        return self.points[start:stop], None if self.labels is None else self.labels[start:stop]


@dataclass(frozen=True)
class FacesOfNumbers:
    """Faces of seeds or of given latents, each in its class: all of them in each of some classes.

    Attributes:
        model: the generator.
        numbers: seeds or places of the faces. From them a class is drawn where none is asked for,
            as often as the training images have it.
        classes: those that are asked for; all faces come once in each, one class after the other.
        points: latents float32 [N, latent_size] of the faces; None for those of their seeds.
    """

    model: ModelFile
    numbers: Sequence[int]
    classes: Sequence[int] = ()
    points: np.ndarray | None = None

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self.numbers) * max(1, len(self.classes))

    def part(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Give some of them."""
        places = np.arange(start, min(stop, self.count))
        faces = places % len(self.numbers)
        numbers = [self.numbers[int(face)] for face in faces]
        if self.points is None:
            points = latents_of_seeds(numbers, self.model.generator.latent_size)
        else:
            points = self.points[faces]
        if self.classes:
            return points, np.array(self.classes, np.int64)[places // len(self.numbers)]
        return points, labels_of_seeds(numbers, self.model.class_counts)


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


def generate_files(
    generator: Generator,
    faces: Faces,
    names: Sequence[str],
    out: Path,
    *,
    suffix: str,
    overwrite: bool,
) -> None:
    """Write one picture a latent vector into a new folder.

    Args:
        generator: standing where it is to be looked at.
        faces: what of, N.
        names: of `picture_names`, N, at least one.
        out: the folder, which is there whole or not at all.
        suffix: .png, .jpg or .webp.
        overwrite: whether an older folder of pictures gives way.

    Raises:
        DatasetError: `out` is taken, or its folder is missing.
    """
    format_name = pictures.format_of(Path(f"{names[0]}{suffix}"))

    def write(image: np.ndarray, path: Path) -> None:
        data = pictures.encode(image, format_name)
        with path.open("wb") as file:
            file.write(data)
            # To the disk here, several at once and while others are drawn: at the end of all it
            # would take minutes more for very many.
            file.flush()
            os.fsync(file.fileno())

    with (
        landing_folder(out, overwrite=overwrite, ours=_NAMES) as folder,
        ThreadPoolExecutor(_WRITERS) as pool,
    ):
        waiting: deque[Future[None]] = deque()
        number = 0
        try:
            for part in _drawn(pixels, generator, faces):
                for image in part:
                    path = folder / f"{names[number]}{suffix}"
                    waiting.append(pool.submit(write, image, path))
                    number += 1
                    if len(waiting) > _FILES_WAITING:
                        waiting.popleft().result()
            while waiting:
                waiting.popleft().result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def generate_array(
    generator: Generator,
    faces: Faces,
    out: Path,
    *,
    overwrite: bool,
) -> None:
    """Write the network's own output to one `.npy` file, float32 [N, C, H, W], unclipped.

    Arguments and errors as of `generate_files`; `out` is a file.
    """
    size = 2**generator.level
    shape = (faces.count, generator.num_channels, size, size)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    # Not a memory map: when the disk is full, writing to one kills the process.
    with landing_file(out, overwrite=overwrite) as path, path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in _drawn(images, generator, faces):
            file.write(np.ascontiguousarray(part, "<f4").data)


def generate_grid(
    generator: Generator,
    faces: Faces,
    out: Path,
    *,
    columns: int,
    zoom: int = 1,
    overwrite: bool,
) -> None:
    """Write one picture file with all images in rows, each pixel repeated `zoom` times.

    Arguments and errors as of `generate_files`; `out` is a file that ends in .png, .jpg,
    .jpeg or .webp.

    Raises:
        DatasetError: the sheet would be too large.
    """
    format_name = pictures.format_of(out)
    count, side = faces.count, 2**generator.level
    width, height = zoom * columns * side, zoom * -(-count // columns) * side
    longest = pictures.LONGEST_SIDES[format_name]
    if width * height > _MOST_PIXELS or max(width, height) > longest:
        raise DatasetError(
            f"{out} would have {width}×{height} pixels, too many for one {format_name.upper()} "
            "file; ask for fewer pictures, or for a folder of single ones."
        )
    with landing_file(out, overwrite=overwrite) as path:
        made = np.empty((count, side, side, generator.num_channels), np.uint8)
        start = 0
        for part in _drawn(pixels, generator, faces):
            made[start : start + len(part)] = part
            start += len(part)
        sheet = pictures.zoom(pictures.grid(made, columns), zoom)
        path.write_bytes(pictures.encode(sheet, format_name))


Make = Callable[[Generator, np.ndarray, np.ndarray | None], Iterator[np.ndarray]]


def _drawn(make: Make, generator: Generator, faces: Faces) -> Iterator[np.ndarray]:
    """Make pictures part by part as `make` does, and report progress."""
    batch = parts(generator)
    # Whole batches: what is left over of one would cost as much as all of it.
    size = batch * -(-_FACES_AT_ONCE // batch)
    with progress("Drawing pictures", total=faces.count, unit="pictures") as bar:
        for start in range(0, faces.count, size):
            points, labels = faces.part(start, min(start + size, faces.count))
            for part in make(generator, points, labels):
                yield part
                bar.advance(len(part))
