"""Parquet files with pictures in a column, as the Hugging Face hub keeps collections.

The pictures are bytes of image files: in a column of its own, or in the field `bytes` of a column
that has a field `path` besides. Names of classes come from the hub's notes in the schema.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError, UnusableError
from datasets.progress import progress
from datasets.sources.files import File
from datasets.sources.late_labels import LateLabels
from datasets.sources.parquet_columns import (
    MOST_GROUP_BYTES,
    DamagedError,
    Kept,
    kind_of,
    row_groups,
    rows,
    schema_of,
)
from datasets.sources.source import MOST_BYTES, MOST_PICTURES, Source
from datasets.sources.tfrecords import numbered_classes

# Names that tell which of several columns holds the pictures, and which the classes.
_PICTURES = ("image", "img", "picture", "photo")
_CLASSES = ("label", "labels", "class", "cls", "target", "category")
_LONGEST_NAME = 1024
_KEPT = Kept()


@dataclass(frozen=True)
class Columns:
    """Where in a file the pictures are, and what there is beside them."""

    pictures: str
    """The column with the bytes of image files."""
    names: str | None
    """The column with their names."""
    classes: str | None
    """The column with their classes."""
    class_names: tuple[str, ...] | None
    """Names of the classes in the order of their numbers, where the schema tells them."""


@dataclass(frozen=True)
class Parquet(Source):
    """Pictures in one or several Parquet files."""

    names: tuple[str, ...]
    """Their names in the files; or numbers, behind the name of the file if it is not alone."""
    files: tuple[File, ...]
    """The files."""
    columns: tuple[Columns, ...]
    """What is in each."""
    groups: NDArray[np.int64]
    """For each row group: number of its file, its own number there, and its first picture: [G, 3].
    """
    labels: "Labels | None"
    """The classes, where there is a column of them in every file; read when they are asked for."""

    def load(self, item: int) -> bytes:
        """Read an image file.

        Raises:
            UnusableError: it is too large or none, or its row group is damaged.
            SourceLostError: the file cannot be read.
        """
        place = int(np.searchsorted(self.groups[:, 2], item, side="right")) - 1
        file, group, first = self.groups[place].tolist()
        path = self.columns[file].pictures
        try:
            data = _KEPT.row(self.files[file], group, path, item - first)
        except DamagedError:
            raise UnusableError("damaged in its Parquet file") from None
        if data is None:
            raise UnusableError("not in its Parquet file, which names it alone")
        if len(data) > MOST_BYTES:
            raise UnusableError("larger than 1 GiB")
        return data


@dataclass
class Labels(LateLabels):
    """The classes of the pictures in some files, read when the first is asked for."""

    files: tuple[File, ...]
    """The files."""
    columns: tuple[Columns, ...]
    """What is in each."""
    counts: tuple[tuple[int, ...], ...]
    """Rows of each row group of each file."""

    def __len__(self) -> int:
        return sum(map(sum, self.counts))

    def read(self) -> list[str | None]:
        """Read the column of every file.

        Raises:
            DatasetError: one is damaged.
        """
        return _named(list(self._values()))

    def _values(self) -> Iterator[int | str | None]:
        for file, columns, counts in zip(self.files, self.columns, self.counts, strict=True):
            assert columns.classes is not None
            names = columns.class_names
            for value in _column(file, columns.classes, counts):
                if names is not None and isinstance(value, int):
                    yield names[value] if 0 <= value < len(names) else None
                elif isinstance(value, str):
                    yield value if 0 < len(value) <= _LONGEST_NAME else None
                else:  # Truth values are numbers, too; below zero are the hub's unknown ones.
                    yield value if isinstance(value, int) and 0 <= value < 2**31 else None


def open_parquet(shards: Sequence[tuple[str, File]], place: str) -> Parquet:
    """Open some Parquet files that belong together.

    Args:
        shards: how each is called in the names of its pictures, empty for one that is alone; and
            the files, at least one.
        place: how the source is called, for errors.

    Raises:
        DatasetError: one is no Parquet file, is damaged, has no column of pictures or several, or
            keeps too many of them together; or pyarrow is missing.
    """
    files = tuple(file for _, file in shards)
    _KEPT.forget()  # Files of these names may have been others.
    columns: list[Columns] = []
    counts: list[tuple[int, ...]] = []
    groups: list[tuple[int, int, int]] = []
    total = 0
    with progress(f"Listing {place}", total=len(files), unit="files") as bar:
        for number, file in enumerate(files):
            columns.append(_columns(schema_of(file), file.name))
            counts.append(_rows_of_groups(file, columns[-1].pictures))
            for group, count in enumerate(counts[-1]):
                if count:
                    groups.append((number, group, total))
                total += count
            if total > MOST_PICTURES:
                raise DatasetError(f"{place} has more than {MOST_PICTURES} rows.")
            bar.advance()
    if not total:
        raise DatasetError(f"{place} holds no pictures: its Parquet files have no rows.")
    labels = None
    if all(found.classes is not None for found in columns):
        labels = Labels(files, tuple(columns), tuple(counts))
    return Parquet(
        _names(shards, columns, counts),
        files,
        tuple(columns),
        np.array(groups, np.int64),
        labels,
    )


def _columns(schema: Any, place: str) -> Columns:
    """Find out what the columns of a file are."""
    pictures: dict[str, str] = {}
    paths: dict[str, str | None] = {}
    classes: list[str] = []
    for column in schema:
        name, kind = column.name, kind_of(column.type)
        if kind == "bytes":
            pictures[name], paths[name] = name, None
        elif kind == "fields":
            fields = {inner.name: kind_of(inner.type) for inner in column.type}
            if fields.get("bytes") == "bytes":
                pictures[name] = f"{name}.bytes"
                paths[name] = f"{name}.path" if fields.get("path") == "text" else None
        elif kind in ("number", "text"):
            classes.append(name)
    told = _features(schema.metadata)
    chosen = _chosen_pictures(list(pictures), told, place)
    names_of = {name: _class_names(told.get(name)) for name in classes}
    known = [name for name in _CLASSES if name in names_of]
    known += [name for name in classes if names_of[name] is not None]
    label = known[0] if known else None
    return Columns(
        pictures[chosen],
        paths[chosen],
        label,
        None if label is None else names_of[label],
    )


def _chosen_pictures(found: Sequence[str], told: dict[str, Any], place: str) -> str:
    if not found:
        raise DatasetError(
            f"{place} has no column of pictures: one of bytes, or one with the fields bytes and "
            "path."
        )
    images = [name for name in found if _kind(told.get(name)) == "Image"]
    for names in (images, found):
        if len(names) == 1:
            return names[0]
        for usual in _PICTURES:
            if usual in names:
                return usual
    shown = ", ".join(name[:50] for name in found[:5])
    raise DatasetError(
        f"{place} has several columns that may be the pictures ({shown}); rename the right one to "
        "image, or leave out the others."
    )


def _features(metadata: dict[bytes, bytes] | None) -> dict[str, Any]:
    """Read the hub's notes on the columns; none where there are none that can be read."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _kind(feature: object) -> object:
    return feature.get("_type") if isinstance(feature, dict) else None


