"""Tables that say something of pictures: CSV files, and the lists that come with CelebA."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

from datasets.errors import DatasetError
from datasets.names import plain
from datasets.sources.matching import closeness

# CelebA's largest list has 27 MB. More would fill the memory.
_MOST_BYTES = 2**28
# Of a column's name that is shown, and how many columns.
_SHOWN = 40
_SHOWN_COLUMNS = 5
# The column with the names of the pictures, unless the first has them.
_NAME = "name"
_SEPARATORS = ",;\t"
# How spreadsheets tell each other, in a line before the table, what separates the fields.
_SEPARATOR_LINE = "sep="
# What text of spreadsheets begins with where a character has two bytes.
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

Row = tuple[str, tuple[str, ...]]
"""A picture's name and its fields."""


def read_table(path: Path, columns: Sequence[str], names: Sequence[str] = ()) -> list[Row]:
    """Read some columns of a table, which names pictures in the column `name` or in its first one.

    The first line names the columns. Fields are separated by commas, semicolons, tabs or, as in
    CelebA's own lists, by spaces; those have a line before it that counts the pictures, and no name
    for the first column.

    Args:
        path: the file.
        columns: names of the columns to read; capital letters and underscores do not matter.
        names: names of the pictures that the table is for. They decide where the column `name` is
            not the first, and the first one names them better.

    Returns:
        For each row the picture's name and its fields, in the order of `columns`.

    Raises:
        DatasetError: the file cannot be read, is no such table, lacks a column, or has one twice
            with different content.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DatasetError(f"{path} is too large to be a table of pictures.")
        with path.open("rb") as start:
            encoding = "utf-16" if start.read(2) in _UTF16_MARKS else "utf-8-sig"
        with path.open(newline="", encoding=encoding, errors="surrogateescape") as file:
            return _read(path, _lines(file, columns), columns, names)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from None
    except (csv.Error, UnicodeError):
        raise DatasetError(f"{path} is no table: its commas or quotes are damaged.") from None


@dataclass(frozen=True)
class _Columns:
    """Where in a line what is wanted stands."""

    naming: list[int]
    """Columns that may hold the names of the pictures, first that which is called so."""
    wanted: list[list[int]]
    """For each wanted column where it stands: mostly once."""


def _lines(file: TextIO, columns: Sequence[str]) -> Iterator[list[str]]:
    first = file.readline()
    separator = ""
    if first.lower().startswith(_SEPARATOR_LINE) and len(first.strip()) == len(_SEPARATOR_LINE) + 1:
        separator = first.strip()[-1]
        first = file.readline()
    if first.strip().isdecimal():
        first = file.readline()
    second = file.readline()
    separator = separator or _separator(first, second, columns)
    lines = chain([first, second], file)
    if separator:
        yield from csv.reader(lines, delimiter=separator, strict=True)
        return
    # Lists of CelebA, whose first column has no name; but some give it one.
    header = next(lines).split()
    if _same(header[:1], [_NAME]) and len(second.split()) == len(header):
        header = header[1:]
    yield [_NAME, *header]
    # From the right, because a name may have blanks in it.
    yield from (line.strip().rsplit(None, len(header)) for line in lines)


def _separator(first: str, second: str, columns: Sequence[str]) -> str:
    """Find out what separates the fields; nothing where it is blanks."""
    there = [sign for sign in _SEPARATORS if sign in first]
    # Tabs are also between the columns of a list, which has one field more than its first line.
    if there == ["\t"] and first.strip("\r\n").count("\t") != second.strip("\r\n").count("\t"):
        return ""
    for sign in there:
        header = [_same_name(field) for field in next(csv.reader([first], delimiter=sign), [])]
        if {_same_name(column) for column in columns} <= set(header):
            return sign
    return there[0] if there else ""


def _read(
    path: Path, lines: Iterator[list[str]], columns: Sequence[str], names: Sequence[str]
) -> list[Row]:
    header = next(lines, [])
    places = _find_columns(path, header, columns)
    found: list[tuple[list[str], tuple[str, ...]]] = []
    for number, fields in enumerate(lines, start=2):
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != len(header):
            raise DatasetError(
                f"{path}: row {number} has {len(fields)} fields instead of {len(header)}."
            )
        values = []
        for column, equal in zip(columns, places.wanted, strict=True):
            value, *others = {fields[place].strip() for place in equal}
            if others:
                raise DatasetError(
                    f"{path}: row {number} has the column {column} twice, with different content; "
                    "remove one of them."
                )
            values.append(value)
        found.append(([fields[place] for place in places.naming], tuple(values)))
    candidates = range(len(places.naming))
    best = 0
    if len(candidates) > 1:
        # Of equals the first, which is the column that is called so.
        best = max(candidates, key=lambda which: closeness((row[0][which] for row in found), names))
    return [(naming[best], values) for naming, values in found]


def _find_columns(path: Path, header: Sequence[str], columns: Sequence[str]) -> _Columns:
    known = [_same_name(name) for name in header]
    wanted = [_same_name(name) for name in columns]
    naming = [place for place, name in enumerate(known) if name == _NAME][:1]
    if known and known[0] not in wanted and 0 not in naming:
        naming.append(0)
    places = [
        [place for place, name in enumerate(known) if name == column and place not in naming[:1]]
        for column in wanted
    ]
    for column, found in zip(columns, places, strict=True):
        if not found:
            shown = [name.strip()[:_SHOWN] for name in header if _same_name(name) != _NAME]
            raise DatasetError(
                f"{path} has no column {column}; its first line names "
                f"{', '.join(shown[:_SHOWN_COLUMNS])}"
                f"{' …' if len(shown) > _SHOWN_COLUMNS else ''}."
            )
    if not naming:
        raise DatasetError(
            f"{path} does not tell which column names the pictures: call it name, or put it before "
            f"{header[0].strip()[:_SHOWN]}."
        )
    return _Columns(naming, places)


def _same(one: Sequence[str], other: Sequence[str]) -> bool:
    return list(map(_same_name, one)) == list(map(_same_name, other))


def _same_name(column: str) -> str:
    """Return the name of a column as it is compared."""
    return plain(column).replace("_", "").replace(" ", "").casefold()
