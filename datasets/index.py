"""index.csv: for every row of a dataset, which picture it is and what it is for."""

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from datasets.errors import DatasetError
from datasets.names import search

FILE_NAME = "index.csv"
Split = Literal["train", "held-out"]
_SPLITS: dict[str, Split] = {"train": "train", "held-out": "held-out"}
_COLUMNS = ["row", "name", "sha256", "class", "split", "duplicate_of"]
_NEAR_COLUMNS = ["row", "near_duplicate_of"]
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a dataset. Its number is its place in the list."""

    name: str
    """The picture's name in the source."""
    sha256: str
    """Hash of the picture's bytes there; of a photograph's face k from the second on, that of its
    bytes with "#k" behind them."""
    class_name: str | None = None
    split: Split = "train"
    duplicate_of: int | None = None
    """The first row with the same bytes, where that is an earlier one."""


def mark_duplicates(entries: Sequence[Entry]) -> list[Entry]:
    """Fill in `duplicate_of` for every entry whose bytes occurred before."""
    first: dict[str, int] = {}
    marked = []
    for row, entry in enumerate(entries):
        earliest = first.setdefault(entry.sha256, row)
        marked.append(replace(entry, duplicate_of=earliest if earliest < row else None))
    return marked


def group_names(names: Sequence[str], pattern: re.Pattern[str]) -> list[str | None]:
    """Tell which group each picture belongs to.

    Args:
        names: what the pictures are called.
        pattern: is searched for in each name, in its plain form (see `names`). Names with the same
            match are a group: the same first parenthesis, where the pattern has one, else the same
            text as a whole.

    Returns:
        One group for each picture; None where the pattern does not match, or matches nothing.
    """
    found = [search(pattern, name) for name in names]
    texts = [None if match is None else match[1] if pattern.groups else match[0] for match in found]
    return [None if not text else unicodedata.normalize("NFC", text) for text in texts]


def hold_out(
    entries: Sequence[Entry],
    fraction: float,
    groups: Sequence[str | None] | None = None,
    near_duplicates: Mapping[int, int] | None = None,
) -> list[Entry]:
    """Choose which rows are kept out of training.

    The last rows are, going backwards, except pictures that occur more than once: otherwise the
    same picture could stand on both sides, and a copy would pass for a new face. As the rows are
    shuffled, the choice is random. There may be fewer of them than asked for, where most pictures
    have duplicates.

    A group is held out as a whole or not at all, and so are near duplicates; groups that near
    duplicates connect are one. One that is larger than what is still wanted is passed over; if all
    are, the smallest is held out. A group that holds all that is left of a class to train on is
    passed over, too: a network that is asked for that class must have seen it.

    Args:
        entries: all rows, in their final order.
        fraction: of the rows, 0 to less than 1; above 0 at least one is held out, if there are two
            that may be.
        groups: the group of each row, None for a row that stands alone; None for no groups.
        near_duplicates: for rows that are nearly the same as an earlier one, that row.
    """
    wanted = round(fraction * len(entries))
    if fraction > 0:
        wanted = max(wanted, 1)
    wanted = min(wanted, len(entries) - 1)
    chosen = list(entries)
    eligible = _eligible(entries, groups, near_duplicates or {})
    for rows in _choose(eligible, wanted, [entry.class_name for entry in entries]):
        for row in rows:
            chosen[row] = replace(entries[row], split="held-out")
    return chosen


def _eligible(
    entries: Sequence[Entry],
    groups: Sequence[str | None] | None,
    near_duplicates: Mapping[int, int],
) -> list[list[int]]:
    """Give the groups without duplicates, that with the last row first."""
    occurrences = Counter(entry.sha256 for entry in entries)
    members: dict[int, list[int]] = {}
    for row, origin in enumerate(_origins(len(entries), groups, near_duplicates)):
        members.setdefault(origin, []).append(row)
    eligible = [
        rows[::-1]
        for rows in members.values()
        if all(occurrences[entries[row].sha256] == 1 for row in rows)
    ]
    return sorted(eligible, reverse=True)


def _origins(
    count: int, groups: Sequence[str | None] | None, near_duplicates: Mapping[int, int]
) -> list[int]:
    """Give, for every row, the first row of all that stand or fall with it."""
    origins = list(range(count))

    def origin(row: int) -> int:
        while origins[row] != row:
            origins[row] = row = origins[origins[row]]
        return row

    def join(one: int, other: int) -> None:
        low, high = sorted((origin(one), origin(other)))
        origins[high] = low

    first: dict[str, int] = {}
    for row, group in enumerate(groups or ()):
        if group is not None:
            join(first.setdefault(group, row), row)
    for row, other in near_duplicates.items():
        join(row, other)
    return [origin(row) for row in range(count)]


