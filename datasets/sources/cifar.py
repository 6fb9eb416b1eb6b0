"""CIFAR-10 and CIFAR-100, as their authors publish them: the binary version or Python's."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np

from datasets.errors import DatasetError
from datasets.sources import pickled
from datasets.sources.files import LocalFile
from datasets.sources.source import Pixels, Source
from datasets.sources.tfrecords import numbered_classes

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
# The largest file has 50,000 pictures; this is twice that.
_MOST_BYTES = 100_000 * (_PIXELS + 2)
# Of the many names, labels and lists that a Python file holds besides.
_MOST_PICKLE_BYTES = _MOST_BYTES + 50 * 2**20


@dataclass(frozen=True)
class _Layout:
    """How one of the four versions lies in a folder."""

    files: tuple[str, ...]
    """Its files; any of them may be missing."""
    class_names: str
    """The file with the names of the classes."""
    label: int | str
    """Which byte of a record is the class; or how the list of classes is called."""
    prefix_bytes: int
    """Bytes before the pixels of a record; 0 in a Python file."""
    key: str = ""
    """How the list of class names is called in a Python file."""

    @property
    def is_pickle(self) -> bool:
        return self.prefix_bytes == 0


_TEN = tuple(f"data_batch_{number}" for number in range(1, 6))
_LAYOUTS = (
    _Layout((*(f"{name}.bin" for name in _TEN), "test_batch.bin"), "batches.meta.txt", 0, 1),
    _Layout(("train.bin", "test.bin"), "fine_label_names.txt", 1, 2),
    _Layout((*_TEN, "test_batch"), "batches.meta", "labels", 0, "label_names"),
    _Layout(("train", "test"), "meta", "fine_labels", 0, "fine_label_names"),
)


@dataclass(frozen=True)
class Cifar(Source):
    """The pictures of CIFAR-10 or CIFAR-100, training set and test set."""

    names: tuple[str, ...]
    """File and number, such as data_batch_1/00042."""
    files: tuple[Path, ...]
    """The files."""
    counts: tuple[int, ...]
    """Pictures in each."""
    prefix_bytes: int
    """Bytes before the pixels of a record; 0 for Python files."""
    labels: Sequence[str | None]
    """Names of the classes."""

    def load(self, item: int) -> Pixels:
        """Read a picture: [32, 32, 3].

        Raises:
            DatasetError: the file cannot be read any more, or was changed.
        """
        file = 0
        while item >= self.counts[file]:
            item -= self.counts[file]
            file += 1
        rows = _read(self.files[file], self.prefix_bytes)[0]
        if len(rows) != self.counts[file]:
            raise DatasetError(f"{self.files[file]} was changed; give the same command again.")
        pixels = rows[item]
        return np.ascontiguousarray(np.moveaxis(pixels.reshape(3, _SIDE, _SIDE), 0, 2))


def is_cifar(folder: Path) -> bool:
    """Tell whether a folder holds CIFAR-10 or CIFAR-100."""
    return _layout(folder) is not None


def open_cifar(folder: Path) -> Cifar:
    """Open CIFAR-10 or CIFAR-100.

    Raises:
        DatasetError: it is neither, or damaged.
    """
    layout = _layout(folder)
    if layout is None:
        raise DatasetError(f"{folder} holds neither CIFAR-10 nor CIFAR-100.")
    _read.cache_clear()  # The files may have changed since they were last opened.
    files = tuple(folder / name for name in layout.files if (folder / name).is_file())
    names: list[str] = []
    numbers: list[int] = []
    counts: list[int] = []
    for path in files:
        pixels, prefixes = _read(path, layout.prefix_bytes)
        if isinstance(layout.label, int):
            classes = prefixes[:, layout.label].tolist()
        else:
            classes = _whole_numbers(_dictionary(path), layout.label, len(pixels), path)
        names += [f"{path.stem}/{number:05d}" for number in range(len(pixels))]
        numbers += classes
        counts.append(len(pixels))
    class_names = _class_names(folder, layout)
    if class_names and max(numbers) >= len(class_names):
        raise DatasetError(
            f"{folder} gives a picture class {max(numbers)}, but names only {len(class_names)}; it "
            "is damaged, so fetch it again."
        )
    labels = _name_classes(numbers, class_names)
    return Cifar(tuple(names), files, tuple(counts), layout.prefix_bytes, tuple(labels))


def _layout(folder: Path) -> _Layout | None:
    # The file of class names too: somebody's own folder may hold something called "train".
    for layout in _LAYOUTS:
        if (folder / layout.class_names).is_file() and (
            any((folder / name).is_file() for name in layout.files)
        ):
            return layout
    return None


@lru_cache(maxsize=6)
def _read(path: Path, prefix_bytes: int) -> tuple[Pixels, Pixels]:
    """Give the pixels of a file, [N, 3072], and what stands before them, [N, `prefix_bytes`]."""
    if prefix_bytes == 0:
        pixels = _dictionary(path).get("data")
        rows = pixels.rows(_PIXELS) if isinstance(pixels, pickled.Array) else None
        if rows is None:
            raise DatasetError(f"{path} holds no pictures, or is damaged.")
        return rows, np.zeros((0, 0), np.uint8)
    data = _bytes(path, _MOST_BYTES)
    record = prefix_bytes + _PIXELS
    if not data or len(data) % record != 0:
        raise DatasetError(f"{path} is cut short, or is no file of CIFAR; fetch it again.")
    rows = np.frombuffer(data, np.uint8).reshape(-1, record)
    return rows[:, prefix_bytes:], rows[:, :prefix_bytes]


def _class_names(folder: Path, layout: _Layout) -> list[str]:
    path = folder / layout.class_names
    if layout.is_pickle:
        found = _dictionary(path).get(layout.key)
        if not isinstance(found, list):
            raise DatasetError(f"{path} holds no names of classes, or is damaged.")
        texts = [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
                 for name in found]  # fmt: skip
    else:
        texts = _bytes(path, 2**16).decode("utf-8", "replace").split("\n")
    names = [name.strip() for name in texts]
    # Empty lines end the file; one between names would move those behind it.
    while names and not names[-1]:
        names.pop()
    return names


def _name_classes(numbers: list[int], names: Sequence[str]) -> list[str]:
    if all(names) and len(set(names)) == len(names) > max(numbers):
        return [names[number] for number in numbers]
    return numbered_classes(numbers)


def _whole_numbers(fields: dict[str, object], key: str, count: int, path: Path) -> list[int]:
    numbers = fields.get(key)
    if (
        not isinstance(numbers, list)
        or len(numbers) != count
        or not all(isinstance(number, int) and 0 <= number < 1000 for number in numbers)
    ):
        raise DatasetError(f"{path} does not give each picture a class, or is damaged.")
    return numbers


def _bytes(path: Path, most: int) -> bytes:
    data = LocalFile(path).read(0, most + 1)
    if len(data) > most:
        raise DatasetError(f"{path} is too large to be a file of CIFAR.")
    return data


def _dictionary(path: Path) -> dict[str, object]:
    data = _bytes(path, _MOST_PICKLE_BYTES)
    try:
        found = pickled.read(data)
    except Exception:
        # A damaged or hostile file raises whatever it leads to.
        found = None
    if not isinstance(found, dict):
        raise DatasetError(
            f"{path} is no file of CIFAR, or is damaged; fetch it again, "
            "or take the binary version."
        )
    fields = cast(dict[object, object], found)
    named = {
        key.decode("latin1") if isinstance(key, bytes) else str(key): value
        for key, value in fields.items()
    }
    if len(named) < len(fields):
        raise DatasetError(f"{path} is damaged: it holds a field twice; fetch it again.")
    return named
