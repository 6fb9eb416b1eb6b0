"""The TFRecord folders that the paper's authors published."""

import filecmp
import re
import tokenize
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets import records
from datasets.errors import DatasetError, UnusableError
from datasets.progress import progress
from datasets.sources.files import LocalFile, Stretches
from datasets.sources.source import MOST_PICTURES, Pixels, Source

_LEVEL_FILE = re.compile(r"(.*)-r([0-9]{2})\.tfrecords(?:\.gz)?", re.DOTALL)
# What TensorFlow's two ways of compressing a file of records begin with.
_COMPRESSED = {b"\x1f\x8b": "GZIP", **dict.fromkeys((b"x\x01", b"x^", b"x\x9c", b"x\xda"), "ZLIB")}
_PACKED_SUFFIX = ".gz"
# Of fractions that were meant to be 0 and 1.
_CLEAR = 1e-3
_LABELS_AT_ONCE = 2**22


@dataclass(frozen=True)
class TfRecords(Source):
    """Pictures of the largest level in a TFRecord folder, named by their numbers."""

    names: tuple[str, ...]
    """Numbers from 0, with leading zeros."""
    stretches: Stretches
    """Where the data of each lies, with the checksum after it."""
    labels: Sequence[str | None] | None
    """Class numbers, where there is a file of labels."""

    def load(self, item: int) -> Pixels:
        """Read a picture: [H, W, C].

        Raises:
            UnusableError: it is damaged, or none.
        """
        data = self.stretches.read(item)
        return records.unpack(data[: -records.FOOTER_BYTES], data[-records.FOOTER_BYTES :])


def level_files(folder: Path) -> list[Path]:
    """Find the files of a TFRecord folder, one for each level, the largest level last.

    Raises:
        DatasetError: they belong to several datasets.
    """
    paths = {path.name: path for path in folder.glob("*.tfrecords*")}
    found = [
        (path, _LEVEL_FILE.fullmatch(name))
        for name, path in paths.items()
        # Of a file both packed and not, the latter.
        if name.removesuffix(_PACKED_SUFFIX) == name or name[: -len(_PACKED_SUFFIX)] not in paths
    ]
    levels = sorted((match[2], match[1], path) for path, match in found if match is not None)
    if len({prefix for _, prefix, _ in levels}) > 1:
        raise DatasetError(f"{folder} holds several datasets; give each a folder of its own.")
    return [path for _, _, path in levels]


def open_tfrecords(folder: Path) -> TfRecords:
    """Open a TFRecord folder.

    Raises:
        DatasetError: it is damaged or cut short, or holds nothing.
    """
    files = level_files(folder)
    if not files:
        raise DatasetError(f"{folder} holds no file whose name ends in -r02.tfrecords or the like.")
    stretches = _find_records(files[-1])
    count = len(stretches.starts)
    # The smallest level is quickly counted, and a file that ends between two records looks whole.
    others = len(_find_records(files[0]).starts)
    if count != others:
        raise DatasetError(
            f"{files[-1]} holds {count} pictures, but {files[0].name} {others}; fetch or make them "
            "again."
        )
    names = tuple(f"{number:08d}" for number in range(count))
    return TfRecords(names, stretches, _read_labels(folder, count))


def numbered_classes(numbers: Sequence[int]) -> list[str]:
    """Name classes by their numbers, with leading zeros, so that the names have the same order."""
    width = len(str(max(numbers, default=0)))
    return [f"{number:0{width}d}" for number in numbers]


