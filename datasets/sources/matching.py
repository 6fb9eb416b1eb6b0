"""Looking up the pictures of a source in a table."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from datasets.errors import DatasetError
from datasets.names import caseless, plain
from datasets.sources.contradictions import collect, warn_of_unclear
from datasets.sources.source import Unclear

T = TypeVar("T")


def match(entries: Mapping[str, T | Unclear], names: Sequence[str]) -> list[T | Unclear | None]:
    """Look up every picture of a source in a table.

    Names are compared in their plain form, then without the difference between capital and small
    letters where that leaves no doubt. Lists are often made where the pictures lay in another
    folder, or had another format. So where the table has none of the names, the file names without
    folders are compared, and where it has none of these, those without their suffixes; what is then
    the same for several entries or for several pictures is not found. Pictures whose names differ
    only in what the plain form leaves out are told apart by their names as they stand.

    Args:
        entries: the table.
        names: names of the pictures.

    Returns:
        What the table says of each picture, None where it says nothing.
    """
    table = collect(entries.items(), plain)
    found: list[T | Unclear | None] = []
    plain_names = [plain(name) for name in names]
    for shorten in _WAYS:
        found = _match(table, plain_names, shorten)
        if shorten is _whole:
            times = Counter(plain_names)
            for item, (name, key) in enumerate(zip(names, plain_names, strict=True)):
                if times[key] > 1:
                    found[item] = entries.get(name)
        if any(value is not None for value in found):
            return found
    return found


def find_all(
    entries: Mapping[str, T | Unclear], names: Sequence[str], *, file: Path, source: str
) -> list[T | Unclear | None]:
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
    warn_of_unclear(found, names, file)
    return found


def closeness(listed: Iterable[str], names: Sequence[str]) -> tuple[int, int]:
    """Return how well a list of names fits the pictures of a source; larger fits better.

    Returns:
        How much of the names has to be compared, and how many pictures the list then names.
    """
    listed = [plain(name) for name in listed]
    plain_names = [plain(name) for name in names]
    for rank, shorten in enumerate(_WAYS):
        keys = {caseless(shorten(name)) for name in listed}
        number = sum(caseless(shorten(name)) in keys for name in plain_names)
        if number:
            return -rank, number
    return -len(_WAYS), 0


def _match(
    table: Mapping[str, T | Unclear], names: Sequence[str], shorten: Callable[[str], str]
) -> list[T | Unclear | None]:
    """Look up plain names of which only a part is compared."""
    found: list[T | Unclear | None] = [None] * len(names)
    keys = [shorten(name) for name in names]
    entries = [(shorten(name), value) for name, value in table.items()]
    for exact in (True, False):
        if not exact:
            keys = [caseless(key) for key in keys]
            entries = [(caseless(key), value) for key, value in entries]
        times = Counter(keys)
        # Twice the same says nothing about either.
        once = Counter(key for key, _ in entries)
        values = {key: value for key, value in entries if once[key] == 1}
        for item, key in enumerate(keys):
            if found[item] is None and times[key] == 1:
                found[item] = values.get(key)
    return found


def _whole(name: str) -> str:
    return name


def _without_folders(name: str) -> str:
    return PurePosixPath(name).name


def _without_suffix(name: str) -> str:
    return PurePosixPath(name).stem


_WAYS: tuple[Callable[[str], str], ...] = (_whole, _without_folders, _without_suffix)
