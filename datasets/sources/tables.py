"""Tables that say something of pictures: CSV files, and the lists that come with CelebA."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TextIO, TypeVar

from datasets.errors import DatasetError

# CelebA's largest list has 27 MB. More would fill the memory.
_MOST_BYTES = 2**28
# Of a column's name that is shown.
_SHOWN = 40

T = TypeVar("T")


def match(entries: Mapping[str, T], names: Sequence[str]) -> list[T | None]:
    """Look up every picture of a source in a table.

    Lists are often made where the pictures lay in another folder, or had another format. So where
    the table has none of the names, the file names without folders are compared, and where it has
    none of these, those without their suffixes; what is then the same for several entries or for
    several pictures is not found.

    Args:
        entries: the table.
        names: names of the pictures.
    """
    for key in (_whole, _without_folders, _without_suffix):
        table: dict[str, T | None] = {}
        for name, value in entries.items():
            # Twice the same says nothing about either.
            table[key(name)] = None if key(name) in table else value
        keys = [key(name) for name in names]
        times = Counter(keys)
        found = [table.get(each) if times[each] == 1 else None for each in keys]
        if any(value is not None for value in found):
            return found
    return [None] * len(names)


def find_all(
    entries: Mapping[str, T], names: Sequence[str], *, file: Path, source: str
) -> list[T | None]:
    """Look up every picture of a source in a table, as `match` does.

    Args:
        entries: the table.
        names: names of the pictures.
        file: where the table stood, for the error.
        source: how the source is called, for the error.

    Raises:
        DatasetError: the table knows none of them.
    """
    found = match(entries, names)
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
                f"{path} has no column {name}; its first line names "
                f"{', '.join(shown[:_SHOWN] for shown in header[1:6])}"
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


def _whole(name: str) -> str:
    # As `tar` writes the names of what is in the current folder.
    return name.removeprefix("./")


def _without_folders(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name


def _without_suffix(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).stem
