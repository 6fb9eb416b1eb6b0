"""MNIST and its relatives: IDX files, as they are or compressed with gzip."""

import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from datasets.errors import DatasetError
from datasets.sources.persistence import is_loss, lost, persistently
from datasets.sources.source import Label, Pixels, Source
from datasets.sources.tfrecords import numbered_classes

_PICTURES = re.compile(r"(.+)-images[-.]idx3-ubyte(?:\.gz)?")
_LABELS = ("-labels-idx1-ubyte", "-labels.idx1-ubyte")
_UNSIGNED_BYTES = 8
# QMNIST, the largest, has 402,953 pictures of 28 × 28.
_MOST_BYTES = 2**30
_PIECE_BYTES = 2**20
# Of digits, to the next size that a dataset can have.
_PADDED = {28: 32}


@dataclass(frozen=True)
class Mnist(Source):
    """Grey pictures from IDX files; those of 28 pixels get a black border, to make 32."""

    names: tuple[str, ...]
    """File and number, such as train/00042."""
    files: tuple[Path, ...]
    """The files with pictures."""
    counts: tuple[int, ...]
    """Pictures in each."""
    labels: Sequence[Label] | None
    """The digits; None for those of a file without labels."""

    def load(self, item: int) -> Pixels:
        """Read a picture: [H, W, 1].

        Raises:
            DatasetError: the file cannot be read any more, or was changed.
        """
        file = 0
        while item >= self.counts[file]:
            item -= self.counts[file]
            file += 1
        pictures = _read(self.files[file], 3)
        if len(pictures) != self.counts[file]:
            raise DatasetError(f"{self.files[file]} was changed; give the same command again.")
        picture = pictures[item]
        border = [(_PADDED.get(side, side) - side) // 2 for side in picture.shape]
        return np.pad(picture, [(side, side) for side in border])[..., None]


def picture_files(folder: Path) -> list[Path]:
    """Find the IDX files with pictures in a folder: of those both packed and not, the latter."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), reverse=True):
        match = _PICTURES.fullmatch(path.name)
        if match is not None and path.is_file():
            found[match[1]] = path
    return [found[name] for name in sorted(found, reverse=True)]


def open_mnist(folder: Path) -> Mnist:
    """Open the IDX files in a folder.

    Raises:
        DatasetError: there are none, or one is damaged.
    """
    files = picture_files(folder)
    if not files:
        raise DatasetError(f"{folder} holds no file like train-images-idx3-ubyte.")
    _read.cache_clear()  # The files may have changed since they were last opened.
    names: list[str] = []
    counts: list[int] = []
    digits: list[int | None] = []
    for path in files:
        count = len(_read(path, 3))
        match = _PICTURES.fullmatch(path.name)
        prefix = match[1] if match is not None else path.name
        names += [f"{prefix}/{number:05d}" for number in range(count)]
        counts.append(count)
        digits += _labels_beside(path, prefix, count)
    known = [digit for digit in digits if digit is not None]
    classes = iter(numbered_classes(known))
    labels = [None if digit is None else next(classes) for digit in digits]
    return Mnist(tuple(names), tuple(files), tuple(counts), tuple(labels) if known else None)


def _labels_beside(path: Path, prefix: str, count: int) -> list[int | None]:
    """Read the labels of a file of pictures, from the one that is written most like it."""
    dotted = "-images." in path.name
    for end in sorted(_LABELS, key=lambda end: ("-labels." in end) != dotted):
        for suffix in ("", ".gz"):
            candidate = path.with_name(prefix + end + suffix)
            if candidate.is_file():
                labels = _read(candidate, 1)
                if len(labels) != count:
                    raise DatasetError(f"{candidate} does not hold one label for each of {path}.")
                return [int(label) for label in labels]
    return [None] * count


@lru_cache(maxsize=4)
def _read(path: Path, dimensions: int) -> Pixels:
    """Give the array in an IDX file.

    Its start says what it holds: two zeros, the kind of numbers, how many dimensions, and each of
    these in four bytes, the highest first.
    """
    try:
        return persistently(lambda: _parse(path, dimensions), str(path), is_loss)
    except (EOFError, zlib.error, gzip.BadGzipFile, ValueError):
        raise DatasetError(f"{path} is damaged; fetch it again.") from None
    except OSError as error:
        raise lost(str(path), error) from None


def _parse(path: Path, dimensions: int) -> Pixels:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        start = file.read(4 + 4 * dimensions)
        shape = np.frombuffer(start[4:], ">u4").tolist()
        size = int(np.prod(shape, dtype=object))
        if (
            start[:4] != bytes([0, 0, _UNSIGNED_BYTES, dimensions])
            or len(shape) != dimensions
            or not 0 < size <= _MOST_BYTES
        ):
            raise DatasetError(f"{path} is no IDX file of this kind, or is damaged.")
        data = _at_most(file, size)
        if len(data) < size:
            raise DatasetError(f"{path} is cut short; fetch it again.")
        if file.read(1):
            raise DatasetError(f"{path} holds more than it says; fetch it again.")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _at_most(file: BinaryIO | gzip.GzipFile, size: int) -> bytes:
    """Read `size` bytes, or as many as there are: to read at once would reserve all of them."""
    data = bytearray()
    while piece := file.read(min(_PIECE_BYTES, size - len(data))):
        data += piece
    return bytes(data)