def _find_records(path: Path) -> Stretches:
    starts, sizes = [], []
    end = path.stat().st_size
    with (
        progress(f"Listing {path}", total=end // 10**6, unit="MB") as bar,
        path.open("rb") as file,
    ):
        place = 0
        while place < end:
            try:
                length = records.unpack_length(file.read(records.HEADER_BYTES))
            except UnusableError as error:
                _refuse_compressed(path)
                raise DatasetError(
                    f"{path} is damaged at byte {place}: {error}; fetch or make it again."
                ) from None
            starts.append(place + records.HEADER_BYTES)
            sizes.append(length + records.FOOTER_BYTES)
            bar.advance((starts[-1] + sizes[-1]) // 10**6 - place // 10**6)
            place = starts[-1] + sizes[-1]
            if place > end:
                raise DatasetError(f"{path} is cut short; fetch or make it again.")
            if len(starts) > MOST_PICTURES:
                raise DatasetError(f"{path} has more than {MOST_PICTURES} records.")
            file.seek(place)
    if not starts:
        raise DatasetError(f"{path} is empty; fetch or make it again.")
    return Stretches(LocalFile(path), np.array(starts, np.int64), np.array(sizes, np.int64))


def _prefix(name: str) -> str:
    match = _LEVEL_FILE.fullmatch(name)
    return name if match is None else match[1]


def _refuse_compressed(path: Path) -> None:
    with path.open("rb") as file:
        method = _COMPRESSED.get(file.read(2))
    if method is None:
        return
    undone = "write it again without"
    if method == "GZIP":
        plain_name = path.name.removesuffix(_PACKED_SUFFIX)
        undone = (
            f"unpack it first (gunzip < {path.name} > unpacked/{plain_name}), and give that folder"
        )
    raise DatasetError(
        f"{path} is compressed ({method}), so that its pictures could only be read one after the "
        f"other; {undone}."
    )


def _read_labels(folder: Path, count: int) -> tuple[str, ...] | None:
    files = sorted(folder.glob("*.labels"))
    if not files:
        return None
    prefixes = {_prefix(level.name) for level in level_files(folder)}
    # Of several, that which is called like the files of pictures.
    files = [path for path in files if path.name.removesuffix("-rxx.labels") in prefixes] or files
    path = files[0]
    if not all(filecmp.cmp(path, other, shallow=False) for other in files[1:]):
        raise DatasetError(
            f"{folder} holds several files of labels, {path.name} and {files[1].name}, which "
            "differ; leave only one of them there."
        )
    try:
        # Mapped, so that no size is believed before it is there.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):  # a zip archive of several
            array.close()
            raise ValueError(path)
    except (ValueError, EOFError, OSError, OverflowError, MemoryError, SyntaxError, TypeError):
        raise DatasetError(f"{path} is no NumPy array of labels, or is damaged.") from None
    except (zipfile.BadZipFile, tokenize.TokenError, RecursionError, KeyError):
        raise DatasetError(f"{path} is no NumPy array of labels, or is damaged.") from None
    if array.shape[:1] != (count,) or array.ndim > 2 or array.dtype.kind not in "fiu":
        raise DatasetError(f"{path} does not hold one label for each of {count} pictures.")
    if array.ndim == 2 and array.shape[1] == 0:
        return None
    numbers: list[int] = []
    # In parts, so that a class for every picture does not fill the memory.
    step = max(1, _LABELS_AT_ONCE // max(1, array[:1].size))
    for first in range(0, count, step):
        numbers += _numbers(np.array(array[first : first + step]), path)
    return tuple(numbered_classes(numbers))


def _numbers(labels: NDArray[Any], path: Path) -> list[int]:
    """Give class numbers of some pictures: as they are, or as the place of a 1 among 0s."""
    if not np.isfinite(labels).all():
        raise DatasetError(f"{path} holds labels that are no class numbers.")
    if labels.ndim == 2:
        numbers = labels.argmax(axis=1)
        expected = np.zeros(labels.shape, np.float32)
        expected[np.arange(len(labels)), numbers] = 1
        if not np.allclose(labels, expected, atol=_CLEAR):
            raise DatasetError(f"{path} gives pictures several classes at once, or none.")
        return [int(number) for number in numbers]
    if (labels < 0).any() or (labels >= 2**31).any() or (labels != np.floor(labels)).any():
        raise DatasetError(f"{path} holds labels that are no class numbers.")
    return [int(number) for number in labels]
