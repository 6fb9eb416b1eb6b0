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
    rows,
    table_of,
)
from datasets.sources.parquet_layout import Chunk
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
    chunks: tuple[Chunk, ...]
    """Where they lie: of each row group, the column that holds them."""
    firsts: NDArray[np.int64]
    """Number of the first picture in each row group."""
    labels: "Labels | None"
    """The classes, where there is a column of them in every file; read when they are asked for."""

    def load(self, item: int) -> bytes:
        """Read an image file.

        Raises:
            UnusableError: it is too large or none, or its row group is damaged.
            SourceLostError: the file cannot be read.
        """
        place = int(np.searchsorted(self.firsts, item, side="right")) - 1
        try:
            data = _KEPT.row(self.chunks[place], item - int(self.firsts[place]))
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

    tables: tuple["_Table", ...]
    """The files."""

    def __len__(self) -> int:
        return sum(table.count for table in self.tables)

    def read(self) -> list[str | None]:
        """Read the column of every file.

        Raises:
            DatasetError: one is damaged.
        """
        return _named(list(self._values()))

    def _values(self) -> Iterator[int | str | None]:
        for table in self.tables:
            assert table.columns.classes is not None
            names = table.columns.class_names
            for value in table.values(table.columns.classes):
                if names is not None and isinstance(value, int):
                    yield names[value] if 0 <= value < len(names) else None
                elif isinstance(value, str):
                    yield value if 0 < len(value) <= _LONGEST_NAME else None
                else:  # Truth values are numbers, too; below zero are the hub's unknown ones.
                    yield value if isinstance(value, int) and 0 <= value < 2**31 else None


@dataclass(frozen=True)
class _Table:
    """A file and what is in it."""

    name: str
    file: File
    columns: Columns
    groups: tuple[dict[str, Chunk], ...]

    @property
    def pictures(self) -> list[Chunk]:
        """Where the pictures lie."""
        return [group[self.columns.pictures] for group in self.groups]

    @property
    def count(self) -> int:
        """How many rows it has."""
        return sum(chunk.rows for chunk in self.pictures)

    def values(self, path: str) -> Iterator[object]:
        """Read a column of numbers or words as a whole.

        Raises:
            DatasetError: it is damaged.
        """
        for group in self.groups:
            found = 0
            try:
                for value in rows(group[path]):
                    found += 1
                    # Kept until all are read.
                    yield value if not isinstance(value, str) else value[: _LONGEST_NAME + 1]
            except (DamagedError, KeyError):
                found = -1
            if found != group[self.columns.pictures].rows:
                raise DatasetError(f"{self.file.name} is damaged: its column {path} is unreadable.")


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
    _KEPT.forget()  # Files of these names may have been others.
    tables: list[_Table] = []
    total = 0
    with progress(f"Listing {place}", total=len(shards), unit="files") as bar:
        for name, file in shards:
            tables.append(_table(name, file))
            total += tables[-1].count
            if total > MOST_PICTURES:
                raise DatasetError(f"{place} has more than {MOST_PICTURES} rows.")
            bar.advance()
    chunks = [chunk for table in tables for chunk in table.pictures if chunk.rows]
    if not chunks:
        raise DatasetError(f"{place} holds no pictures: its Parquet files have no rows.")
    firsts = np.cumsum([0, *(chunk.rows for chunk in chunks)])[:-1]
    labels = None
    if all(table.columns.classes is not None for table in tables):
        labels = Labels(tuple(tables))
    return Parquet(_names(tables), tuple(chunks), firsts, labels)


def _table(name: str, file: File) -> _Table:
    groups, schema = table_of(file)
    columns = _columns(schema, file.name)
    if not all(columns.pictures in group for group in groups):
        raise DatasetError(f"{file.name} is damaged: a row group is without {columns.pictures}.")
    for chunk in (group[columns.pictures] for group in groups):
        if chunk.unpacked > MOST_GROUP_BYTES:
            raise DatasetError(
                f"{file.name} keeps {chunk.rows} pictures of {chunk.unpacked / 1e9:.1f} GB in one "
                "row group, which would have to be read for each of them; write it again in "
                "smaller ones, such as with pyarrow.parquet.write_table(table, file, "
                "row_group_size=100)."
            )
    return _Table(name, file, columns, tuple(groups))


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


def _names(tables: Sequence[_Table]) -> tuple[str, ...]:
    """Name the pictures as the files do, where that names each of them, or else by numbers."""
    if all(table.columns.names is not None for table in tables):
        told = [
            value if isinstance(value, str) else ""
            for table in tables
            for value in table.values(table.columns.names or "")
        ]
        if len(set(told)) == len(told) and all(map(_is_name, told)):
            return tuple(told)
    numbered: list[str] = []
    for table in tables:
        prefix = f"{table.name}/" if table.name else ""
        numbered += [f"{prefix}{number:08d}" for number in range(table.count)]
    return tuple(numbered)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable()


def _named(values: Sequence[int | str | None]) -> list[str | None]:
    """Name classes that are numbers by these, all with the same number of digits."""
    numbers = sorted({int(value) for value in values if isinstance(value, int)})
    names = dict(zip(numbers, numbered_classes(numbers), strict=True))
    return [names[int(value)] if isinstance(value, int) else value for value in values]