def _choose(
    groups: Sequence[list[int]], wanted: int, classes: Sequence[str | None]
) -> list[list[int]]:
    """Choose groups with `wanted` rows at most, or one with more, of which something is left.

    Args:
        groups: the rows of each, in the order of preference.
        wanted: number of rows.
        classes: the class of every row of the dataset, None where it has none; each keeps a row
            that is not chosen.
    """
    if wanted <= 0:
        return []
    rest = Counter(classes)

    def leaves_something(rows: Sequence[int]) -> bool:
        taken = Counter(classes[row] for row in rows)
        return all(number < rest[name] for name, number in taken.items())

    chosen = []
    left = wanted
    for rows in groups:
        if len(rows) <= left and leaves_something(rows):
            chosen.append(rows)
            left -= len(rows)
            rest.subtract(classes[row] for row in rows)
    if not chosen:
        smallest = min(filter(leaves_something, groups), key=len, default=None)
        return [] if smallest is None else [smallest]
    return chosen


def write(path: Path, entries: Iterable[Entry]) -> None:
    """Write the table: row,name,sha256,class,split,duplicate_of.

    Lines end in CR LF, as the CSV standard has it: with anything else, Python leaves a file name
    that contains a carriage return unquoted, and cannot read it back.
    """
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for row, entry in enumerate(entries):
            origin = "" if entry.duplicate_of is None else entry.duplicate_of
            writer.writerow(
                [row, entry.name, entry.sha256, entry.class_name or "", entry.split, origin]
            )


def read(path: Path, classes: Sequence[str] | None) -> list[Entry]:
    """Read and check the table.

    Args:
        path: the file.
        classes: the names that may stand in the column `class`; None where it must be empty.

    Raises:
        DatasetError: it is missing or not what `write` writes.
    """
    known = set(classes) if classes is not None else {""}
    entries: list[Entry] = []
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            lines = csv.reader(file, strict=True)
            if next(lines, None) != _COLUMNS:
                raise DatasetError(f"{path} is damaged: its first line does not name the columns.")
            for fields in lines:
                entries.append(_entry(fields, entries, known))
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; prepare the dataset again.") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, csv.Error):
        raise DatasetError(f"{path} is damaged in the line of row {len(entries)}.") from None
    return entries


def _entry(fields: list[str], before: Sequence[Entry], classes: set[str]) -> Entry:
    number, name, sha256, class_name, split, origin = fields
    if number != str(len(before)) or not name or not _SHA256.fullmatch(sha256):
        raise ValueError(number)
    if class_name not in classes or split not in _SPLITS:
        raise ValueError(class_name)
    earliest = _row(origin) if origin else None
    if earliest is not None and (earliest >= len(before) or before[earliest].sha256 != sha256):
        raise ValueError(origin)
    return Entry(name, sha256, class_name or None, _SPLITS[split], earliest)


def _row(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def write_skipped(path: Path, skipped: Iterable[tuple[str, str]]) -> None:
    """Write the table of what was left out: name,reason."""
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "reason"])
        writer.writerows(skipped)


def read_skipped(path: Path) -> list[tuple[str, str]]:
    """Read the table of what was left out: pairs of name and reason.

    Raises:
        DatasetError: it is missing or not what `write_skipped` writes.
    """
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            lines = csv.reader(file, strict=True)
            next(lines, None)
            return [(name, reason) for name, reason in lines]
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, csv.Error):
        raise DatasetError(f"{path} is damaged; prepare the dataset again.") from None


def write_near_duplicates(path: Path, near_duplicates: Mapping[int, int]) -> None:
    """Write the table of pictures that are nearly the same as others: row,near_duplicate_of."""
    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file)
        writer.writerow(_NEAR_COLUMNS)
        writer.writerows(sorted(near_duplicates.items()))


def read_near_duplicates(path: Path, count: int) -> dict[int, int]:
    """Read the table of pictures that are nearly the same as others.

    Args:
        path: the file.
        count: rows of the dataset.

    Returns:
        For every such row, the first row of its group, which is an earlier one.

    Raises:
        DatasetError: it is missing or not what `write_near_duplicates` writes.
    """
    found: dict[int, int] = {}
    try:
        with path.open(newline="", encoding="ascii") as file:
            lines = csv.reader(file, strict=True)
            if next(lines, None) != _NEAR_COLUMNS:
                raise ValueError(path)
            for fields in lines:
                row, origin = map(_row, fields)
                if not origin < row < count or row in found:
                    raise ValueError(row)
                found[row] = origin
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, csv.Error):
        raise DatasetError(f"{path} is damaged; prepare the dataset again.") from None
    return found