def _class_names(feature: object) -> tuple[str, ...] | None:
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return None
    names = feature.get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        return None
    return tuple(names) if len(set(names)) == len(names) else None


def _rows_of_groups(file: File, path: str) -> tuple[int, ...]:
    """Count the rows of each row group, and refuse those that could not be read in parts."""
    groups = row_groups(file, path)
    for count, size in groups:
        if size > MOST_GROUP_BYTES:
            raise DatasetError(
                f"{file.name} keeps {count} pictures of {size / 1e9:.1f} GB in one row group, "
                "which would have to be read for each of them; write it again in smaller ones, "
                "such as with pyarrow.parquet.write_table(table, file, row_group_size=100)."
            )
    return tuple(count for count, _ in groups)


def _names(
    shards: Sequence[tuple[str, File]],
    columns: Sequence[Columns],
    counts: Sequence[tuple[int, ...]],
) -> tuple[str, ...]:
    """Name the pictures as the files do, where that names each of them, or else by numbers."""
    if all(found.names is not None for found in columns):
        told: list[str] = []
        for (_, file), found, rows_of in zip(shards, columns, counts, strict=True):
            told += [
                value if isinstance(value, str) else ""
                for value in _column(file, found.names or "", rows_of)
            ]
        if len(set(told)) == len(told) and all(map(_is_name, told)):
            return tuple(told)
    numbered: list[str] = []
    for (own_name, _), rows_of in zip(shards, counts, strict=True):
        prefix = f"{own_name}/" if own_name else ""
        numbered += [f"{prefix}{number:08d}" for number in range(sum(rows_of))]
    return tuple(numbered)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable()


def _column(file: File, path: str, counts: Sequence[int]) -> Iterator[object]:
    """Read a column of numbers or words as a whole.

    Raises:
        DatasetError: it is damaged.
    """
    for group, count in enumerate(counts):
        found = 0
        try:
            for value in rows(file, group, path):
                found += 1
                # Kept until all are read.
                yield value if not isinstance(value, str) else value[: _LONGEST_NAME + 1]
        except DamagedError:
            found = -1
        if found != count:
            raise DatasetError(f"{file.name} is damaged: its column {path} cannot be read.")


def _named(values: Sequence[int | str | None]) -> list[str | None]:
    """Name classes that are numbers by these, all with the same number of digits."""
    numbers = sorted({int(value) for value in values if isinstance(value, int)})
    names = dict(zip(numbers, numbered_classes(numbers), strict=True))
    return [names[int(value)] if isinstance(value, int) else value for value in values]
