"""From a dataset back to files that other programs read."""

import csv
import json
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from io import BytesIO, StringIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets import records
from datasets.class_folders import folders_of
from datasets.errors import DatasetError
from datasets.landing import landing
from datasets.progress import Progress, progress
from datasets.pyramid import Dataset, size_on_disk
from datasets.room import require_room
from datasets.sources.stylegan import FILE_NAME as LABELS_NAME
from datasets.sources.stylegan import FOLDERS_FIELD
from datasets.workers import available_processors

Pixels = NDArray[np.uint8]
Format = Literal["folder", "stylegan-zip", "tfrecords"]

INDEX_NAME = "index.csv"
# As StyleGAN's tools do it, so that no folder holds more than many a system copes with.
_A_FOLDER = 1000
# The least effort: photographs hardly get smaller by more.
_PNG_EFFORT = 1
# Of each picture besides its pixels, in the worst case.
_EXTRA_BYTES = 2048
# A fixed time, so that the same dataset always gives the same archive.
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def export(dataset: Dataset, path: Path, *, format: Format) -> None:
    """Write the pictures of a dataset to files, with a progress report on stderr.

    `folder` and `stylegan-zip` hold PNG files of the largest level and a dataset.json with their
    classes, as StyleGAN's tools make and read them; in a `folder`, each class has one of its own.
    `tfrecords` is a folder with a file for each level and, for classes, one of labels, as the
    paper's authors made them. In all three a table, index.csv, tells each picture's class, its
    split and the name it had in its source.

    Args:
        dataset: what to write.
        path: the folder or, for `stylegan-zip`, the file to make.
        format: what to write it as.

    Raises:
        DatasetError: the place is taken, has no room, or an archive's name does not end in .zip.
    """
    if format == "stylegan-zip" and path.suffix.lower() != ".zip":
        raise DatasetError(f"{path} must end in .zip.")
    pixels = dataset.count * dataset.resolution**2 * dataset.channels
    if format == "tfrecords":
        pixels = size_on_disk(dataset.count, dataset.resolution, dataset.channels)
    require_room(path, pixels + dataset.count * _EXTRA_BYTES, "choose another disk")
    with (
        landing(path) as place,
        progress("Writing pictures", total=dataset.count, unit="pictures") as bar,
    ):
        if format == "stylegan-zip":
            _write_zip(dataset, place, bar)
            return
        place.mkdir()
        if format == "folder":
            _write_folder(dataset, place, bar)
        else:
            _write_records(dataset, place, path.name, bar)


def _write_folder(dataset: Dataset, folder: Path, bar: Progress) -> None:
    folders = folders_of(dataset.classes or ())

    def file_name(row: int) -> str:
        class_name = dataset.entries[row].class_name
        if class_name is None:
            return _file_name(row)
        # All of a class in one folder: a class is what is at the top.
        return f"{folders[class_name]}/{Path(_file_name(row)).name}"

    for row, data in _png_files(dataset):
        path = folder / file_name(row)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        bar.advance()
    labels = _labels(dataset, file_name, folders)
    (folder / LABELS_NAME).write_text(labels, encoding="ascii")
    _write_text(folder / INDEX_NAME, _index(dataset, file_name))


def _write_zip(dataset: Dataset, path: Path, bar: Progress) -> None:
    # Stored and not compressed: the PNG files are, already.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:

        def write(name: str, data: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), data)

        for row, data in _png_files(dataset):
            write(_file_name(row), data)
            bar.advance()
        write(LABELS_NAME, _labels(dataset, _file_name, {}).encode("ascii"))
        write(INDEX_NAME, _index(dataset, _file_name).encode("utf-8", "surrogateescape"))


def _write_records(dataset: Dataset, folder: Path, name: str, bar: Progress) -> None:
    with ExitStack() as opened:
        levels = [
            (
                dataset.level(level),
                opened.enter_context((folder / f"{name}-r{level:02d}.tfrecords").open("wb")),
            )
            for level in dataset.levels
        ]
        for row in range(dataset.count):
            for pictures, file in levels:
                file.write(records.pack(np.asarray(pictures[row])))
            bar.advance()
    if dataset.labels is not None and dataset.classes is not None:
        _write_one_hot(folder / f"{name}-rxx.labels", dataset.labels, len(dataset.classes))
    _write_text(folder / INDEX_NAME, _index(dataset, lambda row: f"{row:08d}"))


def _write_one_hot(path: Path, labels: NDArray[np.int64], classes: int) -> None:
    """Write an array [N, classes] that is 1 at each picture's class, and 0 elsewhere."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (len(labels), classes)}
        )
        one_hot = np.zeros(classes, "<f4")
        # Row by row: as a whole it could fill the memory.
        for label in labels.tolist():
            one_hot[label] = 1
            file.write(one_hot.tobytes())
            one_hot[label] = 0


def _png_files(dataset: Dataset) -> Iterator[tuple[int, bytes]]:
    """Give the PNG file of each row, in order, made in several threads and bounded memory."""
    pictures = dataset.level(dataset.levels[-1])
    threads = available_processors()
    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for row in range(dataset.count + 2 * threads):
            if row < dataset.count:
                waiting.append(pool.submit(_png, np.asarray(pictures[row])))
            if row >= 2 * threads:
                yield row - 2 * threads, waiting.popleft().result()


def _png(picture: Pixels) -> bytes:
    buffer = BytesIO()
    grey = picture.shape[-1] == 1
    image = Image.fromarray(picture[..., 0] if grey else picture)
    image.save(buffer, "PNG", compress_level=_PNG_EFFORT)
    return buffer.getvalue()


def _file_name(row: int) -> str:
    # Not the name that the picture had in its source: that may be anything.
    return f"{row // _A_FOLDER:05d}/img{row:08d}.png"


def _labels(dataset: Dataset, name: Callable[[int], str], folders: Mapping[str, str]) -> str:
    """Return StyleGAN's dataset.json, with the classes of folders that are not called like them."""
    if dataset.labels is None:
        return json.dumps({"labels": None}) + "\n"
    pairs = [[name(row), label] for row, label in enumerate(dataset.labels.tolist())]
    fields: dict[str, object] = {"labels": pairs, "classes": dataset.classes}
    # Letters with accents may come back from a disk in another form.
    renamed = {
        folder: class_name
        for class_name, folder in folders.items()
        if folder != class_name or not folder.isascii()
    }
    if renamed:
        fields[FOLDERS_FIELD] = renamed
    return json.dumps(fields) + "\n"


def _index(dataset: Dataset, name: Callable[[int], str]) -> str:
    table = StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["name", "class", "split", "original"])
    for row, entry in enumerate(dataset.entries):
        writer.writerow([name(row), entry.class_name or "", entry.split, entry.name])
    return table.getvalue()


def _write_text(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
