"""Tables that say something of pictures: CSV files, and the lists that come with CelebA."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Generic, TextIO, TypeVar

from datasets.errors import DatasetError

# CelebA's largest list has 27 MB. More would fill the memory.
_MOST_BYTES = 2**30

T = TypeVar("T")


class Lookup(Generic[T]):
    """Finds what a table says of a picture.

    A picture is looked for by its name in the source, then by its file name without folders, then
    by that without its suffix: lists are often made where the pictures lay in another folder, or
    had another format. What would then be ambiguous is not found.
    """

    def __init__(self, entries: Mapping[str, T]) -> None:
        self._stages: list[dict[str, T | None]] = []
        for stage in range(3):
            found: dict[str, T | None] = {}
            for name, value in entries.items():
                key = _key(name, stage)
                found[key] = None if key in found else value
            self._stages.append(found)

    def find(self, name: str) -> T | None:
        """Give what the table says of a picture, or None."""
        for stage, entries in enumerate(self._stages):
            key = _key(name, stage)
            if key in entries:
                return entries[key]
        return None


def find_all(
    entries: Mapping[str, T], names: Sequence[str], *, file: Path, source: str
) -> list[T | None]:
    """Look up every picture of a source in a table.

    Args:
        entries: the table.
        names: names of the pictures.
        file: where the table stood, for the error.
        source: how the source is called, for the error.

    Raises:
        DatasetError: the table knows none of them.
    """
    lookup = Lookup(entries)
    found = [lookup.find(name) for name in names]
    if all(value is None for value in found):
        raise DatasetError(f"{file} names no picture of {source}, of which one is {names[0]}.")
    return found


def read_table(path: Path, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Read some columns of a table whose first column names pictures.

    The first line names the columns. Fields are separated by commas, or, as in CelebA's own lists,
    by spaces; those have a line before it that counts the pictures, and no name for the first
    column.

    Args:
        path: the file.
        columns: names of the columns to read; capital letters and underscores do not matter.

    Returns:
        For each picture's name its fields, in the order of `columns`.

    Raises:
        DatasetError: the file cannot be read, is no such table, or lacks a column.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DatasetError(f"{path} is too large to be a table of pictures.")
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            return _read(path, _lines(file), columns)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from None
    except csv.Error:
        raise DatasetError(f"{path} is no table: its commas or quotes are damaged.") from None


def _lines(file: TextIO) -> Iterator[list[str]]:
    first = file.readline()
    if first.strip().isdecimal():
        first = file.readline()
    lines = chain([first], file)
    if "," in first:
        yield from csv.reader(lines, strict=True)
    else:
        # Lists of CelebA, whose first column has no name.
        yield ["name", *next(lines).split()]
        yield from (line.split() for line in lines)


def _read(
    path: Path, lines: Iterator[list[str]], columns: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    header = [_plain(name) for name in next(lines, [])]
    for name in columns:
        if _plain(name) not in header[1:]:
            raise DatasetError(
                f"{path} has no column {name}; its first line names {', '.join(header[1:6])}"
                f"{' …' if len(header) > 6 else ''}."
            )
    places = [header.index(_plain(name), 1) for name in columns]
    table = {}
    for number, fields in enumerate(lines, start=2):
        if not any(fields):
            continue
        if len(fields) != len(header):
            raise DatasetError(
                f"{path}: row {number} has {len(fields)} fields instead of {len(header)}."
            )
        table[fields[0]] = tuple(fields[place].strip() for place in places)
    return table


def _plain(name: str) -> str:
    return name.strip().replace("_", "").casefold()


def _key(name: str, stage: int) -> str:
    if stage == 0:
        return name
    path = PurePosixPath(name.replace("\\", "/"))
    return path.name if stage == 1 else path.stem
